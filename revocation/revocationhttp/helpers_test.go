package revocationhttp_test

import (
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationhttp"
	"github.com/curfewhq/curfew/revocation/revocationtest"
)

var update = flag.Bool("update", false, "write golden files anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds waits that succeed in a moment unless something is broken.
const patience = 10 * time.Second

// common returns the common fields of an event that happens now.
func common(t testing.TB, reason events.Reason) events.Common {
	t.Helper()
	id, err := events.NewID()
	if err != nil {
		t.Fatal(err)
	}
	return events.Common{
		ID: id, Time: time.Now(), Source: "test", Tenant: events.DefaultTenant, Reason: reason,
		ReasonAdmin: "secret-admin-note", ReasonUser: "secret-user-note",
		Initiator: events.Initiator{Type: events.InitiatorAdmin, ID: "secret-admin-id"},
	}
}

func sessionRevoked(t testing.TB, sid string, reason events.Reason) events.Event {
	return &events.SessionRevoked{Common: common(t, reason), Session: sid}
}

func loggedOutEverywhere(t testing.TB, user string, except ...string) events.Event {
	return &events.UserLoggedOutEverywhere{
		Common: common(t, events.ReasonPasswordChanged), User: user, Cutoff: time.Now(), Except: except,
	}
}

// session returns a session that began an hour ago, with every claim.
func session(sid, user string) revocation.Session {
	return revocation.Session{ID: sid, User: user, Device: "device-of-" + sid, Client: "client-1", AuthTime: time.Now().Add(-time.Hour)}
}

// rig is a middleware over a replica over a fake feed.
type rig struct {
	feed    *revocationtest.Feed
	replica *revocation.Replica
	guard   *revocationhttp.Middleware
	told    *told
}

// told records what the hooks were told.
type told struct {
	mu        sync.Mutex
	decisions []revocation.Decision
	failOpen  []revocation.Decision
	ended     []revocation.Decision
	errs      []error
	asked     []error
	episodes  []revocationhttp.Episode
}

func (h *told) into(list *[]revocation.Decision) func(*http.Request, revocation.Decision) {
	return func(_ *http.Request, d revocation.Decision) {
		h.mu.Lock()
		defer h.mu.Unlock()
		*list = append(*list, d)
	}
}

func (h *told) counts() (decisions, failOpen, ended, errs int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.decisions), len(h.failOpen), len(h.ended), len(h.errs)
}

func (h *told) all() (decisions, failOpen, ended []revocation.Decision) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.decisions), slices.Clone(h.failOpen), slices.Clone(h.ended)
}

// takeAsked returns what OnAsk has told since the last call.
func (h *told) takeAsked() []error {
	h.mu.Lock()
	defer h.mu.Unlock()
	asked := h.asked
	h.asked = nil
	return asked
}

// takeEpisodes returns what OnEpisode has told since the last call.
func (h *told) takeEpisodes() []revocationhttp.Episode {
	h.mu.Lock()
	defer h.mu.Unlock()
	episodes := h.episodes
	h.episodes = nil
	return episodes
}

// newRig opens a replica whose feed beats each second, and a middleware whose sessions come from headers (see fromHeaders) unless cfg
// says otherwise. Everything is closed with the test.
func newRig(t testing.TB, cfg revocationhttp.Config) *rig {
	t.Helper()
	feed := revocationtest.New()
	feed.AutoBeat(time.Second)
	replica, err := revocation.Open(t.Context(), revocation.Config{Feed: feed})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = replica.Close() })
	h := &told{}
	cfg.Replica = replica
	if cfg.Session == nil {
		cfg.Session = fromHeaders
	}
	cfg.OnDecision, cfg.OnFailOpen, cfg.OnEnded = h.into(&h.decisions), h.into(&h.failOpen), h.into(&h.ended)
	cfg.OnAsk = func(_ *http.Request, _ revocation.Decision, err error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.asked = append(h.asked, err)
	}
	cfg.OnEpisode = func(e revocationhttp.Episode) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.episodes = append(h.episodes, e)
	}
	cfg.OnError = func(_ *http.Request, err error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.errs = append(h.errs, err)
	}
	guard, err := revocationhttp.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = guard.Close() })
	return &rig{feed: feed, replica: replica, guard: guard, told: h}
}

// fromHeaders is the session function of the tests: X-Test-Session is "sid user".
func fromHeaders(r *http.Request) (revocation.Session, error) {
	switch v := r.Header.Get("X-Test-Session"); v {
	case "":
		return revocation.Session{}, revocationhttp.ErrNoSession
	case "bad":
		return revocation.Session{}, fmt.Errorf("%w: expired", revocationhttp.ErrInvalidToken)
	case "broken":
		return revocation.Session{}, errors.New("the database says 42")
	default:
		sid, user, _ := strings.Cut(v, " ")
		return session(sid, user), nil
	}
}

// publish stores e and waits until the replica has applied it.
func (g *rig) publish(t testing.TB, e events.Event) uint64 {
	t.Helper()
	position := g.feed.Publish(e)
	if err := g.replica.WaitFor(t.Context(), position); err != nil {
		t.Fatal(err)
	}
	return position
}

func request(sid string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if sid != "" {
		r.Header.Set("X-Test-Session", sid)
	}
	return r
}

func do(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// ok is a handler that answers 200 and the session's id.
var ok = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	s, found := revocationhttp.SessionFrom(r.Context())
	fmt.Fprintf(w, "session %q %v", s.ID, found)
})

// checkGolden compares got with testdata/<name>.
func checkGolden(t *testing.T, name, got string) {
	t.Helper()
	file := "testdata/" + name
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%s\nwant (%s):\n%s", got, file, want)
	}
}

// dump writes an answer down: status, headers in order, body.
func dump(w *httptest.ResponseRecorder) string {
	var b strings.Builder
	fmt.Fprintln(&b, w.Code, http.StatusText(w.Code))
	_ = w.Result().Header.Write(&b)
	fmt.Fprintf(&b, "\n%s", w.Body)
	return strings.ReplaceAll(b.String(), "\r\n", "\n")
}

// pass lets time go by, in a bubble.
func pass(d time.Duration) { <-time.After(d) }
