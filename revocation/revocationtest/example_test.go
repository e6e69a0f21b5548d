package revocationtest_test

import (
	"context"
	"fmt"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationtest"
)

// A test of your own: the session passes, is revoked, and passes no more; and when the stream falls silent nobody passes.
func Example() {
	ctx := context.Background() // in a test: t.Context()
	feed := revocationtest.New()
	replica, err := revocation.Open(ctx, revocation.Config{Feed: feed, StalenessBudget: time.Hour})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer replica.Close()

	session := revocation.Session{ID: "laptop", User: "ada", AuthTime: time.Now().Add(-time.Minute)}
	fmt.Println("before:", replica.Check(session).State)

	position := feed.Publish(&events.SessionRevoked{
		Common: events.Common{
			ID: "01890a5d-ac96-774b-bcce-b302099a8057", Time: time.Now(), Source: "example", Tenant: events.DefaultTenant,
			Reason: events.ReasonUserLogout, Initiator: events.Initiator{Type: events.InitiatorUser},
		},
		Session: "laptop",
	})
	if err := replica.WaitFor(ctx, position); err != nil {
		fmt.Println(err)
		return
	}
	decision := replica.Check(session)
	fmt.Println("after:", decision.State, decision.Reason)

	other := revocation.Session{ID: "phone", User: "ada", AuthTime: time.Now().Add(-time.Minute)}
	fmt.Println("another:", replica.CheckWith(other, revocation.Require{MaxStaleness: time.Nanosecond}).Cause)

	// Output:
	// before: active
	// after: revoked user_logout
	// another: replica is stale
}
