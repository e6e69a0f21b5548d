package gateways_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/gateways"
	"github.com/curfewhq/curfew/internal/natstest"
)

// What a gateway passes on reaches all others that take it, as it was; what isn't in form is counted and goes no further.
func TestPassOn(t *testing.T) {
	srv := natstest.Start(t)
	heard := make(chan gateways.PassedAck, 10)
	taking := run(t, srv.URL(), "taking", func(cfg *gateways.Config) { cfg.Passed = func(a gateways.PassedAck) { heard <- a } })
	passing := run(t, srv.URL(), "passing")
	want := gateways.PassedAck{Stream: "Zm9v.YmFy", Notice: "max_age", Outcome: tab.OutcomeAlready}
	for _, bad := range []gateways.PassedAck{
		{}, {Stream: "s", Notice: "n"}, {Stream: "s", Notice: "n", Outcome: "read"}, {Notice: "n", Outcome: tab.OutcomeAlready}, {Stream: "s", Outcome: tab.OutcomeAlready},
		{Stream: strings.Repeat("s", 257), Notice: "n", Outcome: tab.OutcomeAlready}, {Stream: "s", Notice: strings.Repeat("n", 65), Outcome: tab.OutcomeAlready},
	} {
		if err := passing.PassOn(bad); !errors.Is(err, gateways.ErrInvalid) {
			t.Errorf("%+v: %v, want ErrInvalid", bad, err)
		}
	}
	for _, bad := range []string{``, `{`, `{"v":2,"stream":"s","notice":"n","outcome":"already"}`, `{"v":1,"stream":"s","notice":"n","outcome":"read"}`} {
		if err := passing.nc.Publish(bus.LivePassedAcksTopic, []byte(bad)); err != nil {
			t.Fatal(err)
		}
	}
	if err := passing.PassOn(want); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-heard:
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	case <-time.After(patience):
		t.Fatal("nothing was heard")
	}
	if n := taking.Stats().Bad; n != 4 {
		t.Errorf("%d are counted as bad, want 4", n)
	}
}
