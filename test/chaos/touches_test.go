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
	var taken atomic.Int64
	for range 24 {
		work.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if i.ask(http.MethodPost, "/v1/sessions/touch", batch, i.key, nil) == nil {
						taken.Add(1)
					}
				}
			}
		})
	}
	eventually(t, "touches are on their way", func() bool { return taken.Load() > 5 })
	name := sessionsLeader(t, js)
	victim := c.named(t, name)
	survivors := connect(t, c.urls(victim))
	victim.stop()
	eventually(t, "another leader", func() bool { next := sessionsLeader(t, survivors); return next != "" && next != name })
	before := taken.Load()
	eventually(t, "touches are taken again, and go on to be", func() bool { return taken.Load() > before+5 })
	close(stop)
	work.Wait()
	var v struct{ State, Reason string }
	if err := i.ask(http.MethodGet, "/v1/sessions/s-1", "", i.key, &v); err != nil || v.State != "active" {
		t.Errorf("somebody is in s-1, and touches it all the time: it is %s (%s), %v", v.State, v.Reason, err)
	}
	victim.cont()
	if err := i.ask(http.MethodPost, "/v1/sessions", `{"session":"late","user":"u"}`, i.key, nil); err != nil {
		t.Errorf("a registration: %v", err)
	}
}
