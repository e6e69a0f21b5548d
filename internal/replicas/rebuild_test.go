package replicas_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/internal/replicas"
)

// obey has a replica take orders until the test ends.
func obey(t *testing.T, srv *natstest.Server, name, group string, rebuild func(context.Context) (replicas.Rebuild, error)) *replicas.Obeying {
	t.Helper()
	nc := connect(t, srv)
	o, err := replicas.Obey(nc, name, group, rebuild)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.Close)
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return o
}

// An order reaches the replicas of its group, and is over when each has carried it out; given again, it asks what has become of it.
func TestOrder(t *testing.T) {
	srv := natstest.Start(t)
	var done atomic.Int32
	slow := make(chan struct{})
	obey(t, srv, "a", "blue", func(context.Context) (replicas.Rebuild, error) {
		done.Add(1)
		return replicas.Rebuild{Same: true, Digest: "d1", Position: 7}, nil
	})
	obey(t, srv, "b", "blue", func(context.Context) (replicas.Rebuild, error) {
		<-slow
		done.Add(1)
		return replicas.Rebuild{Digest: "d1", Position: 8}, nil
	})
	obey(t, srv, "c", "green", func(context.Context) (replicas.Rebuild, error) {
		t.Error("another group's")
		return replicas.Rebuild{}, nil
	})
	told := 0
	got, err := replicas.Order(t.Context(), connect(t, srv), "order-1", "blue", func(list []replicas.Rebuild) {
		if told++; len(list) == 2 && told == 3 {
			close(slow)
		}
	})
	if err != nil || len(got) != 2 || got[0].Name != "a" || !got[0].Same || got[0].State != replicas.RebuildDone || got[1].Same || got[1].Position != 8 || got[1].State != replicas.RebuildDone {
		t.Errorf("%+v, %v", got, err)
	}
	again, err := replicas.Order(t.Context(), connect(t, srv), "order-1", "blue", func([]replicas.Rebuild) {})
	if err != nil || len(again) != 2 || again[1].State != replicas.RebuildDone || done.Load() != 2 {
		t.Errorf("again: %+v, %v, done %d times", again, err, done.Load())
	}
	if _, err := replicas.Order(t.Context(), connect(t, srv), "order-2", "red", func([]replicas.Rebuild) {}); !errors.Is(err, replicas.ErrNobody) {
		t.Errorf("of nobody: %v", err)
	}
	if _, err := replicas.Order(t.Context(), connect(t, srv), "order-2", "R>", func([]replicas.Rebuild) {}); !errors.Is(err, replicas.ErrInvalid) {
		t.Errorf("not in form: %v", err)
	}
}

// One that has failed says why, and does it again when it is told again; one that reads takes no other order; one that is killed while it reads isn't waited for.
func TestOrderThatFails(t *testing.T) {
	srv := natstest.Start(t)
	var tries atomic.Int32
	obey(t, srv, "a", "blue", func(context.Context) (replicas.Rebuild, error) {
		if tries.Add(1) == 1 {
			return replicas.Rebuild{}, errors.New("the ledger is away")
		}
		return replicas.Rebuild{Same: true}, nil
	})
	nc := connect(t, srv)
	order := func(id string) ([]replicas.Rebuild, error) {
		return replicas.Order(t.Context(), nc, id, "blue", func([]replicas.Rebuild) {})
	}
	if got, err := order("order-1"); err != nil || len(got) != 1 || got[0].State != replicas.RebuildFailed || got[0].Error != "the ledger is away" {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := order("order-1"); err != nil || len(got) != 1 || got[0].State != replicas.RebuildDone {
		t.Errorf("told again: %+v, %v", got, err)
	}

	reads := make(chan struct{})
	stuck := obey(t, srv, "b", "slow", func(ctx context.Context) (replicas.Rebuild, error) {
		close(reads)
		<-ctx.Done()
		return replicas.Rebuild{}, ctx.Err()
	})
	ended := make(chan []replicas.Rebuild, 1)
	go func() {
		got, _ := replicas.Order(t.Context(), nc, "order-2", "slow", func([]replicas.Rebuild) {})
		ended <- got
	}()
	<-reads
	got, err := replicas.Order(t.Context(), nc, "order-3", "slow", func([]replicas.Rebuild) {})
	if err != nil || len(got) != 1 || got[0].State != replicas.RebuildFailed || !strings.Contains(got[0].Error, "by another order") {
		t.Errorf("beside another: %+v, %v", got, err)
	}
	stuck.Close()
	select {
	case got := <-ended:
		if len(got) != 1 || got[0].State != replicas.RebuildFailed {
			t.Errorf("%+v", got)
		}
	case <-time.After(30 * time.Second):
		t.Error("it is waited for without end")
	}
}

// What isn't in form is ignored, and an answer goes nowhere but where answers go.
func TestObeyRefuses(t *testing.T) {
	srv := natstest.Start(t)
	obeyed := make(chan struct{}, 10)
	obey(t, srv, "a", "blue", func(context.Context) (replicas.Rebuild, error) { obeyed <- struct{}{}; return replicas.Rebuild{}, nil })
	nc := connect(t, srv)
	for _, bad := range []string{``, `{`, `{"v":2,"id":"x","group":"blue"}`, `{"v":1,"group":"blue"}`, `{"v":1,"id":"x"}`, `{"v":1,"id":"` + strings.Repeat("x", 65) + `","group":"blue"}`} {
		if err := nc.PublishRequest(bus.LiveRebuildTopic, bus.LiveAnswerTopic("x"), []byte(bad)); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.PublishRequest(bus.LiveRebuildTopic, "curfew.v1.acme.00.user", []byte(`{"v":1,"id":"x","group":"blue"}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := replicas.Order(t.Context(), nc, "good", "blue", func([]replicas.Rebuild) {}); err != nil {
		t.Fatal(err)
	}
	if len(obeyed) != 1 {
		t.Errorf("%d orders were obeyed", len(obeyed))
	}
}
