package revocation_test

import (
	"context"
	"fmt"
	"time"

	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationtest"
)

// INCORRECT: asking whether the session is revoked, and letting everything else pass. A replica that knows nothing doesn't say Revoked, so
// a broken link lets everybody in who has been logged out since. Ask for Active.
func ExampleReplica_Check_incorrectUndeterminedPasses() {
	feed := revocationtest.New()
	replica, err := revocation.Open(context.Background(), revocation.Config{Feed: feed})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer replica.Close()

	// The link is broken, for longer than the route's budget of a nanosecond.
	phone := revocation.Session{ID: "phone", User: "ada", AuthTime: time.Now()}
	d := replica.CheckWith(phone, revocation.Require{MaxStaleness: time.Nanosecond})
	if d.State != revocation.Revoked { // INCORRECT
		fmt.Println("incorrect: passes")
	}
	if d.State != revocation.Active {
		fmt.Println("correct: doesn't pass,", d.Cause)
	}
	// Output:
	// incorrect: passes
	// correct: doesn't pass, replica is stale
}

// INCORRECT: giving the token's iat for the auth time. A rolling session (Auth.js signs its token anew on every read) then looks as if it
// had begun just now, after every cutoff, and no "log out everywhere" ends it. Give the login's own time.
func ExampleReplica_Check_incorrectIssuedAt() {
	feed := revocationtest.New()
	replica, err := revocation.Open(context.Background(), revocation.Config{Feed: feed})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer replica.Close()

	authTime := time.Now().Add(-time.Hour)
	position := feed.Publish(everywhere("ada", time.Now().Add(-time.Minute)))
	if err := replica.WaitFor(context.Background(), position); err != nil {
		fmt.Println(err)
		return
	}
	issuedAt := time.Now() // of a token that was signed anew just now

	fmt.Println("incorrect:", replica.Check(revocation.Session{ID: "phone", User: "ada", AuthTime: issuedAt}).State)
	fmt.Println("correct:", replica.Check(revocation.Session{ID: "phone", User: "ada", AuthTime: authTime}).State)
	// Output:
	// incorrect: active
	// correct: revoked
}
