package access_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func bucket(t *testing.T, b *bus.Bus) jetstream.KeyValue {
	t.Helper()
	kv, err := b.KeyValue(t.Context(), bus.Bucket{Name: "CURFEW_KEYS", History: 5})
	if err != nil {
		t.Fatal(err)
	}
	return kv
}

func open(t *testing.T, kv jetstream.KeyValue, opts ...access.Option) *access.Store {
	t.Helper()
	s, err := access.Open(t.Context(), kv, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	return s
}

func create(t *testing.T, s *access.Store, tenant string, scopes ...access.Scope) (access.Key, access.Text) {
	t.Helper()
	key, text, err := s.Create(t.Context(), access.Request{Name: "test", Tenant: tenant, Scopes: scopes})
	if err != nil {
		t.Fatal(err)
	}
	return key, text
}

// eventually waits for something that gives no signal of its own.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-deadline.C:
			t.Fatalf("not within 20 s: %s", what)
		case <-tick.C:
		}
	}
}

func knows(s *access.Store, text access.Text) func() bool {
	return func() bool { _, ok := s.Lookup(text); return ok }
}

func parse(t *testing.T, s string) access.Text {
	t.Helper()
	text, ok := access.ParseText(s)
	if !ok {
		t.Fatal("a key's text can't be parsed")
	}
	return text
}

func TestKeys(t *testing.T) {
	s := open(t, bucket(t, natstest.Bus(t)))
	if got := s.List(); got == nil || len(got) != 0 {
		t.Errorf("a new store lists %v, want an empty list", got)
	}
	first, text := create(t, s, "acme", access.ScopePublish)
	second, other := create(t, s, "globex", access.Scopes()...)
	if got, ok := s.Lookup(parse(t, text.Reveal())); !ok || !cmp.Equal(got, first) {
		t.Errorf("looked up %v %v, want %v", got, ok, first)
	}
	if first.Has(access.ScopeAdmin) || !first.Has(access.ScopePublish) {
		t.Errorf("the key has other scopes than it was given: %v", first.Scopes)
	}
	if diff := cmp.Diff([]access.Key{first, second}, s.List()); diff != "" {
		t.Error(diff)
	}
	_, secret, _ := strings.Cut(strings.TrimPrefix(other.Reveal(), "cfw_"), "_")
	for name, wrong := range map[string]string{
		"another key's secret": "cfw_" + first.ID + "_" + secret,
		"an unknown id":        "cfw_" + strings.Repeat("0", 16) + "_" + secret,
		"one digit off":        text.Reveal()[:len(text.Reveal())-1] + "x",
	} {
		if wrong, ok := access.ParseText(wrong); ok && knows(s, wrong)() {
			t.Errorf("%s is accepted", name)
		}
	}
	if _, ok := s.Lookup(access.Text{}); ok {
		t.Error("the zero text is accepted")
	}

	revoked, err := s.Revoke(t.Context(), first.ID)
	if err != nil || revoked.RevokedAt.IsZero() {
		t.Fatalf("revoke: %v, %v", revoked, err)
	}
	if knows(s, text)() || s.Live(first.ID) || !s.Live(second.ID) || s.Live("unknown") {
		t.Error("a revoked key still works, or another doesn't")
	}
	again, err := s.Revoke(t.Context(), first.ID)
	if err != nil || !again.RevokedAt.Equal(revoked.RevokedAt) {
		t.Errorf("revoking it again gave %v, %v, want no change", again, err)
	}
	if diff := cmp.Diff([]access.Key{revoked, second}, s.List()); diff != "" {
		t.Error(diff)
	}
	// A subject of some kilobytes made the NATS server close the connection of the whole process.
	for _, id := range []string{"", "0000000000000000", "*", ">", "a b", "../x", strings.Repeat("a", 5000)} {
		if _, err := s.Revoke(t.Context(), id); !errors.Is(err, access.ErrNoKey) {
			t.Errorf("revoking %.20q gave %v, want ErrNoKey", id, err)
		}
	}
}

func TestRequestFaults(t *testing.T) {
	long := strings.Repeat("n", 101)
	tests := []struct {
		name string
		q    access.Request
		want string
	}{
		{name: "good", q: access.Request{Name: "Ünïcode", Tenant: "a-1", Scopes: []access.Scope{"read"}}},
		{name: "all at once", q: access.Request{Name: long, Tenant: "A.*"}, want: "tenant must be 1 to 63 characters of a-z, 0-9 and '-'\n" +
			"name is longer than 100 bytes: shorten it\nscopes are required: give some of publish, check, sessions, read, admin, operator"},
		{name: "unknown scope", q: access.Request{Tenant: "a", Scopes: []access.Scope{"read", "root", "god"}}, want: "scopes must be some of publish, check, sessions, read, admin, operator"},
		{name: "a name that moves the cursor", q: access.Request{Name: "\x1b[2J", Tenant: "a", Scopes: []access.Scope{"read"}}, want: "name holds a control character, or isn't UTF-8: give plain text"},
	}
	s := open(t, bucket(t, natstest.Bus(t)))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			if _, _, err := s.Create(t.Context(), tt.q); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	if got := len(s.List()); got != 1 {
		t.Errorf("%d keys were made, want the good one", got)
	}
}

