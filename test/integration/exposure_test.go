package integration

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"github.com/curfewhq/curfew/services/gate"
	"github.com/curfewhq/curfew/services/publisher"
	"github.com/curfewhq/curfew/services/replay"
)

// passed is one line of the log that the test keeps of what got through: somewhere between before and after, in the process's own time.
type passed struct {
	process, session, route string
	before, after           time.Time
}

// requestLog is the test's own, which knows nothing of rings. It is safe for concurrent use.
type requestLog struct {
	mu    sync.Mutex
	lines []passed
}

func (l *requestLog) add(p passed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, p)
}

// since returns what a process let through of some sessions: what it surely has since a time, and what it may have, since the line's times lie on both sides of it.
func (l *requestLog) since(process string, sessions []string, at time.Time) (surely, maybe []passed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.lines {
		switch {
		case p.process != process || !slices.Contains(sessions, p.session):
		case !p.before.Before(at):
			surely = append(surely, p)
		case !p.after.Before(at):
			maybe = append(maybe, p)
		}
	}
	return surely, maybe
}

// routes are those of all lines, sorted.
func (l *requestLog) routes() (all []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.lines {
		if !slices.Contains(all, p.route) {
			all = append(all, p.route)
		}
	}
	slices.Sort(all)
	return all
}

// TestExposureIsWhatTheLogSays: a gate, and a service whose link to the ledger stalls while sessions are revoked under traffic. What is told of each event is what the log has of it, and what isn't
// whole is never called so.
func TestExposureIsWhatTheLogSays(t *testing.T) {
	for _, test := range []struct {
		name    string
		entries int
		whole   bool
	}{{"roomy", 1 << 16, true}, {"roomy again", 1 << 15, true}, {"cramped", 64, false}} {
		t.Run(test.name, func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			rig := newExposed(t, test.entries)
			revoked := rig.revokeUnderTraffic(t, rand.New(rand.NewPCG(seed, 0)))
			partial, exposedByService := 0, 0
			for _, r := range revoked {
				var x replay.Exposure
				if err := rig.client.Call(t.Context(), http.MethodGet, "/v1/exposure?timeout=500ms&event="+r.receipt.ID, nil, nil, &x); err != nil {
					t.Fatal(err)
				}
				if len(x.Processes) != 2 || x.SilentCount != 0 || !slices.Equal(x.Sessions, r.sessions) {
					t.Fatalf("%d processes, %d silent, about %v and not %v", len(x.Processes), x.SilentCount, x.Sessions, r.sessions)
				}
				for _, p := range x.Processes {
					process := "gate"
					if p.Name == "billing" {
						process = "billing"
						exposedByService += p.Count
					}
					rig.hold(t, p, process, r.sessions, x.Since)
					if !p.Whole {
						partial++
					}
					if lasted := p.AppliedAt.Sub(r.receipt.Time); !p.Applied || process == "billing" && lasted < stalled/2 {
						t.Errorf("%s: applied %v, %v behind the decision", p.Name, p.Applied, lasted)
					}
				}
			}
			if diff := cmp.Diff([]string{healthpb.Health_Check_FullMethodName, "GET /pay/{what}", "GET /read/{what}", "GET /v1/forward-auth", "POST /v1/check"}, rig.log.routes()); diff != "" {
				t.Errorf("the routes by which something got through (-want +got):\n%s", diff)
			}
			if exposedByService == 0 {
				t.Error("nothing got through a service that hasn't heard: the test shows nothing")
			}
			if test.whole != (partial == 0) {
				t.Errorf("%d of the answers aren't whole", partial)
			}
		})
	}
}

// hold holds what a process tells against the log.
func (x *exposed) hold(t *testing.T, p replay.ExposedProcess, process string, sessions []string, since time.Time) {
	t.Helper()
	surely, maybe := x.log.since(process, sessions, since)
	if p.Count != len(p.Passes) {
		t.Fatalf("%d of %d are listed", len(p.Passes), p.Count)
	}
	left := slices.Concat(surely, maybe)
	for _, pass := range p.Passes {
		i := slices.IndexFunc(left, func(l passed) bool {
			return l.session == pass.Session && l.route == pass.Route && !pass.At.Before(l.before.Truncate(time.Millisecond)) && !pass.At.After(l.after)
		})
		if i < 0 {
			t.Fatalf("%s: the log has nothing of %+v", process, pass)
		}
		left = slices.Delete(left, i, i+1)
	}
	if p.Whole && (p.Count < len(surely) || p.Count > len(surely)+len(maybe)) {
		t.Errorf("%s tells of %d and calls that whole; the log has %d, and %d that may have been before", process, p.Count, len(surely), len(maybe))
	}
	if p.Whole == p.WholeSince.After(since) {
		t.Errorf("%s: whole is %v, but it knows all since %v of %v", process, p.Whole, p.WholeSince, since)
	}
}

