package revocation_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationtest"
)

// logOut publishes that a session is over.
func logOut(feed *revocationtest.Feed, sid string) (position uint64) {
	return feed.Publish(&events.SessionRevoked{
		Common: events.Common{
			ID: "01890a5d-ac96-774b-bcce-b302099a8057", Time: time.Now(), Source: "example", Tenant: events.DefaultTenant,
			Reason: events.ReasonUserLogout, Initiator: events.Initiator{Type: events.InitiatorUser},
		},
		Session: sid,
	})
}

// What lives long (a hijacked connection, a stream, a job on somebody's behalf) ends with its session.
func ExampleReplica_Watch() {
	feed := revocationtest.New() // in a service: revocationnats.NewFeed
	replica, err := revocation.Open(context.Background(), revocation.Config{Feed: feed})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer replica.Close()

	phone := revocation.Session{ID: "phone", User: "ada", AuthTime: time.Now().Add(-time.Hour)}
	ctx, stop, d := replica.Watch(context.Background(), phone, revocation.Require{})
	defer stop()
	if d.State != revocation.Active {
		fmt.Println("refused:", d.State)
		return
	}
	logOut(feed, "phone") // while it is served

	<-ctx.Done()
	var ended *revocation.EndedError
	if errors.As(context.Cause(ctx), &ended) {
		fmt.Println("over:", ended.Decision.Reason)
	}
	// Output: over: user_logout
}

// What can't take a context is told by a call.
func ExampleReplica_WatchFunc() {
	feed := revocationtest.New()
	replica, err := revocation.Open(context.Background(), revocation.Config{Feed: feed})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer replica.Close()

	phone := revocation.Session{ID: "phone", User: "ada", AuthTime: time.Now().Add(-time.Hour)}
	over := make(chan events.Reason, 1)
	stop := replica.WatchFunc(phone, func(d revocation.Decision) { over <- d.Reason }) // mustn't block
	defer stop()
	if d := replica.Check(phone); d.State != revocation.Active { // afterwards: WatchFunc tells of what comes, not of what was
		fmt.Println("refused:", d.State)
		return
	}
	logOut(feed, "phone")
	fmt.Println("over:", <-over)
	// Output: over: user_logout
}

// INCORRECT: checking first and watching afterwards. What is revoked in between is seen by neither. Watch checks by itself, in the right order:
// use its decision.
func ExampleReplica_Watch_incorrectCheckFirst() {
	feed := revocationtest.New()
	replica, err := revocation.Open(context.Background(), revocation.Config{Feed: feed})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer replica.Close()

	phone := revocation.Session{ID: "phone", User: "ada", AuthTime: time.Now().Add(-time.Hour)}
	d := replica.Check(phone) // INCORRECT: too early
	_ = replica.WaitFor(context.Background(), logOut(feed, "phone"))
	stop := replica.WatchFunc(phone, func(revocation.Decision) {}) // the event has passed: this may never be called
	defer stop()
	fmt.Println("incorrect:", d.State)

	ctx, stopWatch, d := replica.Watch(context.Background(), phone, revocation.Require{})
	defer stopWatch()
	fmt.Println("correct:", d.State, "and", context.Cause(ctx))
	// Output:
	// incorrect: active
	// correct: revoked and session ended while it was watched: user_logout
}
