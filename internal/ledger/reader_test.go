package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/ledger"
	"github.com/curfewhq/curfew/internal/natstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// book is a ledger with its reader.
type book struct {
	*ledger.Reader
	bus *bus.Bus
	pub *bus.Publisher
}

func newBook(t *testing.T) *book {
	t.Helper()
	b := natstest.Bus(t)
	return &book{Reader: ledger.NewReader(b.JetStream(), bus.LedgerStream), bus: b, pub: b.Publisher()}
}

// store stores a session's revocation and returns its position.
func (b *book) store(t *testing.T, tenant, user, session string) uint64 {
	t.Helper()
	id, err := events.NewID()
	if err != nil {
		t.Fatal(err)
	}
	e := &events.SessionRevoked{Session: session, User: user, Common: events.Common{
		ID: id, Time: time.Now(), Source: "test", Tenant: tenant, Reason: events.ReasonAdmin, Initiator: events.Initiator{Type: events.InitiatorSystem},
	}}
	data, err := events.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	return b.raw(t, events.TopicOf(e).String(), data)
}

func (b *book) raw(t *testing.T, topic string, data []byte) uint64 {
	t.Helper()
	id, err := events.NewID()
	if err != nil {
		t.Fatal(err)
	}
	ack, err := b.pub.PublishAck(t.Context(), topic, message.NewMessage(id, data))
	if err != nil {
		t.Fatal(err)
	}
	return ack.Position
}

// read returns "position:session" of what a range holds.
func (b *book) read(t *testing.T, q ledger.Range) []string {
	t.Helper()
	got := []string{}
	err := b.Read(t.Context(), q, func(e ledger.Entry) error {
		got = append(got, label(e))
		return nil
	}, func() error { t.Error("a reading that doesn't follow is idle"); return nil })
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	b.mustBeClean(t)
	return got
}

func label(e ledger.Entry) string {
	if e.Event == nil {
		return fmt.Sprintf("%d:?", e.Position)
	}
	return fmt.Sprintf("%d:%s", e.Position, e.Event.Target())
}

// mustBeClean fails the test if a reading left a consumer behind.
func (b *book) mustBeClean(t *testing.T) {
	t.Helper()
	stream, err := b.bus.JetStream().Stream(t.Context(), bus.LedgerStream)
	if err != nil {
		t.Fatal(err)
	}
	if n := stream.CachedInfo().State.Consumers; n != 0 {
		t.Errorf("%d consumers are left on the server", n)
	}
}

