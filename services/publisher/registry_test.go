package publisher_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/internal/sessionstore"
	"github.com/curfewhq/curfew/services/publisher"
)

// registry is one in memory, which can be away, or hang.
type registry struct {
	store *sessionstore.Memory
	away  error
	hangs bool
}

func (r *registry) trouble(ctx context.Context) error {
	if r.hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	return r.away
}

func (r *registry) Known(ctx context.Context, tenant, user string, upTo time.Time) ([]string, error) {
	if err := r.trouble(ctx); err != nil {
		return nil, err
	}
	return sessionstore.Known(ctx, r.store, tenant, user, upTo)
}

func (r *registry) Session(ctx context.Context, tenant, id string) (publisher.Session, bool, error) {
	if err := r.trouble(ctx); err != nil {
		return publisher.Session{}, false, err
	}
	s, err := r.store.Session(ctx, sessionstore.Key{Tenant: tenant, ID: id})
	if errors.Is(err, sessionstore.ErrUnknown) {
		return publisher.Session{}, false, nil
	}
	return publisher.Session{User: s.User, Device: s.Device, Client: s.Client, AuthTime: s.AuthTime}, true, err
}

// newRegistryDesk has a registry with sessions of one user: old began a day ago, and ahead by a clock that is three seconds ahead.
func newRegistryDesk(t *testing.T) (*desk, *registry) {
	t.Helper()
	r := &registry{store: sessionstore.NewMemory()}
	now := events.Floor(time.Now())
	for id, begun := range map[string]time.Time{"old-" + planted: now.Add(-24 * time.Hour), "ahead-" + planted: now.Add(3 * time.Second)} {
		s := sessionstore.Session{Tenant: "acme", ID: id, User: "ada-" + planted, Device: "d-1", Client: "web", AuthTime: begun, CreatedAt: begun, SeenAt: begun, ExpiresAt: begun.Add(maxAge)}
		if _, _, err := r.store.Create(t.Context(), s, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	b := natstest.Bus(t)
	if err := b.EnsureStreams(t.Context()); err != nil {
		t.Fatal(err)
	}
	return newDesk(t, b, func(cfg *publisher.Config) { cfg.Registry = r }), r
}

func last[E events.Event](t *testing.T, d *desk) E {
	t.Helper()
	all := d.stored(t)
	if len(all) == 0 {
		t.Fatal("nothing is stored")
	}
	e, ok := all[len(all)-1].(E)
	if !ok {
		t.Fatalf("the last event is a %s", events.Name(all[len(all)-1]))
	}
	return e
}

// TestKnownSessions: a logout of a user ends by name what the registry knows, also where the issuer's clock runs ahead; what the caller keeps stays, and so does what
// began after a cutoff that the caller gives.
func TestKnownSessions(t *testing.T) {
	d, _ := newRegistryDesk(t)
	const user, old, ahead = "ada-" + planted, "old-" + planted, "ahead-" + planted
	yesterday := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	for _, test := range []struct {
		name, path, body string
		known, except    []string
	}{
		{"everywhere", "/v1/users/" + user + "/logout", `{"scope":"everywhere"}`, []string{ahead, old}, nil},
		{"others", "/v1/users/" + user + "/logout", `{"scope":"others","current_session":"` + ahead + `"}`, []string{old}, []string{ahead}},
		{"with some named", "/v1/users/" + user + "/logout", `{"scope":"everywhere","known_sessions":["mine","` + old + `"]}`, []string{"mine", old, ahead}, nil},
		{"up to a while ago", "/v1/revocations", `{"scope":"user","user":"` + user + `","cutoff":"` + yesterday + `"}`, []string{old}, nil},
		{"somebody without sessions", "/v1/users/eve/logout", `{"scope":"everywhere"}`, nil, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			if r := d.call(t, d.key, http.MethodPost, test.path, test.body); r.status != http.StatusOK {
				t.Fatalf("%d %s", r.status, r.body)
			}
			e := last[*events.UserLoggedOutEverywhere](t, d)
			if diff := cmp.Diff(test.known, e.KnownSessions); diff != "" {
				t.Errorf("known (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.except, e.Except); diff != "" {
				t.Errorf("except (-want +got):\n%s", diff)
			}
		})
	}
	// Another tenant's user of the same name has none.
	d.call(t, d.other, http.MethodPost, "/v1/users/"+user+"/logout", `{"scope":"everywhere"}`)
	if e := last[*events.UserLoggedOutEverywhere](t, d); len(e.KnownSessions) != 0 || e.Tenant != "globex" {
		t.Errorf("another tenant's: %+v", e)
	}
}

func TestEndSession(t *testing.T) {
	d, _ := newRegistryDesk(t)
	const path = "/v1/sessions/old-" + planted
	r := d.call(t, d.key, http.MethodDelete, path, `{"reason":"admin","reason_user":"Ask us."}`, "Idempotency-Key", "k")
	if r.status != http.StatusOK {
		t.Fatalf("%d %s", r.status, r.body)
	}
	e := last[*events.SessionRevoked](t, d)
	if e.Session != "old-"+planted || e.User != "ada-"+planted || e.Device != "d-1" || e.Client != "web" || e.AuthTime.IsZero() || e.Reason != events.ReasonAdmin || e.ReasonUser != "Ask us." {
		t.Errorf("%+v", e)
	}
	again := d.call(t, d.key, http.MethodDelete, path, `{"reason":"admin","reason_user":"Ask us."}`, "Idempotency-Key", "k")
	if again.status != http.StatusOK || !again.Duplicate || again.ID != r.ID {
		t.Errorf("again: %d %s", again.status, again.body)
	}
	if r := d.call(t, d.key, http.MethodDelete, "/v1/sessions/unknown-"+planted, ""); r.status != http.StatusOK {
		t.Fatalf("%d %s", r.status, r.body)
	}
	if e := last[*events.SessionRevoked](t, d); e.Session != "unknown-"+planted || e.User != "" || e.Reason != events.ReasonUserLogout || e.Initiator.Type != events.InitiatorUser {
		t.Errorf("%+v", e)
	}
}

// TestRegistryAway: a registry that is away, or hangs, keeps no revocation back, and is counted.
func TestRegistryAway(t *testing.T) {
	d, r := newRegistryDesk(t)
	for name, fail := range map[string]func(){"away": func() { r.away = errors.New("gone") }, "hangs": func() { r.hangs = true }} {
		fail()
		before := testutil.ToFloat64(d.metrics.RegistryMissed)
		for _, call := range []struct{ method, path, body string }{
			{http.MethodPost, "/v1/users/ada/logout", `{"scope":"everywhere"}`}, {http.MethodDelete, "/v1/sessions/old", ""},
		} {
			began := time.Now()
			if got := d.call(t, d.key, call.method, call.path, call.body); got.status != http.StatusOK {
				t.Errorf("%s: %s: %d %s", name, call.path, got.status, got.body)
			}
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("%s: %s took %v", name, call.path, took)
			}
		}
		if n := testutil.ToFloat64(d.metrics.RegistryMissed) - before; n != 2 {
			t.Errorf("%s: counted %v times", name, n)
		}
	}
}
