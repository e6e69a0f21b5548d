package revocationhttp_test

import (
	"fmt"
	"net/http"
	"time"

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

// Four mistakes with policies. The first two are refused; nobody but the reader sees the last two.
func ExamplePolicy_incorrect() {
	key := revocationhttp.NewAPIKey("cfw_0123456789abcdef_an-example")

	// The key would travel in the clear, and whoever can change the answer would vouch for anybody.
	_, err := revocationhttp.NewGate(revocationhttp.GateConfig{
		URL: "http://curfew.example.com", Keys: map[string]revocationhttp.APIKey{"default": key},
	})
	fmt.Println(err)

	// A service of many tenants can't ask with one key: a gate answers for the key's tenant.
	_, err = revocationhttp.NewGate(revocationhttp.GateConfig{
		URL: "https://curfew.example.com", Keys: map[string]revocationhttp.APIKey{"*": key},
	})
	fmt.Println(err)

	// Wrong: With replaces the whole policy, so these routes lose the 3 s that the others have. Say MaxStaleness here too, or use RequireFresh,
	// which keeps the rest.
	_ = revocationhttp.Config{Policy: revocationhttp.Policy{Require: revocation.Require{MaxStaleness: 3 * time.Second}}}
	_ = func(guard *revocationhttp.Middleware, gate *revocationhttp.Gate) *revocationhttp.Middleware {
		return guard.With(revocationhttp.Policy{Ask: gate})
	}

	// Wrong: to fail open everywhere lets in whoever was logged out, whenever the ledger is away. Choose it for single routes, and count.
	_ = revocationhttp.Config{Policy: revocationhttp.Policy{DangerouslyFailOpen: true}}

	// Output:
	// revocationhttp gate config: URL must be https; http is for loopback only, unless DangerouslyAllowHTTP says so
	// revocationhttp gate config: Keys: "*" isn't the name of a tenant: must be 1 to 63 characters of a-z, 0-9 and '-'
}
