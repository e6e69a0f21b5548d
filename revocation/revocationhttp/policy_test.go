package revocationhttp_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationhttp"
)

// gateSays is a gate whose answer can be changed, and which counts.
type gateSays struct {
	answer atomic.Value // string
	asked  atomic.Int32
}

func (g *gateSays) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.asked.Add(1)
	switch body := g.answer.Load().(string); body {
	case "hang":
		<-r.Context().Done()
	case "401":
		w.WriteHeader(http.StatusUnauthorized)
	default:
		says(body)(w, r)
	}
}

// outcome is what became of a request: its status, or its code where there is one.
func outcome(w *httptest.ResponseRecorder) string {
	if w.Code == http.StatusOK {
		return "pass"
	}
	for _, code := range []string{revocationhttp.CodeSessionRevoked, revocationhttp.CodeSessionUndetermined, revocationhttp.CodeClaimsMissing} {
		if strings.Contains(w.Body.String(), `"code":"`+code+`"`) {
			return code
		}
	}
	return fmt.Sprint(w.Code)
}

// Each policy against each state of the replica and each answer of a gate.
func TestPolicies(t *testing.T) {
	const (
		pass, revoked, undetermined = "pass", revocationhttp.CodeSessionRevoked, revocationhttp.CodeSessionUndetermined
		missing                     = revocationhttp.CodeClaimsMissing
	)
	states := []struct {
		name    string
		arrange func(*testing.T, *rig)
		session string
		header  string
		// known is the outcome that the replica itself decides, "" where it can't tell.
		known string
	}{
		{name: "active", known: pass},
		{name: "revoked", arrange: func(t *testing.T, g *rig) { g.publish(t, sessionRevoked(t, "s1", events.ReasonUserLogout)) }, known: revoked},
		{name: "stale", arrange: func(_ *testing.T, g *rig) { g.feed.Stall(); time.Sleep(16 * time.Second) }},
		{name: "revoked and stale", arrange: func(t *testing.T, g *rig) {
			g.publish(t, sessionRevoked(t, "s1", events.ReasonUserLogout))
			g.feed.Stall()
			time.Sleep(16 * time.Second)
		}, known: revoked},
		{name: "not synced", arrange: func(t *testing.T, g *rig) {
			g.feed.Stall()
			g.feed.Recreate()
			g.feed.Publish(sessionRevoked(t, "s9", events.ReasonAdmin))
			time.Sleep(3 * time.Second)
		}},
		{name: "behind", header: "1000000"},
		{name: "without a user, and stale", session: "s1", arrange: func(_ *testing.T, g *rig) { g.feed.Stall(); time.Sleep(16 * time.Second) }, known: missing},
		{name: "closed", arrange: func(_ *testing.T, g *rig) { _ = g.replica.Close() }, known: undetermined},
	}
	answers := []struct {
		name, body string
		// err is what OnAsk is told.
		err error
		// told is the outcome that the gate decides, "" where it can't tell either.
		told string
	}{
		{"active", active(1_000_000, 100), nil, pass},
		{"revoked", revokedVerdict, nil, revoked},
		{"undetermined", `{"tenant":"default","state":"undetermined","position":1000000,"staleness_ms":100}`, revocationhttp.ErrGateUndetermined, ""},
		{"stale", active(1_000_000, 15_001), revocationhttp.ErrGateUndetermined, ""},
		{"garbage", "<html>", revocationhttp.ErrGateUnavailable, ""},
		{"wrong key", "401", revocationhttp.ErrGateRefused, ""},
		{"slow", "hang", revocationhttp.ErrGateUnavailable, ""},
	}
	for _, state := range states {
		for _, answer := range answers {
			t.Run(state.name+", gate says "+answer.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					says := &gateSays{}
					says.answer.Store(answer.body)
					_, transport := serveOver(t, says)
					gate := newGate(t, transport, nil)
					g := newRig(t, revocationhttp.Config{})
					synctest.Wait()
					if state.arrange != nil {
						state.arrange(t, g)
					}
					for _, open := range []bool{false, true} {
						second := undetermined
						if open {
							second = pass
						}
						for _, policy := range []struct {
							revocationhttp.Policy
							want string
						}{
							{revocationhttp.Policy{DangerouslyFailOpen: open}, second},
							{revocationhttp.Policy{Ask: gate, DangerouslyFailOpen: open}, first(answer.told, second)},
						} {
							want := first(state.known, policy.want)
							asks := state.known == "" && policy.Ask != nil
							failsOpen := state.known == "" && open && (!asks || answer.told == "")
							_, opened, _, _ := g.told.counts()
							asked := says.asked.Load()
							r := request(first(state.session, "s1 u1"))
							if state.header != "" {
								r.Header.Set("Curfew-Position", state.header)
							}
							if got := outcome(do(g.guard.With(policy.Policy).Handler(ok), r)); got != want {
								t.Errorf("asks %t, fails open %t: %s, want %s", policy.Ask != nil, open, got, want)
							}
							if n := says.asked.Load() - asked; (n == 1) != asks || n > 1 {
								t.Errorf("asks %t, fails open %t: asked %d times", policy.Ask != nil, open, n)
							}
							errs := g.told.takeAsked()
							if (len(errs) == 1) != asks || asks && !errors.Is(errs[0], answer.err) {
								t.Errorf("asks %t, fails open %t: OnAsk told %v, want %v", policy.Ask != nil, open, errs, answer.err)
							}
							if _, now, _, _ := g.told.counts(); (now == opened+1) != failsOpen {
								t.Errorf("asks %t, fails open %t: %d passes told, want one %t", policy.Ask != nil, open, now-opened, failsOpen)
							}
						}
					}
				})
			})
		}
	}
}

