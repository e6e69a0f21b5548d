package revocationnats

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/internal/natstest"
)

func TestSnapshotsKeepTheOldOne(t *testing.T) {
	fault := errors.New("fault")
	// tests are given the cancel of the Save's context.
	tests := []struct {
		name  string
		write func(cancel func()) func(io.Writer) error
	}{
		{name: "write fails at once", write: func(func()) func(io.Writer) error {
			return func(io.Writer) error { return fault }
		}},
		{name: "write fails at its end", write: func(func()) func(io.Writer) error {
			return func(w io.Writer) error { return errors.Join(pieces(content(2, 50_000), 900)(w), fault) }
		}},
		{name: "cancelled in the middle", write: func(cancel func()) func(io.Writer) error {
			return func(w io.Writer) error {
				if err := pieces(content(2, 50_000), 900)(w); err != nil {
					return err
				}
				cancel()
				return pieces(content(2, 50_000), 900)(w)
			}
		}},
		{name: "cancelled in the middle, and write doesn't care", write: func(cancel func()) func(io.Writer) error {
			return func(w io.Writer) error {
				cancel()
				_, _ = w.Write(content(2, 50_000))
				return nil
			}
		}},
		{name: "cancelled at its end", write: func(cancel func()) func(io.Writer) error {
			return func(w io.Writer) error { defer cancel(); return pieces(content(2, 50_000), 900)(w) }
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			st := newStore(t, 0)
			s := st.snapshots()
			old := content(1, 3000)
			mustSave(t, s, old)
			before := st.objects()
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			if err := s.Save(ctx, tt.write(func() { cancel(fault) })); !errors.Is(err, fault) {
				t.Errorf("Save = %v, want the fault", err)
			}
			holds(t, s, old)
			if got := st.objects(); !slices.Equal(got, before) {
				t.Errorf("the chunks of %q are there, want those of %q alone", got, before)
			}
		})
	}
	t.Run("cancelled before", func(t *testing.T) {
		st := newStore(t, 0)
		s := st.snapshots()
		mustSave(t, s, content(1, 10))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Save(ctx, pieces(nil, 1)); !errors.Is(err, context.Canceled) {
			t.Errorf("Save = %v, want that it was cancelled", err)
		}
		if _, err := s.Open(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Open = %v, want that it was cancelled", err)
		}
	})
}

func TestSnapshotsInAFullBucket(t *testing.T) {
	st := newStore(t, 60_000)
	s := st.snapshots()
	old := content(1, 20_000)
	mustSave(t, s, old)
	for range 3 {
		if err := s.Save(t.Context(), pieces(content(2, 50_000), 900)); !mentions(err, "maximum bytes exceeded") {
			t.Errorf("Save = %v, want that the bucket is full", err)
		}
	}
	holds(t, s, old)
	if got := len(st.objects()); got != 1 {
		t.Errorf("the chunks of %d snapshots are there, want 1", got)
	}
	// There is room for two.
	for i := range 3 {
		want := content(uint64(i), 25_000)
		mustSave(t, s, want)
		holds(t, s, want)
	}
}

// abandon leaves chunks behind, as a process does that is killed.
func (s *store) abandon() {
	s.t.Helper()
	js := s.connect(s.srv.URL())
	dead := s.snapshotsOver(js, "")
	err := dead.Save(s.t.Context(), func(w io.Writer) error {
		if err := pieces(content(9, 10_000), 900)(w); err != nil {
			return err
		}
		// Not before: a slow machine needs its time to write.
		dead.limits.question, dead.limits.stall = 50*time.Millisecond, 50*time.Millisecond
		js.Conn().Close()
		return nil
	})
	if err == nil {
		s.t.Fatal("saved over a connection that was closed")
	}
}

// What a killed process has left is removed; what somebody may still be writing isn't.
func TestSnapshotsRemoveWhatWasAbandoned(t *testing.T) {
	st := newStore(t, 0)
	s := st.snapshots()
	mustSave(t, s, content(1, 3000))
	st.abandon()
	st.abandon()
	if got := len(st.objects()); got != 3 {
		t.Fatalf("the chunks of %d snapshots are there, want one and two that were abandoned", got)
	}
	mustSave(t, s, content(2, 3000))
	if got := len(st.objects()); got != 4 {
		t.Errorf("the chunks of %d snapshots are there, want two and two that were just abandoned", got)
	}
	s.limits.abandoned = time.Nanosecond
	mustSave(t, s, content(3, 3000))
	if got := len(st.objects()); got != 2 {
		t.Errorf("the chunks of %d snapshots are there, want two", got)
	}
	holds(t, s, content(3, 3000))
}

