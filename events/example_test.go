package events_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/curfewhq/curfew/events"
)

// A publisher builds an event, encodes it and sends it to the event's topic; a reader decodes it.
func Example() {
	now := time.Date(2026, 3, 1, 9, 30, 0, 123_456_789, time.UTC)
	e := &events.UserLoggedOutEverywhere{
		Common: events.Common{
			ID:         "019ca8bb-b63b-7abc-9def-0123456789ab", // events.NewID()
			Time:       now,
			Source:     "curfew/publisher",
			Tenant:     events.DefaultTenant,
			Reason:     events.ReasonPasswordChanged,
			ReasonUser: "Your password was changed.",
			Initiator:  events.Initiator{Type: events.InitiatorUser, ID: "alice"},
		},
		User:   "alice",
		Cutoff: now,
		Except: []string{"session-of-this-browser"},
	}
	b, err := events.Encode(e)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(events.TopicOf(e))
	fmt.Println(string(b))

	decoded, err := events.Decode(b)
	if err != nil {
		fmt.Println(err)
		return
	}
	cutoff, _ := events.Cutoff(decoded)
	fmt.Println(events.Name(decoded), decoded.Kind(), decoded.Target(), cutoff)
	// Output:
	// curfew.v1.default.e7.user
	// {"specversion":"1.0","id":"019ca8bb-b63b-7abc-9def-0123456789ab","type":"io.github.curfewhq.UserLoggedOutEverywhere.v1","source":"curfew/publisher","time":"2026-03-01T09:30:00.123Z","datacontenttype":"application/json","data":{"user":"alice","cutoff":"2026-03-01T09:30:00.123Z","except":["session-of-this-browser"],"tenant":"default","reason":"password_changed","reason_user":"Your password was changed.","initiator":{"type":"user","id":"alice"}}}
	// UserLoggedOutEverywhere user alice 2026-03-01 09:30:00.123 +0000 UTC
}

// Encode and Validate tell every fault at once, and never the values.
func ExampleInvalidError() {
	_, err := events.Encode(&events.SessionRevoked{
		Common: events.Common{
			ID: "019ca8bb-b63b-7abc-9def-0123456789ab", Time: time.Unix(1772357400, 0), Source: "curfew/publisher",
			Tenant: "Acme", Reason: events.ReasonAdmin, Initiator: events.Initiator{Type: events.InitiatorAdmin},
		},
		Session: "eyJhbGciOi\n",
	})
	var invalid *events.InvalidError
	if errors.As(err, &invalid) {
		for _, f := range invalid.Faults {
			fmt.Printf("%s %s\n", f.Field, f.Remedy)
		}
	}
	// Output:
	// tenant must be 1 to 63 characters of a-z, 0-9 and '-'
	// session holds a control character: send the id without it
}

// A reader that meets a newer writer counts the event and goes on.
func ExampleUnsupportedError() {
	_, err := events.Decode([]byte(`{"specversion":"1.0","id":"1","source":"x","type":"io.github.curfewhq.SessionRevoked.v2","data":{}}`))
	var unsupported *events.UnsupportedError
	switch {
	case errors.As(err, &unsupported):
		fmt.Println("skipped:", unsupported.Type)
	case errors.Is(err, events.ErrMalformed):
		fmt.Println("parked:", err)
	}
	// Output:
	// skipped: io.github.curfewhq.SessionRevoked.v2
}
