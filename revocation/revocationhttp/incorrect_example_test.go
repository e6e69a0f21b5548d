package revocationhttp_test

import (
	"fmt"
	"net/http"

	"github.com/go-jose/go-jose/v4"

	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationhttp"
)

// Four mistakes. The first two are refused by the constructors; nobody but the reader sees the last two.
func Example_incorrect() {
	var public any = &issuerKey().PublicKey

	// A public key is no secret: whoever has it could sign HS256 tokens with it.
	_, err := revocationhttp.NewJWT(revocationhttp.JWTConfig{
		Algorithms: []jose.SignatureAlgorithm{jose.RS256, jose.HS256},
		Keys:       revocationhttp.StaticKey(public),
	})
	fmt.Println(err)

	// The error of revocation.Open was dropped.
	var replica *revocation.Replica
	_, err = revocationhttp.New(revocationhttp.Config{Replica: replica, Session: (&revocationhttp.JWT{}).Session})
	fmt.Println(err)

	// Wrong: iat is new at each refresh, so no "log out everywhere" would ever end a session that is refreshed. Have the issuer put
	// auth_time_ms into its tokens instead.
	_ = revocationhttp.JWTConfig{DangerouslyUseIssuedAt: true}

	// Wrong: the handler goes on in a goroutine that nobody watches, after the request has ended. Stay in the handler until the stream's
	// end, and watch r.Context() there.
	_ = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		go func() { defer conn.Close() }()
	})

	// Output:
	// revocationhttp jwt config: Algorithms: HS256 to HS512 don't mix with the others: a public key would be taken for a secret
	// revocationhttp config: Replica is a nil *revocation.Replica: check the error of revocation.Open
}
