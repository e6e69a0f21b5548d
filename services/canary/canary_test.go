package canary_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/internal/replicas"
	"github.com/curfewhq/curfew/services/canary"
)

// TestEverythingFine: each tenant's canary is refused by each replica, and leaves behind what the contract says.
func TestEverythingFine(t *testing.T) {
	r := newRig(t)
	r.tenants = []string{"acme", "globex"}
	a := r.replica("a", r.srv.URL(), 15*time.Second)
	r.replica("b", r.srv.URL(), 15*time.Second)
	r.runUntil(r.service(5*time.Second), "three rounds", func() bool { return r.probes("ok") >= 6 })
	if n := testutil.CollectAndCount(r.metrics.Refused); n != 1 {
		t.Errorf("%d ways", n)
	}
	if testutil.ToFloat64(r.metrics.Failing) != 0 || time.Since(time.Unix(int64(testutil.ToFloat64(r.metrics.LastSuccess)), 0)) > time.Minute {
		t.Error("the metrics don't tell of a success")
	}
	if said := r.log.String(); said != "" {
		t.Errorf("it says %s", said)
	}
	stored := r.stored()
	if len(stored) < 6 {
		t.Fatalf("%d events", len(stored))
	}
	for _, e := range stored {
		if !slices.Contains(r.tenants, e.Tenant) || e.Reason != events.ReasonPolicy || e.Initiator != (events.Initiator{Type: events.InitiatorSystem, ID: canary.Initiator}) ||
			!e.ExpiresAt.Equal(e.Time.Add(6*time.Minute)) || !strings.HasPrefix(e.Session, "curfew-canary-") {
			t.Errorf("%+v", e)
		}
	}
	if n := a.Status().Sessions; n < 6 {
		t.Errorf("a replica remembers %d", n)
	}
}

// TestStalledReplica, trap 9: one that hears nothing and doesn't know it calls the canary active, and is named in the round after it has stalled.
func TestStalledReplica(t *testing.T) {
	r := newRig(t)
	link := natstest.NewProxy(t, r.srv.Addr())
	r.replica("sound", r.srv.URL(), 15*time.Second)
	r.replica("stalled", link.URL(), time.Hour)
	svc := r.service(300 * time.Millisecond)
	r.runUntil(svc, "a good round", func() bool { return r.probes("ok") >= 1 })
	link.Stall()
	rounds := len(r.stored())
	r.runUntil(svc, "an alarm", func() bool { return r.probes("late") >= 1 })
	if n := len(r.stored()) - rounds; n > 2 {
		t.Errorf("%d rounds until the alarm", n)
	}
	said := r.log.String()
	if !strings.Contains(said, "level=error") || !strings.Contains(said, "stalled") || strings.Contains(said, "sound") || !strings.Contains(said, "curfew events get ") || !strings.Contains(said, "curfew doctor") {
		t.Errorf("the log says\n%s", said)
	}
	r.quiet()
	link.Heal()
	good := r.probes("ok")
	r.runUntil(svc, "a good round after the link is whole again", func() bool { return r.probes("ok") > good && testutil.ToFloat64(r.metrics.Failing) == 0 })
}

// TestStaleReplica: one that knows that it hears nothing turns everybody away, which is an alarm too, before anything is revoked.
func TestStaleReplica(t *testing.T) {
	r := newRig(t)
	link := natstest.NewProxy(t, r.srv.Addr())
	r.replica("stale", link.URL(), time.Second)
	svc := r.service(2 * time.Second)
	r.runUntil(svc, "a good round", func() bool { return r.probes("ok") >= 1 })
	link.Stall()
	r.runUntil(svc, "an alarm", func() bool {
		return r.probes("not_active")+r.probes("undetermined") >= 2 && testutil.ToFloat64(r.metrics.Failing) == 1
	})
	if said := r.log.String(); !strings.Contains(said, "turn everybody away") {
		t.Errorf("the log says\n%s", said)
	}
}

// TestPublisherDown: what can't be stored is an alarm, and so is a NATS that is away.
func TestPublisherDown(t *testing.T) {
	r := newRig(t)
	r.replica("a", r.srv.URL(), time.Hour)
	if err := r.stream.Close(); err != nil {
		t.Fatal(err)
	}
	svc := r.service(time.Second)
	r.runUntil(svc, "an alarm", func() bool { return r.probes("not_published") >= 2 })
	if said := r.log.String(); !strings.Contains(said, "couldn't be stored") {
		t.Errorf("the log says\n%s", said)
	}
	r.srv.Stop()
	r.runUntil(svc, "an alarm without NATS", func() bool { return r.probes("nobody") >= 2 })
	if r.probes("ok") != 0 || testutil.ToFloat64(r.metrics.LastSuccess) != 0 {
		t.Error("it tells of a success")
	}
}

// TestReplicasThatSayNothing: nobody is an alarm; one that has ended is none.
func TestReplicasThatSayNothing(t *testing.T) {
	r := newRig(t)
	svc := r.service(time.Second)
	r.runUntil(svc, "an alarm", func() bool { return r.probes("nobody") >= 1 })
	r.replica("a", r.srv.URL(), time.Hour)
	// It answers once each round, and has ended by the time that it is asked again.
	seen := map[string]bool{}
	nc := r.connect(r.srv.URL())
	natstest.Answer(t, nc, "ends", func(q replicas.Question) replicas.Answer {
		if seen[q.Session] {
			return replicas.Answer{State: string(make([]byte, 100_000))} // longer than an answer may be
		}
		seen[q.Session] = true
		return replicas.Answer{State: "active"}
	})
	alarms := strings.Count(r.log.String(), "level=error")
	r.runUntil(svc, "a round without it", func() bool { return r.probes("silent") >= 1 && r.probes("ok") >= 1 })
	if said := r.log.String(); strings.Count(said, "level=error") > alarms+1 || !strings.Contains(said, "cut off") {
		t.Errorf("the log says\n%s", said)
	}
}

// TestCheckOverHTTP: what a caller is told counts beside what the replicas say.
func TestCheckOverHTTP(t *testing.T) {
	for name, tt := range map[string]struct {
		// before and after are what is answered.
		before, after string
		err           error
		want          string
	}{
		"as it should be":     {"active", "revoked", nil, "ok"},
		"always active":       {"active", "active", nil, "http"},
		"undetermined":        {"undetermined", "undetermined", nil, "http"},
		"nothing":             {"", "", errors.New("connection refused"), "http"},
		"active, and nothing": {"active", "", nil, "http"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.replica("a", r.srv.URL(), 15*time.Second)
			asked := map[string]int{}
			r.check = func(_ context.Context, q replicas.Question) (string, error) {
				if q.User != canary.User || q.Tenant != "acme" || q.AuthTime.IsZero() {
					t.Errorf("asked about %+v", q)
				}
				if asked[q.Session]++; asked[q.Session] == 1 {
					return tt.before, tt.err
				}
				return tt.after, tt.err
			}
			r.runUntil(r.service(200*time.Millisecond), tt.want, func() bool { return r.probes(tt.want) >= 1 })
			if tt.want != "ok" && r.probes("ok") > 0 {
				t.Error("it tells of a success")
			}
		})
	}
}

func TestNewNamesWhatIsMissing(t *testing.T) {
	_, err := canary.New(canary.Config{})
	for _, name := range []string{"Publisher", "Ask", "Tenants", "Leeway", "Metrics", "Log"} {
		if err == nil || !strings.Contains(err.Error(), name+" is required") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
