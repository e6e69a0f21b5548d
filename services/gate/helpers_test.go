package gate_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/access/accesstest"
	"github.com/curfewhq/curfew/internal/telemetry"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationhttp"
	"github.com/curfewhq/curfew/revocation/revocationtest"
	"github.com/curfewhq/curfew/services/gate"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	cookie  = "app_session"
	eventID = "01890a5d-ac96-774b-bcce-b302099a8057"
)

// apiKeys are a store and the texts of some keys in it.
type apiKeys struct {
	store *access.Store
	// check may check in the default tenant, acme in the tenant acme; publish may only publish.
	check, acme, publish string
}

// newKeys opens a store over a NATS of its own. In tests with a bubble it is made outside: a server can't live in one.
func newKeys(t testing.TB) apiKeys {
	t.Helper()
	keys := apiKeys{store: accesstest.Apart(t)}
	_, keys.check = accesstest.Key(t, keys.store, events.DefaultTenant, access.ScopeCheck)
	_, keys.acme = accesstest.Key(t, keys.store, "acme", access.ScopeCheck)
	_, keys.publish = accesstest.Key(t, keys.store, events.DefaultTenant, access.ScopePublish)
	return keys
}

// issuerKey signs the tests' tokens.
var issuerKey = sync.OnceValue(func() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
})

// token signs claims and adds exp where it is missing.
func token(t testing.TB, claims map[string]any) string {
	t.Helper()
	if _, ok := claims["exp"]; !ok {
		claims["exp"] = time.Now().Add(time.Hour).Unix()
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: issuerKey()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

// claims are those of a session that began a minute ago.
func claims(sid, user string) map[string]any {
	return map[string]any{"sid": sid, "sub": user, "auth_time_ms": time.Now().Add(-time.Minute).UnixMilli()}
}

// rig is a gate over a replica over a fake feed that beats each second.
type rig struct {
	keys    apiKeys
	feed    *revocationtest.Feed
	replica *revocation.Replica
	metrics *telemetry.Metrics
	svc     *gate.Service
	mux     *http.ServeMux
	ledger  *stored
	// logged is what the gate has logged; read it when nothing is under way.
	logged *bytes.Buffer
}

// newRig starts a gate that is closed with the test. change may be nil.
func newRig(t testing.TB, keys apiKeys, change func(*gate.Config)) *rig {
	t.Helper()
	feed := revocationtest.New()
	feed.AutoBeat(time.Second)
	replica, err := revocation.Open(t.Context(), revocation.Config{Feed: feed})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = replica.Close() })
	jwt, err := revocationhttp.NewJWT(revocationhttp.JWTConfig{
		Algorithms: []jose.SignatureAlgorithm{jose.ES256}, Keys: revocationhttp.StaticKey(&issuerKey().PublicKey), Cookie: cookie,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = jwt.Close() })
	g := &rig{keys: keys, feed: feed, replica: replica, metrics: telemetry.NewMetrics(prometheus.NewRegistry()), mux: http.NewServeMux(), ledger: &stored{}, logged: &bytes.Buffer{}}
	log := logrus.New()
	log.SetOutput(g.logged)
	cfg := gate.Config{Replica: replica, Keys: keys.store, Session: jwt.Session, EventAt: g.ledger.eventAt, Metrics: g.metrics, Log: log}
	if change != nil {
		change(&cfg)
	}
	svc, err := gate.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = svc.Close() })
	g.svc = svc
	svc.Routes(g.mux)
	return g
}

// bubble runs a test of a gate in a bubble that begins at midnight of 1 January 2000, when the first beat, position 1, has been applied.
func bubble(t *testing.T, change func(*gate.Config), test func(*testing.T, *rig)) {
	t.Helper()
	keys := newKeys(t)
	issuerKey()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, keys, change)
		synctest.Wait()
		test(t, g)
	})
}

// pass lets d go by in a bubble.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// publish stores e and waits until it is applied.
func (g *rig) publish(t testing.TB, e events.Event) uint64 {
	t.Helper()
	position := g.feed.Publish(e)
	g.ledger.put(position, e)
	if err := g.replica.WaitFor(t.Context(), position); err != nil {
		t.Fatal(err)
	}
	return position
}

// stored is what can be read by position: the events that publish has stored.
type stored struct {
	mu sync.Mutex
	at map[uint64]events.Event
	// reads are the positions that were asked for.
	reads []uint64
	// block, if not nil, makes reading wait for it or for the end of its ctx.
	block chan struct{}
	// reading is how many read now, and most how many did at once.
	reading, most int
}

