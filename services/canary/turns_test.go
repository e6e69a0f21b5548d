package canary_test

import (
	"context"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/sirupsen/logrus"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/replicas"
	"github.com/curfewhq/curfew/services/canary"
)

// told is a ledger and a replica without any time between the two but delay.
type told struct {
	mu sync.Mutex
	// at: session → when it was revoked.
	at map[string]time.Time
	// seen: tenant → when it was looked at.
	seen  map[string][]time.Time
	delay time.Duration
}

func (l *told) PublishAck(_ context.Context, topic string, msg *message.Message) (bus.Ack, error) {
	e, err := events.DecodeMessage(topic, msg.Payload)
	if err != nil {
		return bus.Ack{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at[e.(*events.SessionRevoked).Session] = time.Now()
	l.seen[e.Meta().Tenant] = append(l.seen[e.Meta().Tenant], time.Now())
	return bus.Ack{Position: 1}, nil
}

func (l *told) ask(ctx context.Context, q replicas.Question, each func(replicas.Answer) bool) error {
	l.mu.Lock()
	at, over := l.at[q.Session]
	l.mu.Unlock()
	state := "active"
	if over && time.Since(at) >= l.delay {
		state = "revoked"
	}
	if each(replicas.Answer{Name: "a", State: state}) {
		<-ctx.Done()
	}
	return nil
}

// TestManyTenantsTakeTurns: of 50 tenants 20 are looked at each minute, and each of them within three.
func TestManyTenantsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &told{at: map[string]time.Time{}, seen: map[string][]time.Time{}}
		tenants := make([]string, 50)
		for i := range tenants {
			tenants[i] = fmt.Sprintf("t-%02d", i)
		}
		run(t, l, tenants, 9*time.Minute+30*time.Second)
		for _, tenant := range tenants {
			seen := l.seen[tenant]
			if len(seen) < 4 || len(seen) > 4 {
				t.Errorf("%s was looked at %d times in ten rounds", tenant, len(seen))
			}
			for i := 1; i < len(seen); i++ {
				if gap := seen[i].Sub(seen[i-1]); gap > 3*time.Minute {
					t.Errorf("%s wasn't looked at for %v", tenant, gap)
				}
			}
		}
	})
}

// TestTimes: what takes a second is measured as a second, a round comes each minute, and what takes longer than patience is an alarm.
func TestTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &told{at: map[string]time.Time{}, seen: map[string][]time.Time{}, delay: time.Second}
		m := run(t, l, []string{"acme"}, 4*time.Minute+30*time.Second)
		if seen := l.seen["acme"]; len(seen) != 5 || seen[4].Sub(seen[0]) != 4*time.Minute {
			t.Errorf("rounds at %v", seen)
		}
		if n := testutil.ToFloat64(m.Probes.WithLabelValues("ok")); n != 5 {
			t.Errorf("%v good rounds", n)
		}
		l.delay = canary.Patience + time.Second
		if n := testutil.ToFloat64(run(t, l, []string{"acme"}, time.Minute+30*time.Second).Probes.WithLabelValues("late")); n != 2 {
			t.Errorf("%v alarms in two rounds", n)
		}
	})
}

func run(t *testing.T, l *told, tenants []string, d time.Duration) *canary.Metrics {
	t.Helper()
	log := logrus.New()
	log.SetOutput(io.Discard)
	m := canary.NewMetrics(prometheus.NewRegistry())
	svc, err := canary.New(canary.Config{Publisher: l, Ask: l.ask, Tenants: func() []string { return tenants }, Leeway: time.Minute, Metrics: m, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	svc.Run(ctx)
	return m
}
