package revocation_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationtest"
)

// shelf keeps a snapshot in memory.
type shelf struct {
	name string
	mu   sync.Mutex
	b    []byte
	err  error
}

func (s *shelf) String() string { return s.name }

func (s *shelf) Open(context.Context) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
		return nil, s.err
	case s.b == nil:
		return nil, fs.ErrNotExist
	}
	return io.NopCloser(bytes.NewReader(s.b)), nil
}

func (s *shelf) Save(_ context.Context, write func(io.Writer) error) error {
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.b = b.Bytes()
	return nil
}

// told gathers what hooks tell of snapshots.
type told struct {
	mu      sync.Mutex
	loaded  []string
	refused map[string]error
	info    revocation.SnapshotInfo
}

func (h *told) hooks() revocation.Hooks {
	h.refused = map[string]error{}
	return revocation.Hooks{
		SnapshotLoaded: func(from string, info revocation.SnapshotInfo) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.loaded, h.info = append(h.loaded, from), info
		},
		SnapshotRefused: func(from string, err error) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.refused[from] = err
		},
	}
}

func save(t *testing.T, r *revocation.Replica, to revocation.Snapshots) revocation.SnapshotInfo {
	t.Helper()
	info, err := r.Save(t.Context(), to)
	if err != nil {
		t.Fatalf("Save: %v", err)
	}
	return info
}