func TestTextNeverPrints(t *testing.T) {
	s := open(t, bucket(t, natstest.Bus(t)))
	key, text := create(t, s, "acme", access.ScopeRead)
	_, secret, _ := strings.Cut(strings.TrimPrefix(text.Reveal(), "cfw_"), "_")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{text, &text, []access.Text{text}, struct{ T access.Text }{text}, fmt.Errorf("lookup %v", text)} {
			if got := fmt.Sprintf(verb, v); strings.Contains(got, secret) || strings.Contains(got, fmt.Sprintf("%x", secret)) {
				t.Errorf("%s of a %T shows the secret", verb, v)
			}
		}
	}
	if got, want := text.String(), "cfw_"+key.ID+"_…"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if b, err := json.Marshal([]any{text}); err != nil || strings.Contains(string(b), secret) {
		t.Errorf("JSON shows the secret, or %v", err)
	}
}

func TestStoredValueHoldsNoSecret(t *testing.T) {
	kv := bucket(t, natstest.Bus(t))
	s := open(t, kv)
	key, text := create(t, s, "acme", access.ScopeRead)
	if _, err := s.Revoke(t.Context(), key.ID); err != nil {
		t.Fatal(err)
	}
	_, secret, _ := strings.Cut(strings.TrimPrefix(text.Reveal(), "cfw_"), "_")
	history, err := kv.History(t.Context(), key.ID)
	if err != nil || len(history) != 2 {
		t.Fatalf("%d values are kept, %v", len(history), err)
	}
	for _, entry := range history {
		if strings.Contains(string(entry.Value()), secret) {
			t.Error("the secret lies in the bucket")
		}
	}
}

func TestOtherProcessesAreHeard(t *testing.T) {
	b := natstest.Bus(t)
	kv := bucket(t, b)
	here, there := open(t, kv), open(t, kv)
	key, text := create(t, there, "acme", access.ScopeRead)
	eventually(t, "a key of another process is known", knows(here, text))
	if _, err := there.Revoke(t.Context(), key.ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another process's revocation is known", func() bool { return !knows(here, text)() })

	// What is no key of ours, or a key under another's name, is none; a deleted one is gone.
	_, kept := create(t, there, "acme", access.ScopeRead)
	victim, gone := create(t, there, "acme", access.ScopeRead)
	eventually(t, "both are known", func() bool { return knows(here, kept)() && knows(here, gone)() })
	value, err := kv.Get(t.Context(), victim.ID)
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string][]byte{"junk": []byte("{"), "alias": value.Value()} {
		if _, err := kv.Put(t.Context(), name, v); err != nil {
			t.Fatal(err)
		}
	}
	if err := kv.Delete(t.Context(), victim.ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a deleted key is gone", func() bool { return !knows(here, gone)() })
	if got := len(here.List()); got != 2 {
		t.Errorf("%d keys are listed, want 2: %v", got, here.List())
	}
}

func TestTwoRevokeAtOnce(t *testing.T) {
	kv := bucket(t, natstest.Bus(t))
	stores := []*access.Store{open(t, kv), open(t, kv)}
	for range 20 {
		key, _ := create(t, stores[0], "acme", access.ScopeRead)
		var work sync.WaitGroup
		for i := range 8 {
			work.Go(func() {
				if got, err := stores[i%2].Revoke(t.Context(), key.ID); err != nil || got.RevokedAt.IsZero() {
					t.Errorf("got %v, %v", got, err)
				}
			})
		}
		work.Wait()
	}
}

// A revocation by another process was seen 10 to 20 s after a restart of NATS, when nats.go missed its consumer's heartbeats.
func TestRestartKeepsKeysAndFollowsOn(t *testing.T) {
	srv := natstest.Start(t)
	b := natstest.Open(t, bus.Config{URL: srv.URL()})
	s := open(t, bucket(t, b), access.FollowConn(b.Conn()))
	key, text := create(t, s, "acme", access.ScopeRead)
	for range 2 {
		srv.Restart()
		if !knows(s, text)() {
			t.Error("a lost connection forgets keys")
		}
	}
	other := natstest.Open(t, bus.Config{URL: srv.URL()})
	fresh := open(t, bucket(t, other))
	if got, ok := fresh.Lookup(text); !ok || got.ID != key.ID {
		t.Fatal("the key didn't survive the restart")
	}
	eventually(t, "the connection is back", b.Conn().IsConnected)
	if _, err := fresh.Revoke(t.Context(), key.ID); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	eventually(t, "the revocation is heard after the connection is back", func() bool { return !knows(s, text)() })
	// It takes milliseconds; the bound leaves room for a busy machine and none for heartbeats.
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("it took %v", took)
	}
	began = time.Now()
	if err := s.Close(); err != nil || time.Since(began) > 3*time.Second {
		t.Errorf("close after the restart: %v after %v", err, time.Since(began))
	}
}