func (s *stored) put(position uint64, e events.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at == nil {
		s.at = map[uint64]events.Event{}
	}
	s.at[position] = e
}

func (s *stored) eventAt(ctx context.Context, position uint64) (events.Event, error) {
	s.mu.Lock()
	s.reads = append(s.reads, position)
	s.reading++
	s.most = max(s.most, s.reading)
	e, block := s.at[position], s.block
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.reading--
	}()
	if block != nil {
		select {
		case <-block:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if e == nil {
		return nil, errors.New("no event there")
	}
	return e, nil
}

// hang makes reading hang, or lets it go on.
func (s *stored) hang(hang bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if hang {
		s.block = make(chan struct{})
		return
	}
	close(s.block)
	s.block = nil
}

// take returns the positions that were read since the last call.
func (s *stored) take() []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	reads := s.reads
	s.reads = nil
	slices.Sort(reads)
	return reads
}

func common(tenant string) events.Common {
	return events.Common{
		ID: eventID, Time: time.Now(), Source: "test", Tenant: tenant, Reason: events.ReasonUserLogout,
		ReasonAdmin: "secret-admin-note", Initiator: events.Initiator{Type: events.InitiatorUser},
	}
}

func sessionRevoked(sid string) events.Event {
	return &events.SessionRevoked{Common: common(events.DefaultTenant), Session: sid}
}

// call is one request. Without a key it has no Authorization.
type call struct {
	method, target, key, body string
	header                    http.Header
}

func (g *rig) do(t testing.TB, c call) *httptest.ResponseRecorder {
	t.Helper()
	if c.method == "" {
		c.method = http.MethodGet
	}
	r := httptest.NewRequestWithContext(t.Context(), c.method, c.target, strings.NewReader(c.body))
	for name, values := range c.header {
		r.Header[name] = values
	}
	if c.key != "" {
		r.Header.Set("Authorization", "Bearer "+c.key)
	}
	w := httptest.NewRecorder()
	g.mux.ServeHTTP(w, r)
	if got := w.Header().Get("Cache-Control"); got != "no-store" {
		t.Errorf("%s %s: Cache-Control is %q, want no-store", c.method, c.target, got)
	}
	return w
}

// get asks for one session in the default tenant.
func (g *rig) get(t testing.TB, query string) *httptest.ResponseRecorder {
	t.Helper()
	return g.do(t, call{target: "/v1/check?" + query, key: g.keys.check})
}

// post asks in the default tenant.
func (g *rig) post(t testing.TB, body string) *httptest.ResponseRecorder {
	t.Helper()
	return g.do(t, call{method: http.MethodPost, target: "/v1/check", key: g.keys.check, body: body})
}

// forward asks with a token.
func (g *rig) forward(t testing.TB, token string) *httptest.ResponseRecorder {
	t.Helper()
	return g.do(t, call{target: "/v1/forward-auth", key: token})
}

// reply is what the tests look at in every JSON answer.
type reply struct {
	Tenant    string  `json:"tenant"`
	State     string  `json:"state"`
	Scope     string  `json:"scope"`
	Event     string  `json:"event"`
	EventPos  uint64  `json:"event_position"`
	At        string  `json:"at"`
	Cause     string  `json:"cause"`
	Code      string  `json:"code"`
	Position  uint64  `json:"position"`
	Staleness float64 `json:"staleness_ms"`
	Errors    []struct {
		Index *int   `json:"index"`
		Field string `json:"field"`
	} `json:"errors"`
	Decisions []reply `json:"decisions"`
}

func read(t testing.TB, w *httptest.ResponseRecorder) reply {
	t.Helper()
	var out reply
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		t.Fatalf("%v in %s", err, w.Body)
	}
	return out
}

// dump writes an answer down: status, headers in order, body.
func dump(w *httptest.ResponseRecorder) string {
	var b strings.Builder
	_ = w.Result().Header.Write(&b)
	body, _ := io.ReadAll(w.Body)
	return http.StatusText(w.Code) + "\n" + strings.ReplaceAll(b.String(), "\r\n", "\n") + string(body)
}

func counted(t testing.TB, c prometheus.Collector, want float64) {
	t.Helper()
	if got := testutil.ToFloat64(c); got != want {
		t.Errorf("metric is %v, want %v", got, want)
	}
}