// A replica begins from the first source that is of its stream, and reads only what came after.
func TestReplicaBeginsFromSnapshot(t *testing.T) {
	feed := revocationtest.New()
	feed.AutoBeat(50 * time.Millisecond)
	first := open(t, feed, revocation.Config{})
	if _, err := first.Save(t.Context(), &shelf{}); !errors.Is(err, revocation.ErrNothingApplied) {
		t.Errorf("Save = %v before anything was applied", err)
	}
	var last uint64
	for i := range 100 {
		last = feed.Publish(logout(i))
	}
	waitFor(t, first, last)
	good := &shelf{name: "good"}
	info := save(t, first, good)
	if info.Position != last || info.Entries != 100 || info.Bytes != int64(len(good.b)) || info.Stream != first.Status().Stream {
		t.Errorf("%+v, want 100 entries at %d in %d bytes", info, last, len(good.b))
	}
	tail := feed.Publish(everywhere("ada", time.Now()))
	waitFor(t, first, tail)

	var heard told
	applied := recording{Feed: feed}
	broken := &shelf{name: "broken", err: errors.New("disk on fire")}
	corrupt := &shelf{name: "corrupt", b: good.b[:len(good.b)/2]}
	second, err := revocation.Open(t.Context(), revocation.Config{
		Feed: &applied, Snapshots: []revocation.Snapshots{broken, &shelf{name: "none"}, corrupt, good, &shelf{name: "not tried", err: errors.New("x")}},
		Hooks: heard.hooks(),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	waitFor(t, second, tail)
	if second.Digest() != first.Digest() {
		t.Error("what began from a snapshot holds something else")
	}
	for i := range 100 {
		checkState(t, second, session(i), revocation.Revoked, nil)
		if d, want := second.Check(session(i)), first.Check(session(i)); d.EventPosition != want.EventPosition || d.Reason != want.Reason {
			t.Fatalf("session %d: event at %d, want %d", i, d.EventPosition, want.EventPosition)
		}
	}
	if got := applied.events(); !slices.Equal(got, []uint64{tail}) {
		t.Errorf("the events at %v were read, want that after the snapshot alone: %d", got, tail)
	}
	if !slices.Equal(heard.loaded, []string{"good"}) || heard.info != info {
		t.Errorf("loaded %v %+v, want good %+v", heard.loaded, heard.info, info)
	}
	if len(heard.refused) != 2 || !errors.Is(heard.refused["broken"], broken.err) || !errors.Is(heard.refused["corrupt"], revocation.ErrSnapshotCorrupt) {
		t.Errorf("refused %v, want broken and corrupt", heard.refused)
	}
}

// recording is a feed that notes which events it delivers.
type recording struct {
	*revocationtest.Feed
	mu  sync.Mutex
	got []uint64
}

func (r *recording) Follow(ctx context.Context, sink revocation.Sink) error {
	return r.Feed.Follow(ctx, recordingSink{sink, r})
}

func (r *recording) events() []uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

type recordingSink struct {
	revocation.Sink
	r *recording
}

func (s recordingSink) Event(p revocation.Place, e events.Event) {
	s.r.mu.Lock()
	s.r.got = append(s.r.got, p.Position)
	s.r.mu.Unlock()
	s.Sink.Event(p, e)
}

// What isn't a snapshot of this stream, or not of this state of it, is refused, and the stream is read whole.
func TestSnapshotIsRefused(t *testing.T) {
	other := func(t *testing.T) *revocationtest.Feed {
		feed := revocationtest.New()
		feed.Publish(logout(1000))
		return feed
	}
	for _, tt := range []struct {
		name string
		// change is what happens between the saving and the beginning.
		change func(t *testing.T, feed *revocationtest.Feed, good *shelf)
		cfg    revocation.Config
		want   error
	}{
		{"the stream was made anew", func(_ *testing.T, feed *revocationtest.Feed, _ *shelf) {
			feed.Recreate()
			for i := range 30 {
				feed.Publish(logout(500 + i))
			}
		}, revocation.Config{}, revocation.ErrSnapshotForeign},
		{"the stream was put back and has grown again", func(_ *testing.T, feed *revocationtest.Feed, _ *shelf) {
			feed.PutBack(5)
			for i := range 30 {
				feed.Publish(logout(500 + i))
			}
		}, revocation.Config{}, revocation.ErrSnapshotForeign},
		{"the stream was put back", func(_ *testing.T, feed *revocationtest.Feed, _ *shelf) { feed.PutBack(5) }, revocation.Config{}, revocation.ErrSnapshotForeign},
		{"another deployment's", func(t *testing.T, _ *revocationtest.Feed, good *shelf) {
			save(t, open(t, other(t), revocation.Config{}), good)
		}, revocation.Config{}, revocation.ErrSnapshotForeign},
		{"another max age", func(*testing.T, *revocationtest.Feed, *shelf) {}, revocation.Config{MaxAge: 24 * time.Hour}, revocation.ErrSnapshotForeign},
		{"another leeway", func(*testing.T, *revocationtest.Feed, *shelf) {}, revocation.Config{Leeway: time.Hour}, revocation.ErrSnapshotForeign},
		{"something else", func(_ *testing.T, _ *revocationtest.Feed, good *shelf) {
			good.b = []byte("once upon a time there was a file that was no snapshot at all, but long enough to be one, and to have a header: " + fmt.Sprint(good))
		}, revocation.Config{}, revocation.ErrSnapshotCorrupt},
		{"an empty file", func(_ *testing.T, _ *revocationtest.Feed, good *shelf) { good.b = []byte{} }, revocation.Config{}, revocation.ErrSnapshotCorrupt},
	} {
		t.Run(tt.name, func(t *testing.T) {
			feed, good := revocationtest.New(), &shelf{name: "shelf"}
			feed.AutoBeat(50 * time.Millisecond)
			for i := range 20 {
				feed.Publish(logout(i))
			}
			old := open(t, feed, revocation.Config{})
			save(t, old, good)
			_ = old.Close()
			tt.change(t, feed, good)
			var heard told
			cfg := tt.cfg
			cfg.Snapshots, cfg.Hooks = []revocation.Snapshots{good}, heard.hooks()
			replica := open(t, feed, cfg)
			if len(heard.loaded) > 0 || !errors.Is(heard.refused["shelf"], tt.want) {
				t.Errorf("loaded %v, refused because of %v, want %v", heard.loaded, heard.refused, tt.want)
			}
			plain := open(t, feed, tt.cfg)
			waitFor(t, replica, feed.Last())
			waitFor(t, plain, feed.Last())
			if replica.Digest() != plain.Digest() {
				t.Error("after the refusal it holds something else than what reads the stream whole")
			}
		})
	}
}

// While the stream can't be asked whether a snapshot is its own, nobody knows: the snapshot isn't refused for good, and not believed either.
func TestSnapshotWaitsForTheStream(t *testing.T) {
	feed, good := revocationtest.New(), &shelf{name: "shelf"}
	feed.AutoBeat(50 * time.Millisecond)
	feed.Publish(logout(1))
	save(t, open(t, feed, revocation.Config{}), good)
	asked := 0
	hard := asking{feed, func(p revocation.Place, holds func(revocation.Place) (bool, error)) (bool, error) {
		if asked++; asked < 3 {
			return false, errors.New("no answer")
		}
		return holds(p)
	}}
	var heard told
	replica, err := revocation.Open(t.Context(), revocation.Config{Feed: hard, Snapshots: []revocation.Snapshots{good}, Hooks: heard.hooks()})
	if err != nil {
		t.Fatal(err)
	}
	defer replica.Close()
	if asked != 3 || len(heard.refused) > 0 || len(heard.loaded) != 1 {
		t.Errorf("asked %d times, refused %v, loaded %v", asked, heard.refused, heard.loaded)
	}
}

// asking is a feed whose Holds is answered by hold.
type asking struct {
	*revocationtest.Feed
	hold func(p revocation.Place, holds func(revocation.Place) (bool, error)) (bool, error)
}

func (a asking) Follow(ctx context.Context, sink revocation.Sink) error {
	return a.Feed.Follow(ctx, askingSink{sink, a})
}

type askingSink struct {
	revocation.Sink
	a asking
}

func (s askingSink) Begin(h revocation.Head) (uint64, error) {
	holds := h.Holds
	h.Holds = func(p revocation.Place) (bool, error) { return s.a.hold(p, holds) }
	return s.Sink.Begin(h)
}

// The replica's own file: written now and then, only if something was applied, and begun from at the next start.
func TestSnapshotFileOfTheReplica(t *testing.T) {
	path := filepath.Join(t.TempDir(), "replica.snapshot")
	feed := revocationtest.New()
	var digest [32]byte
	synctest.Test(t, func(t *testing.T) {
		feed := revocationtest.New()
		feed.AutoBeat(time.Second)
		saved := make(chan revocation.SnapshotInfo, 10)
		replica := open(t, feed, revocation.Config{SnapshotFile: path, SnapshotInterval: time.Minute, Hooks: revocation.Hooks{
			SnapshotSaved: func(_ string, info revocation.SnapshotInfo, _ time.Duration) { saved <- info },
		}})
		time.Sleep(10 * time.Minute)
		if len(saved) != 0 {
			t.Errorf("%d snapshots of nothing", len(saved))
		}
		position := feed.Publish(logout(1))
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if len(saved) != 1 {
			t.Fatalf("%d snapshots of one event, want 1", len(saved))
		}
		if info := <-saved; info.Position != position || info.Entries != 1 {
			t.Errorf("%+v, want one entry at %d", info, position)
		}
		_ = replica.Close()
		var heard told
		again := open(t, feed, revocation.Config{SnapshotFile: path, Hooks: heard.hooks()})
		if !slices.Equal(heard.loaded, []string{"file:" + path}) {
			t.Errorf("loaded %v, refused %v", heard.loaded, heard.refused)
		}
		digest = again.Digest()
		_ = again.Close()
	})
	// Another stream's replica finds the file and doesn't want it.
	feed.AutoBeat(50 * time.Millisecond)
	var heard told
	replica := open(t, feed, revocation.Config{SnapshotFile: path, Hooks: heard.hooks()})
	if len(heard.loaded) > 0 || !errors.Is(heard.refused["file:"+path], revocation.ErrSnapshotForeign) || replica.Digest() == digest {
		t.Errorf("loaded %v, refused %v", heard.loaded, heard.refused)
	}
}

func waitFor(t *testing.T, r *revocation.Replica, position uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := r.WaitFor(ctx, position); err != nil {
		t.Fatalf("WaitFor(%d): %v", position, err)
	}
}