// revocationOf is a revocation of the test, and the sessions that it names.
type revocationOf struct {
	receipt  publisher.Stored
	sessions []string
}

// stalled is for how long the service hears nothing.
const stalled = 300 * time.Millisecond

// revokeUnderTraffic has workers ask gate and service about sessions at random, revokes some of them while the service hears nothing, and returns when both know.
func (x *exposed) revokeUnderTraffic(t *testing.T, random *rand.Rand) (all []revocationOf) {
	stop := make(chan struct{})
	var workers sync.WaitGroup
	for range 4 {
		own := rand.New(rand.NewPCG(random.Uint64(), 1))
		workers.Go(func() {
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-stop:
					return
				case <-tick.C:
					x.request(t, own)
				}
			}
		})
	}
	pause := func(d time.Duration) {
		select {
		case <-time.After(d):
		case <-t.Context().Done():
		}
	}
	pause(100 * time.Millisecond)
	x.link.Stall()
	for i := range 8 {
		pause(time.Duration(random.IntN(10)) * time.Millisecond)
		r := publisher.Revocation{Scope: "session", Session: sessionName(i), User: "ada"}
		sessions := []string{r.Session}
		if i%4 == 3 { // a user's, which names two that nothing else ends
			sessions = []string{sessionName(8 + i), sessionName(9 + i)}
			r = publisher.Revocation{Scope: "user", User: fmt.Sprint("other-", i), KnownSessions: sessions}
		}
		slices.Sort(sessions)
		var receipt publisher.Stored
		if err := x.client.Call(t.Context(), http.MethodPost, "/v1/revocations", nil, r, &receipt); err != nil {
			t.Fatal(err)
		}
		all = append(all, revocationOf{receipt, sessions})
	}
	pause(stalled)
	x.link.Heal()
	x.await(t, all[len(all)-1].receipt.Position)
	pause(50 * time.Millisecond)
	close(stop)
	workers.Wait()
	return all
}

// request makes one request, of the gate's check call or its forward-auth, or of the service over HTTP or gRPC, and logs it if it got through.
func (x *exposed) request(t *testing.T, random *rand.Rand) {
	sid := sessionName(random.IntN(20))
	line := passed{process: "gate", session: sid, route: "POST /v1/check", before: time.Now()}
	switch random.IntN(4) {
	case 0:
		var v gate.Verdict
		err := x.client.Call(t.Context(), http.MethodPost, "/v1/check", nil, gate.Question{Session: sid, User: "ada", AuthTime: &x.authTime}, &v)
		if line.after = time.Now(); err == nil && v.State == "active" {
			x.log.add(line)
		}
		return
	case 1:
		line.route = "GET /v1/forward-auth"
		x.get(t, x.own.URL()+"/v1/forward-auth", "Bearer "+x.token(t, sid), line)
		return
	case 2:
		line.process, line.route = "billing", healthpb.Health_Check_FullMethodName
		_, err := x.calls.Check(metadata.AppendToOutgoingContext(t.Context(), "session", sid), &healthpb.HealthCheckRequest{})
		if line.after = time.Now(); err == nil {
			x.log.add(line)
		}
		return
	}
	path := []string{"/pay/", "/read/"}[random.IntN(2)]
	line.process, line.route = "billing", "GET "+path+"{what}"
	x.get(t, x.serviceURL+path+"1?"+url.Values{"session": {sid}}.Encode(), "", line)
}

// get makes a request with a header Authorization, or without, and logs it if it got through.
func (x *exposed) get(t *testing.T, url, authorization string, line passed) {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Error(err)
		return
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	line.before = time.Now()
	resp, err := x.service.Do(r)
	if err != nil {
		t.Error(err)
		return
	}
	_ = resp.Body.Close()
	if line.after = time.Now(); resp.StatusCode == http.StatusOK {
		x.log.add(line)
	}
}

func sessionName(i int) string { return fmt.Sprintf("s-%02d", i) }
