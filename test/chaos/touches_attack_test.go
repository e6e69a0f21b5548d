package chaos

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// sessionsLeader is which server leads the bucket of sessions.
func sessionsLeader(t *testing.T, js jetstream.JetStream) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	stream, err := js.Stream(ctx, "KV_CURFEW_SESSIONS")
	if err != nil || stream.CachedInfo().Cluster == nil {
		return ""
	}
	return stream.CachedInfo().Cluster.Leader
}

// TestTouchesAfterALeaderIsLost: the server that leads the bucket of sessions is lost while thousands of touches are on their way to it. Once there is another leader, touches work again.
func TestTouchesAfterALeaderIsLost(t *testing.T) {
	c := newCluster(t)
	js := connect(t, c.urls(nil))
	i := serve(t, c[0].url(), "--ledger-replicas", "3", "--sessions-idle-timeout", "30s", "--sessions-notice", "1s")
	eventually(t, "another server than ours leads", func() bool {
		name := sessionsLeader(t, js)
		if name == c[0].cfg.Name {
			_, _ = js.Conn().Request("$JS.API.STREAM.LEADER.STEPDOWN.KV_CURFEW_SESSIONS", nil, time.Second)
			time.Sleep(300 * time.Millisecond)
			return false
		}
		return name != ""
	})
	const all = 1000
	touches := make([]string, all)
	var work sync.WaitGroup
	for w := range 8 {
		work.Go(func() {
			for n := w; n < all; n += 8 {
				if err := i.ask(http.MethodPost, "/v1/sessions", fmt.Sprintf(`{"session":"s-%d","user":"u-%d"}`, n, n%50), i.key, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
	for n := range touches {
		touches[n] = fmt.Sprintf(`{"session":"s-%d"}`, n)
	}
	batch := `{"touches":[` + strings.Join(touches, ",") + `]}`
	stop := make(chan struct{})
	var failed atomic.Int64
	for range 24 {
		work.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					began := time.Now()
					err := i.ask(http.MethodPost, "/v1/sessions/touch", batch, i.key, nil)
					if err != nil && failed.Add(1) < 6 {
						t.Logf("a batch, after %v: %v", time.Since(began), err)
					}
				}
			}
		})
	}
	time.Sleep(500 * time.Millisecond)
	name := sessionsLeader(t, js)
	victim := c.named(t, name)
	survivors := connect(t, c.urls(victim))
	victim.stop()
	t.Logf("froze %s, and curfew serve is connected to %s", name, c[0].cfg.Name)
	eventually(t, "another leader", func() bool { next := sessionsLeader(t, survivors); return next != "" && next != name })
	time.Sleep(3 * time.Second)
	close(stop)
	work.Wait()
	began := time.Now()
	var err error
	for time.Since(began) < 45*time.Second {
		if err = i.ask(http.MethodPost, "/v1/sessions/touch", `{"touches":[{"session":"s-1"}]}`, i.key, nil); err == nil {
			t.Logf("touches work again %v later", time.Since(began))
			break
		}
		time.Sleep(500 * time.Millisecond)
	}
	if err != nil {
		t.Errorf("45 s after there is another leader a touch still fails: %v", err)
	}
	var v struct{ State, Reason string }
	if err := i.ask(http.MethodGet, "/v1/sessions/s-1", "", i.key, &v); err != nil || v.State != "active" {
		t.Errorf("somebody is in s-1, and touches it twice a second: it is %s (%s), %v", v.State, v.Reason, err)
	}
	if err := i.ask(http.MethodPost, "/v1/sessions", `{"session":"late","user":"u"}`, i.key, nil); err != nil {
		t.Errorf("a registration: %v", err)
	}
	victim.cont()
	time.Sleep(5 * time.Second)
	t.Logf("after the old leader is back: %v", i.ask(http.MethodPost, "/v1/sessions/touch", `{"touches":[{"session":"s-1"}]}`, i.key, nil))
}