// recording keeps the watches that a store makes.
type recording struct {
	jetstream.KeyValue
	mu      sync.Mutex
	watches []jetstream.KeyWatcher
}

func (r *recording) WatchAll(ctx context.Context, opts ...jetstream.WatchOpt) (jetstream.KeyWatcher, error) {
	w, err := r.KeyValue.WatchAll(ctx, opts...)
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.watches = append(r.watches, w)
	}
	return w, err
}

func (r *recording) last() (jetstream.KeyWatcher, int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.watches[len(r.watches)-1], len(r.watches)
}

// A watch that ended by itself was never replaced: the process didn't hear of anything any more.
func TestLostWatchIsReplaced(t *testing.T) {
	kv := &recording{KeyValue: bucket(t, natstest.Bus(t))}
	here, there := open(t, kv), open(t, kv.KeyValue)
	for n := 1; n <= 2; n++ {
		w, _ := kv.last()
		if err := w.Stop(); err != nil {
			t.Fatal(err)
		}
		key, text := create(t, there, "acme", access.ScopeRead)
		eventually(t, "a key of another process is known", knows(here, text))
		if _, err := there.Revoke(t.Context(), key.ID); err != nil {
			t.Fatal(err)
		}
		eventually(t, "its revocation is known", func() bool { return !knows(here, text)() })
	}
	if _, n := kv.last(); n != 3 {
		t.Errorf("%d watches, want 3", n)
	}
}

// The server is gone for good when a process stops, or swallows everything: nats.go can't send its farewell.
func TestCloseWithoutServer(t *testing.T) {
	for _, away := range []string{"stopped", "stalled"} {
		t.Run(away, func(t *testing.T) {
			srv := natstest.Start(t)
			proxy := natstest.NewProxy(t, srv.Addr())
			b := natstest.Open(t, bus.Config{URL: proxy.URL()})
			s, err := access.Open(t.Context(), bucket(t, b), access.FollowConn(b.Conn()))
			if err != nil {
				t.Fatal(err)
			}
			if away == "stopped" {
				srv.Stop()
				eventually(t, "the connection is lost", func() bool { return !b.Conn().IsConnected() })
			} else {
				proxy.Stall()
			}
			began := time.Now()
			if err := s.Close(); err != nil || time.Since(began) > 10*time.Second {
				t.Errorf("close: %v after %v", err, time.Since(began))
			}
			proxy.Heal()
		})
	}
}

// nats.go asks for a watch as long as the watch's context lives, whatever the caller's patience.
func TestOpenGivesUp(t *testing.T) {
	proxy := natstest.NewProxy(t, natstest.Start(t).Addr())
	b := natstest.Open(t, bus.Config{URL: proxy.URL(), PingInterval: time.Minute})
	kv := bucket(t, b)
	proxy.Stall()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := access.Open(ctx, kv, access.FollowConn(b.Conn())); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 5*time.Second {
		t.Errorf("got %v after %v", err, time.Since(began))
	}
	proxy.Heal()
}

func TestOpenAndCloseEnd(t *testing.T) {
	b := natstest.Bus(t)
	kv := bucket(t, b)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if s, err := access.Open(ctx, kv); err == nil {
		// Both were ready: the keys and the end.
		_ = s.Close()
	}
	s, err := access.Open(t.Context(), kv)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	late, err := access.Open(t.Context(), kv)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := late.Close(); err != nil {
		t.Errorf("close after the connection: %v", err)
	}
	if _, err := access.Open(t.Context(), kv); err == nil {
		t.Error("opened over a closed connection")
	}
}

func FuzzParseText(f *testing.F) {
	good := "cfw_0123456789abcdef_" + strings.Repeat("0123456789abcdef", 4)
	for _, seed := range []string{good, good[:len(good)-1], good + "0", strings.ToUpper(good), "cfw_", "cfw__", "", strings.ReplaceAll(good, "_", "-"), " " + good, good + "\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		text, ok := access.ParseText(s)
		if ok && (text.Reveal() != s || len(s) != len(good)) {
			t.Errorf("%q was read as another text", s)
		}
		if ok && strings.Contains(text.String(), s[len("cfw_0123456789abcdef_"):]) {
			t.Error("it prints the secret")
		}
	})
}