// Two that save at once: the first to finish wins, the other learns it, and nothing of it is left.
func TestSnapshotsSavedByTwoAtOnce(t *testing.T) {
	st := newStore(t, 0)
	first, second := st.snapshots(), st.snapshotsOver(st.connect(st.srv.URL()), "")
	mustSave(t, first, content(1, 3000))
	want := content(2, 30_000)
	err := second.Save(t.Context(), func(w io.Writer) error {
		if err := pieces(content(3, 30_000), 900)(w); err != nil {
			return err
		}
		mustSave(t, first, want)
		return pieces(content(3, 30_000), 900)(w)
	})
	if !errors.Is(err, ErrSnapshotReplaced) {
		t.Errorf("the second got %v, want ErrSnapshotReplaced", err)
	}
	holds(t, second, want)
	if got := len(st.objects()); got != 2 {
		t.Errorf("the chunks of %d snapshots are there, want 2", got)
	}
}

// However many save and read at once, whoever reads to the end has read one that was saved.
func TestSnapshotsAreNeverTorn(t *testing.T) {
	st := newStore(t, 0)
	contents := [][]byte{content(0, 10_000), content(1, 20_000), content(2, 30_000)}
	mustSave(t, st.snapshots(), contents[0])
	var savers, readers sync.WaitGroup
	done := make(chan struct{})
	var whole atomic.Int64
	for i, want := range contents {
		s := st.snapshotsOver(st.connect(st.srv.URL()), "")
		savers.Go(func() {
			// Until one was read whole meanwhile, however slow the machine is.
			for n := 0; n < 20 || whole.Load() == 0 && n < 1000; n++ {
				if err := s.Save(t.Context(), pieces(want, 700)); err != nil && !errors.Is(err, ErrSnapshotReplaced) {
					t.Errorf("saver %d: %v", i, err)
				}
			}
		})
	}
	readers.Go(func() {
		s := st.snapshotsOver(st.connect(st.srv.URL()), "")
		s.limits.stall = 100 * time.Millisecond
		for {
			select {
			case <-done:
				return
			default:
			}
			b, err := tryRead(t.Context(), s)
			switch {
			case errors.Is(err, ErrSnapshotIncomplete):
			case err != nil:
				t.Errorf("read: %v", err)
			case !slices.ContainsFunc(contents, func(c []byte) bool { return slices.Equal(b, c) }):
				t.Errorf("read %d bytes that nobody saved", len(b))
			default:
				whole.Add(1)
			}
		}
	})
	savers.Wait()
	close(done)
	readers.Wait()
	if whole.Load() == 0 {
		t.Error("nothing was read meanwhile")
	}
	s := st.snapshots()
	s.limits.abandoned = time.Nanosecond
	mustSave(t, s, contents[1])
	holds(t, s, contents[1])
	if got := len(st.objects()); got > 2 {
		t.Errorf("the chunks of %d snapshots are left, want 2 at most", got)
	}
}

// A process that was stopped for so long that others took its chunks for abandoned doesn't put a snapshot with holes in another's place.
func TestSnapshotsOfAProcessThatWasStopped(t *testing.T) {
	st := newStore(t, 0)
	s := st.snapshots()
	mustSave(t, s, content(1, 3000))
	want := content(3, 3000)
	stopped := st.snapshotsOver(st.connect(st.srv.URL()), "")
	err := stopped.Save(t.Context(), func(w io.Writer) error {
		if err := pieces(content(2, 30_000), 900)(w); err != nil {
			return err
		}
		mustSave(t, st.impatient(), want)
		return pieces(content(2, 30_000), 900)(w)
	})
	if !errors.Is(err, ErrSnapshotIncomplete) {
		t.Errorf("Save = %v, want ErrSnapshotIncomplete", err)
	}
	holds(t, s, want)
}

// impatient returns snapshots that take for abandoned also what is just coming.
func (s *store) impatient() *Snapshots {
	snapshots := s.snapshots()
	snapshots.limits.abandoned = -time.Hour
	return snapshots
}

// around is a JetStream in which something happens before an entry is stored, and after it.
type around struct {
	jetstream.JetStream
	before, after func()
}

func (a around) PublishMsg(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	if a.before != nil {
		a.before()
	}
	ack, err := a.JetStream.PublishMsg(ctx, m, opts...)
	if a.after != nil {
		a.after()
	}
	return ack, err
}

