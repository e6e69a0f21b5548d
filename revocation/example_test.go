package revocation_test

import (
	"context"
	"fmt"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationtest"
)

// One replica for the whole service, and a switch on the state of each answer.
func ExampleOpen() {
	// In a service: revocationnats.NewFeed(js, revocationnats.Config{}).
	feed := revocationtest.New()
	feed.AutoBeat(time.Second)
	feed.Publish(&events.UserLoggedOutEverywhere{
		Common: events.Common{
			ID: "01890a5d-ac96-774b-bcce-b302099a8057", Time: time.Now(), Source: "example", Tenant: events.DefaultTenant,
			Reason: events.ReasonPasswordChanged, Initiator: events.Initiator{Type: events.InitiatorUser},
		},
		User: "ada", Cutoff: time.Now(), Except: []string{"laptop"},
	})

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	replica, err := revocation.Open(ctx, revocation.Config{Feed: feed}) // blocks until synced and fresh
	if err != nil {
		fmt.Println(err)
		return
	}
	defer replica.Close()

	for _, s := range []revocation.Session{
		{ID: "laptop", User: "ada", AuthTime: time.Now().Add(-time.Hour)},
		{ID: "phone", User: "ada", AuthTime: time.Now().Add(-time.Hour)},
		{ID: "tablet", User: "ada"},
	} {
		switch d := replica.Check(s); d.State {
		case revocation.Active:
			fmt.Println(s.ID, "passes")
		case revocation.Revoked:
			fmt.Println(s.ID, "is over: 401,", d.Scope, d.Reason)
		case revocation.Undetermined:
			status := 401 // the token lacks something
			if d.MayMend() {
				status = 503
			}
			fmt.Printf("%s can't be vouched for: %d, %v\n", s.ID, status, d.Cause)
		}
	}
	// Output:
	// laptop passes
	// phone is over: 401, user password_changed
	// tablet can't be vouched for: 401, auth time is missing
}

// Whoever has just logged out presents the position of it, and meets no service that doesn't know.
func ExampleReplica_WaitFor() {
	feed := revocationtest.New()
	replica, err := revocation.Open(context.Background(), revocation.Config{Feed: feed})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer replica.Close()

	position := feed.Publish(&events.SessionRevoked{ // the publisher's answer carries it
		Common: events.Common{
			ID: "01890a5d-ac96-774b-bcce-b302099a8057", Time: time.Now(), Source: "example", Tenant: events.DefaultTenant,
			Reason: events.ReasonUserLogout, Initiator: events.Initiator{Type: events.InitiatorUser},
		},
		Session: "phone",
	})

	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := replica.WaitFor(ctx, position); err != nil {
		fmt.Println("behind: 503")
		return
	}
	fmt.Println(replica.Check(revocation.Session{ID: "phone", User: "ada", AuthTime: time.Now()}).State)
	// Output: revoked
}