func first(s ...string) string {
	for _, v := range s {
		if v != "" {
			return v
		}
	}
	return ""
}

// A gate must meet what the route requires: its budget where that is shorter than the replica's, and the replica's otherwise.
func TestPolicyHoldsTheGateToTheRoutesBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		_, transport := serveOver(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			_, budget, _ := strings.Cut(string(body), `"max_staleness_ms":`)
			asked = append(asked, strings.TrimRight(budget, "}"))
			says(active(5, 4000))(w, r)
		}))
		gate := newGate(t, transport, nil)
		g := newRig(t, revocationhttp.Config{Policy: revocationhttp.Policy{Ask: gate}})
		synctest.Wait()
		g.feed.Stall()
		time.Sleep(16 * time.Second)
		for _, tt := range []struct {
			budget time.Duration
			asked  string
			status int
		}{{0, "15000", 200}, {time.Hour, "15000", 200}, {5 * time.Second, "5000", 200}, {3 * time.Second, "3000", 503}} {
			asked = nil
			// RequireFresh keeps the rest of the policy.
			w := do(g.guard.RequireFresh(tt.budget)(ok), request("s1 u1"))
			if w.Code != tt.status || len(asked) != 1 || asked[0] != tt.asked {
				t.Errorf("budget %v: %d, asked for %v; want %d, %s", tt.budget, w.Code, asked, tt.status, tt.asked)
			}
		}
	})
}

// What the replica learns while a gate is asked counts for more than what the gate says, or doesn't.
func TestPolicyWhileAsking(t *testing.T) {
	for _, tt := range []struct {
		name, answer string
		learns       func(*testing.T, *rig)
		want         string
	}{
		{"the session is revoked, and the gate says active", active(1, 0), func(t *testing.T, g *rig) {
			g.feed.Publish(sessionRevoked(t, "s1", events.ReasonAdmin))
			g.feed.Resume()
		}, revocationhttp.CodeSessionRevoked},
		{"the session is revoked, and the gate says nothing", "garbage", func(t *testing.T, g *rig) {
			g.feed.Publish(sessionRevoked(t, "s1", events.ReasonAdmin))
			g.feed.Resume()
		}, revocationhttp.CodeSessionRevoked},
		{"it is fresh again, and the gate says nothing", "garbage", func(_ *testing.T, g *rig) { g.feed.Resume() }, "pass"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var g *rig
				_, transport := serveOver(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					tt.learns(t, g)
					<-time.After(100 * time.Millisecond)
					says(tt.answer)(w, r)
				}))
				g = newRig(t, revocationhttp.Config{})
				synctest.Wait()
				g.feed.Stall()
				time.Sleep(16 * time.Second)
				policy := revocationhttp.Policy{Ask: newGate(t, transport, nil)}
				if got := outcome(do(g.guard.With(policy).Handler(ok), request("s1 u1"))); got != tt.want {
					t.Errorf("%s, want %s", got, tt.want)
				}
			})
		})
	}
}

// A session that a gate has vouched for ends like any other once the replica learns of its end.
func TestLiveAfterAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, transport := serveOver(t, says(active(1, 0)))
		g := newRig(t, revocationhttp.Config{Policy: revocationhttp.Policy{Ask: newGate(t, transport, nil)}})
		synctest.Wait()
		g.feed.Stall()
		time.Sleep(time.Minute)
		g.feed.Publish(sessionRevoked(t, "s1", events.ReasonAdmin))
		run := g.run(t, g.guard.Handler, "s1 u1", "s2 u2")
		if ended := run.ended(); len(ended) != 0 {
			t.Fatalf("ended %v while stale", ended)
		}
		g.feed.Resume()
		synctest.Wait()
		if ended := run.ended(); len(ended) != 1 || !errors.Is(ended["s1"], revocation.ErrSessionEnded) {
			t.Errorf("ended %v, want s1", ended)
		}
	})
}

func TestPolicyNegativeBudgetPanics(t *testing.T) {
	g := newRig(t, revocationhttp.Config{})
	defer func() {
		if recover() == nil {
			t.Error("a negative budget doesn't panic")
		}
	}()
	g.guard.With(revocationhttp.Policy{Require: revocation.Require{MaxStaleness: -1}})
}