// The same between the last look at its chunks and its entry: a Save succeeds with all its chunks, or not at all.
func TestSnapshotsOfAProcessThatWasStoppedAtTheEnd(t *testing.T) {
	fault := errors.New("fault")
	old, stopped, other := content(1, 3000), content(2, 3000), content(3, 3000)
	for _, tt := range []struct {
		name string
		// meanwhile is how another Save ends, which thinks that the chunks were abandoned.
		meanwhile func(w io.Writer) error
		ends      error
		// err is how the Save of the stopped process ends, and want what is there then.
		err  error
		want []byte
	}{
		{"another one has saved", pieces(other, 900), nil, ErrSnapshotReplaced, other},
		{"another one has failed", func(io.Writer) error { return fault }, fault, nil, stopped},
		{"another one found no room", pieces(content(4, 90_000), 900), nil, ErrSnapshotReplaced, old},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st := newStore(t, 60_000)
			mustSave(t, st.snapshots(), old)
			s := st.snapshotsOver(around{JetStream: st.connect(st.srv.URL()), before: func() {
				err := st.impatient().Save(t.Context(), tt.meanwhile)
				if !errors.Is(err, tt.ends) && !full(err) {
					t.Errorf("the other Save = %v", err)
				}
			}}, "")
			if err := s.Save(t.Context(), pieces(stopped, 700)); !errors.Is(err, tt.err) {
				t.Errorf("Save = %v, want %v", err, tt.err)
			}
			holds(t, st.snapshots(), tt.want)
		})
	}
}

// The one who was stopped is who cleans up: between its entry and that, another one has begun and stored its chunks.
func TestSnapshotsCleanUpLate(t *testing.T) {
	st := newStore(t, 0)
	other, want := st.snapshots(), content(2, 3000)
	var before object
	var w *objectWriter
	late := st.impatient()
	late.js = around{JetStream: late.js, after: func() {
		stream, err := other.stream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if before, err = other.current(t.Context()); err != nil {
			t.Fatal(err)
		}
		w = other.newWriter(t.Context(), other.newID())
		if err := errors.Join(w.fill(pieces(want, 700)), other.complete(t.Context(), stream, w)); err != nil {
			t.Fatal(err)
		}
	}}
	mustSave(t, late, content(1, 3000))
	if _, err := other.replace(t.Context(), before, w); err != nil {
		t.Fatal(err)
	}
	holds(t, other, want)
}

// What killed processes have left fills the bucket: one Save fails for it, and the next finds room.
func TestSnapshotsMakeRoom(t *testing.T) {
	for _, there := range []bool{true, false} {
		t.Run(fmt.Sprintf("one is there: %t", there), func(t *testing.T) {
			st := newStore(t, 60_000)
			s := st.snapshots()
			old, want := content(1, 10_000), content(2, 20_000)
			if there {
				mustSave(t, s, old)
			}
			for range 4 {
				st.abandon()
			}
			s.limits.abandoned = time.Nanosecond
			if err := s.Save(t.Context(), pieces(want, 900)); !full(err) {
				t.Errorf("Save = %v, want that the bucket is full", err)
			}
			if there {
				holds(t, s, old)
			} else if _, err := s.Open(t.Context()); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("Open = %v, want that there is none", err)
			}
			mustSave(t, s, want)
			holds(t, s, want)
			if _, err := st.obs.GetInfo(t.Context(), "CURFEW"); err != nil {
				t.Errorf("other clients read %v", err)
			}
		})
	}
}

// The server goes away in the middle.
func TestSnapshotsWhenTheServerStops(t *testing.T) {
	st := newStore(t, 0)
	s := st.snapshots()
	s.limits.question, s.limits.stall = time.Second, time.Second
	old := content(1, 30_000)
	mustSave(t, s, old)
	r, err := s.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadFull(r, make([]byte, 1500)); err != nil {
		t.Fatal(err)
	}
	err = s.Save(t.Context(), func(w io.Writer) error {
		if err := pieces(content(2, 30_000), 900)(w); err != nil {
			return err
		}
		st.srv.Stop()
		return pieces(content(2, 30_000), 900)(w)
	})
	if err == nil || errors.Is(err, errUnknown) {
		t.Errorf("Save = %v, want an error that leaves no doubt", err)
	}
	if n, err := io.Copy(io.Discard, r); err == nil && n != 28_500 {
		t.Errorf("read %d bytes more and then the end", n)
	}
	if b, err := tryRead(t.Context(), s); err == nil {
		t.Errorf("read %d bytes without a server", len(b))
	}
	st.srv.Restart()
	eventually(t, "the old one is there again", func() bool {
		b, err := tryRead(t.Context(), s)
		return err == nil && slices.Equal(b, old)
	})
	s.limits.abandoned = time.Nanosecond
	mustSave(t, s, old)
	if got := len(st.objects()); got > 2 {
		t.Errorf("the chunks of %d snapshots are left, want 2 at most", got)
	}
}