func TestReadRanges(t *testing.T) {
	b := newBook(t)
	acme := []string{events.TenantTopics("acme")}
	if got := b.read(t, ledger.Range{Topics: acme}); len(got) != 0 {
		t.Errorf("an empty ledger holds %v", got)
	}
	b.store(t, "acme", "ann", "s1")       // 1
	b.store(t, "globex", "ann", "s2")     // 2
	b.store(t, "acme", "bob", "s3")       // 3
	time4 := b.store(t, "acme", "", "s4") // 4
	msg, err := b.bus.EventAt(t.Context(), time4)
	if err != nil {
		t.Fatal(err)
	}
	b.store(t, "acme", "ann", "s5") // 5
	if _, err := b.bus.JetStream().Publish(t.Context(), events.TopicBeat, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		q    ledger.Range
		want []string
	}{
		{name: "a tenant", q: ledger.Range{Topics: acme}, want: []string{"1:s1", "3:s3", "4:s4", "5:s5"}},
		{name: "everybody, without the beat", q: ledger.Range{Topics: []string{events.TopicAll}}, want: []string{"1:s1", "2:s2", "3:s3", "4:s4", "5:s5"}},
		{name: "two tenants", q: ledger.Range{Topics: []string{events.TenantTopics("globex"), events.TenantTopics("acme")}}, want: []string{"1:s1", "2:s2", "3:s3", "4:s4", "5:s5"}},
		{name: "a user", q: ledger.Range{Topics: []string{events.UserTopics("acme", "ann")}}, want: []string{"1:s1", "5:s5"}},
		{name: "nobody", q: ledger.Range{Topics: []string{events.TenantTopics("nobody")}}, want: []string{}},
		{name: "behind a position", q: ledger.Range{Topics: acme, After: 3}, want: []string{"4:s4", "5:s5"}},
		{name: "behind another tenant's", q: ledger.Range{Topics: acme, After: 2}, want: []string{"3:s3", "4:s4", "5:s5"}},
		{name: "behind the head", q: ledger.Range{Topics: acme, After: 6}, want: []string{}},
		{name: "far behind the head", q: ledger.Range{Topics: acme, After: 1 << 62}, want: []string{}},
		{name: "since a time", q: ledger.Range{Topics: acme, Since: msg.Time}, want: []string{"4:s4", "5:s5"}},
		{name: "since long ago", q: ledger.Range{Topics: acme, Since: time.Unix(0, 0)}, want: []string{"1:s1", "3:s3", "4:s4", "5:s5"}},
		{name: "since the future", q: ledger.Range{Topics: acme, Since: time.Now().Add(time.Hour)}, want: []string{}},
		{name: "after, and since a later time", q: ledger.Range{Topics: acme, After: 1, Since: msg.Time}, want: []string{"4:s4", "5:s5"}},
		{name: "after, and since an earlier time", q: ledger.Range{Topics: acme, After: 4, Since: msg.Time}, want: []string{"5:s5"}},
		{name: "new", q: ledger.Range{Topics: acme, New: true}, want: []string{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, b.read(t, tt.q)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Without topics a consumer has no filter, and a range would hold every tenant's events.
func TestReadWithoutTopicsReadsNothing(t *testing.T) {
	b := newBook(t)
	b.store(t, "acme", "ann", "s1")
	err := b.Read(t.Context(), ledger.Range{}, func(ledger.Entry) error { t.Error("an entry"); return nil }, nil)
	if err == nil {
		t.Error("no error")
	}
}

func TestReadManyInOrder(t *testing.T) {
	b := newBook(t)
	const n = 2000
	topics, msgs := make([]string, 1000), make([]*message.Message, 1000)
	for range n / 1000 {
		for i := range msgs {
			id, err := events.NewID()
			if err != nil {
				t.Fatal(err)
			}
			topics[i], msgs[i] = "curfew.v1.acme.00.session", message.NewMessage(id, []byte("{}"))
		}
		_, errs := b.pub.PublishAll(t.Context(), topics, msgs)
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	last := uint64(0)
	err := b.Read(t.Context(), ledger.Range{Topics: []string{events.TopicAll}}, func(e ledger.Entry) error {
		if e.Position != last+1 {
			t.Errorf("%d comes after %d", e.Position, last)
		}
		last = e.Position
		return nil
	}, nil)
	if err != nil || last != n {
		t.Errorf("read up to %d of %d: %v", last, n, err)
	}
	b.mustBeClean(t)
}

func TestReadReportsWhatItCannotDecode(t *testing.T) {
	b := newBook(t)
	b.raw(t, "curfew.v1.acme.00.session", []byte("not JSON"))
	b.raw(t, "curfew.v1.acme.00.session", []byte(`{"specversion":"1.0","id":"x","type":"io.github.curfewhq.SessionRevoked.v9","source":"s","time":"2026-08-04T12:00:00Z","data":{}}`))
	b.store(t, "acme", "ann", "s3")
	good, err := b.bus.EventAt(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	b.raw(t, "curfew.v1.globex.00.session", good.Data)
	want := []error{events.ErrMalformed, events.ErrUnknownVersion, nil, events.ErrForeignTopic}
	i := 0
	err = b.Read(t.Context(), ledger.Range{Topics: []string{events.TopicAll}}, func(e ledger.Entry) error {
		if !errors.Is(e.Err, want[i]) || (e.Event == nil) != (want[i] != nil) || len(e.Data) == 0 || e.Stored.IsZero() {
			t.Errorf("entry %d: %v, %v, %d bytes at %v, want %v", i, e.Event, e.Err, len(e.Data), e.Stored, want[i])
		}
		i++
		return nil
	}, nil)
	if err != nil || i != len(want) {
		t.Errorf("%d of %d entries: %v", i, len(want), err)
	}
}

func TestReadEndsWhenTold(t *testing.T) {
	b := newBook(t)
	for i := range 5 {
		b.store(t, "acme", "ann", fmt.Sprint("s", i))
	}
	failed := errors.New("disk full")
	for name, tt := range map[string]struct{ stop, want error }{
		"stop": {ledger.ErrStop, nil}, "wrapped": {fmt.Errorf("enough: %w", ledger.ErrStop), nil}, "failure": {failed, failed},
	} {
		for _, follow := range []bool{false, true} {
			calls := 0
			err := b.Read(t.Context(), ledger.Range{Topics: []string{events.TopicAll}, Follow: follow}, func(ledger.Entry) error {
				if calls++; calls == 2 {
					return tt.stop
				}
				return nil
			}, nil)
			if !errors.Is(err, tt.want) || calls != 2 {
				t.Errorf("%s, follow %v: got %v after %d calls, want %v", name, follow, err, calls, tt.want)
			}
			b.mustBeClean(t)
		}
	}
	gone := errors.New("the reader has gone")
	err := b.Read(t.Context(), ledger.Range{Topics: []string{events.TopicAll}, Follow: true}, func(ledger.Entry) error { t.Error("an entry"); return nil }, func() error { return gone })
	if !errors.Is(err, gone) {
		t.Errorf("got %v, want idle's error", err)
	}
	b.mustBeClean(t)
}

func TestFollow(t *testing.T) {
	for name, tt := range map[string]struct {
		q    ledger.Range
		want []string
	}{
		"from the beginning": {ledger.Range{}, []string{"s1", "s2", "new1", "new2"}},
		"after":              {ledger.Range{After: 1}, []string{"s2", "new1", "new2"}},
		"new":                {ledger.Range{New: true}, []string{"new1", "new2"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBook(t)
			b.store(t, "acme", "ann", "s1")
			b.store(t, "acme", "ann", "s2")
			cause := errors.New("the caller left")
			ctx, leave := context.WithCancelCause(t.Context())
			defer leave(nil)
			tt.q.Topics, tt.q.Follow = []string{events.TenantTopics("acme")}, true
			got, ended, ready := make(chan string, 10), make(chan error, 1), make(chan struct{}, 1)
			go func() {
				ended <- b.Read(ctx, tt.q, func(e ledger.Entry) error { got <- e.Event.Target(); return nil }, func() error { ready <- struct{}{}; return nil })
			}()
			<-ready
			// From the first idle on nothing may be missed.
			b.store(t, "globex", "ann", "other")
			b.store(t, "acme", "ann", "new1")
			b.store(t, "acme", "bob", "new2")
			for _, want := range tt.want {
				if s := <-got; s != want {
					t.Errorf("got %s, want %s", s, want)
				}
			}
			leave(cause)
			if err := <-ended; !errors.Is(err, cause) {
				t.Errorf("ended with %v", err)
			}
			b.mustBeClean(t)
		})
	}
}

func TestReadWithoutServer(t *testing.T) {
	b := newBook(t)
	b.store(t, "acme", "ann", "s1")
	ready, ended := make(chan struct{}, 1), make(chan error, 1)
	q := ledger.Range{Topics: []string{events.TopicAll}, Follow: true}
	go func() {
		ended <- b.Read(t.Context(), q, func(ledger.Entry) error { return nil }, func() error { ready <- struct{}{}; return nil })
	}()
	<-ready
	if err := b.bus.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("a following reading that lost its server ended as if complete")
	}
	if err := b.Read(t.Context(), q, nil, nil); err == nil {
		t.Error("no error without a server")
	}
	missing := ledger.NewReader(natstest.Bus(t).JetStream(), "NOBODY")
	if err := missing.Read(t.Context(), q, nil, nil); err == nil {
		t.Error("no error without a stream")
	}
}