// A link that swallows everything ends neither the writing nor the reading by itself.
func TestSnapshotsOverALinkThatIsBlackHoled(t *testing.T) {
	st := newStore(t, 0)
	old := content(1, 30_000)
	mustSave(t, st.snapshots(), old)
	proxy := natstest.NewProxy(t, st.srv.Addr())
	// The connection itself would notice too, after six seconds.
	s := st.snapshotsOver(st.connect(proxy.URL()), "")
	r, err := s.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	err = s.Save(t.Context(), func(w io.Writer) error {
		if err := pieces(content(2, 30_000), 900)(w); err != nil {
			return err
		}
		// Not before: a slow machine needs its time to write.
		s.limits.question, s.limits.stall = 300*time.Millisecond, 300*time.Millisecond
		proxy.Stall()
		return pieces(content(2, 30_000), 900)(w)
	})
	if !errors.Is(err, errStalled) {
		t.Errorf("Save = %v, want that NATS doesn't answer", err)
	}
	if n, err := io.Copy(io.Discard, r); err == nil && n != 30_000 || err != nil && !errors.Is(err, ErrSnapshotIncomplete) {
		t.Errorf("read %d bytes (%v), want all or ErrSnapshotIncomplete", n, err)
	}
	proxy.Heal()
	holds(t, st.snapshots(), old)
}

// deaf is a JetStream whose publishes are stored and not heard of.
type deaf struct{ jetstream.JetStream }

var errDeaf = errors.New("the acknowledgement was lost")

func (d deaf) PublishMsg(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	if _, err := d.JetStream.PublishMsg(ctx, m, opts...); err != nil {
		return nil, err
	}
	return nil, errDeaf
}

// If nobody knows whether the new snapshot counts, its chunks stay: they may be what everybody reads.
func TestSnapshotsWithoutTheLastAcknowledgement(t *testing.T) {
	st := newStore(t, 0)
	s := st.snapshotsOver(deaf{st.js}, "")
	want := content(1, 3000)
	if err := s.Save(t.Context(), pieces(want, 700)); !errors.Is(err, errDeaf) || !errors.Is(err, errUnknown) {
		t.Errorf("Save = %v, want that nobody knows", err)
	}
	holds(t, s, want)
}

func TestSnapshotReadingIsCancelled(t *testing.T) {
	st := newStore(t, 0)
	s := st.snapshots()
	mustSave(t, s, content(1, 100_000))
	fault := errors.New("fault")
	ctx, cancel := context.WithCancelCause(t.Context())
	r, err := s.Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 1500)); err != nil {
		t.Fatal(err)
	}
	cancel(fault)
	if _, err := io.Copy(io.Discard, r); !errors.Is(err, fault) {
		t.Errorf("read to %v, want the fault", err)
	}
	if err := errors.Join(r.Close(), r.Close()); err != nil {
		t.Error(err)
	}
	if got := st.consumers(); got != 0 {
		t.Errorf("%d consumers are left", got)
	}
}

// future is an acknowledgement that has come.
type future struct{ ok chan *jetstream.PubAck }

func (f future) Ok() <-chan *jetstream.PubAck { return f.ok }
func (f future) Err() <-chan error            { return nil }
func (f future) Msg() *nats.Msg               { return nil }

// Chunks that the server has stored in another order would be read in it.
func TestSnapshotsNoticeChunksOutOfOrder(t *testing.T) {
	st := newStore(t, 0)
	for want, positions := range map[error][]uint64{nil: {3, 4, 9}, errDisorder: {3, 9, 8}} {
		w := st.snapshots().newWriter(t.Context(), "x")
		for _, p := range positions {
			f := future{make(chan *jetstream.PubAck, 1)}
			f.ok <- &jetstream.PubAck{Sequence: p}
			w.underWay = append(w.underWay, f)
		}
		if err := w.fill(func(io.Writer) error { return nil }); !errors.Is(err, want) {
			t.Errorf("stored at %v: %v, want %v", positions, err, want)
		}
	}
}
