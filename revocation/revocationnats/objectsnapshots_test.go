package revocationnats

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/internal/natstest"
)

func TestSnapshots(t *testing.T) {
	st := newStore(t, 0)
	s := st.snapshots()
	if got := s.String(); got != "nats:CURFEW_SNAPSHOTS/CURFEW" {
		t.Errorf("String() = %q", got)
	}
	if _, err := s.Open(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open without a snapshot = %v, want fs.ErrNotExist", err)
	}
	if _, err := s.Stat(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Stat without a snapshot = %v, want fs.ErrNotExist", err)
	}
	for i, n := range []int{0, 1, 999, 1000, 1001, 3999, 4000, 123_456, 5} {
		want := content(uint64(i), n)
		began := time.Now()
		mustSave(t, s, want)
		holds(t, s, want)
		stat, err := s.Stat(t.Context())
		if err != nil || stat.Bytes != int64(n) || stat.Stored.Before(began.Add(-time.Second)) || stat.Now.Before(stat.Stored) || stat.Now.Sub(stat.Stored) > time.Minute {
			t.Errorf("Stat = %+v, %v, want %d bytes, stored just now", stat, err, n)
		}
	}
	if got := st.consumers(); got != 0 {
		t.Errorf("%d consumers are left", got)
	}
}

// What is small is one chunk, not one for each write.
func TestSnapshotsGatherWrites(t *testing.T) {
	st := newStore(t, 0)
	s := st.snapshots()
	if err := s.Save(t.Context(), pieces(content(1, 2500), 1)); err != nil {
		t.Fatal(err)
	}
	for topic, n := range st.chunks() {
		if n != 3 {
			t.Errorf("%d chunks at %s, want 3", n, topic)
		}
	}
}

// A server may take only small messages.
func TestSnapshotsHeedTheServersLimit(t *testing.T) {
	st := newStore(t, 0, natstest.With(func(o *server.Options) { o.MaxPayload = 64 << 10 }))
	s := NewSnapshots(st.js, SnapshotsConfig{})
	want := content(1, 300_000)
	mustSave(t, s, want)
	holds(t, s, want)
}

func TestSnapshotsWithoutABucket(t *testing.T) {
	st := newStore(t, 0)
	s := NewSnapshots(st.js, SnapshotsConfig{Bucket: "OTHER"})
	if _, err := s.Open(t.Context()); !errors.Is(err, fs.ErrNotExist) || !errors.Is(err, ErrNoBucket) {
		t.Errorf("Open = %v, want fs.ErrNotExist and ErrNoBucket", err)
	}
	if err := s.Save(t.Context(), pieces(nil, 1)); !errors.Is(err, ErrNoBucket) {
		t.Errorf("Save = %v, want ErrNoBucket", err)
	}
}

// Each ledger has its own snapshot, and none touches another's.
func TestSnapshotsOfSeveralStreams(t *testing.T) {
	st := newStore(t, 0)
	names := []string{"CURFEW", "CURFEW2", "C", "EU.CURFEW"}
	for range 3 {
		for i, name := range names {
			s := st.snapshotsOver(st.js, name)
			s.limits.abandoned = 0
			mustSave(t, s, content(uint64(i), 5000))
		}
	}
	for i, name := range names {
		holds(t, st.snapshotsOver(st.js, name), content(uint64(i), 5000))
	}
}

// Any client of object stores reads what we save, and we read what it saves; and each may replace the other's.
func TestSnapshotsAreObjects(t *testing.T) {
	st := newStore(t, 0)
	s := st.snapshots()
	get := func(want []byte) {
		t.Helper()
		got, err := st.obs.GetBytes(t.Context(), "CURFEW")
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("a client reads %d bytes (%v), want the %d that were saved", len(got), err, len(want))
		}
		holds(t, s, want)
	}
	ours, theirs, ours2, ours3 := content(1, 12_345), content(2, 300_000), content(3, 2345), content(4, 999)
	mustSave(t, s, ours)
	get(ours)
	if _, err := st.obs.PutBytes(t.Context(), "CURFEW", theirs); err != nil {
		t.Fatal(err)
	}
	get(theirs)
	mustSave(t, s, ours2)
	get(ours2)
	mustSave(t, s, ours3)
	get(ours3)
	for _, topic := range st.objects() {
		if !strings.HasPrefix(topic, "$O.CURFEW_SNAPSHOTS.C."+s.token()+".") {
			t.Errorf("their chunks are left at %s", topic)
		}
	}
	if infos, err := st.obs.List(t.Context()); err != nil || len(infos) != 1 || infos[0].Name != "CURFEW" || infos[0].Size != 999 {
		t.Errorf("List = %v, %v", infos, err)
	}
	if err := st.obs.Delete(t.Context(), "CURFEW"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open of a deleted one = %v, want fs.ErrNotExist", err)
	}
	mustSave(t, s, ours)
	get(ours)
}

// However many are saved, the bucket holds two.
func TestSnapshotsDoNotPileUp(t *testing.T) {
	st := newStore(t, 0)
	s := st.snapshots()
	for i := range 10 {
		mustSave(t, s, content(uint64(i), 5000))
		if got := len(st.objects()); got > 2 {
			t.Errorf("after %d saves the bucket holds the chunks of %d, want 2 at most", i+1, got)
		}
	}
}

// The documented rights suffice to read, and not to save.
func TestSnapshotsRightsOfAReader(t *testing.T) {
	reader := &server.Permissions{
		Publish: &server.SubjectPermission{Allow: []string{
			"$JS.API.STREAM.INFO.OBJ_CURFEW_SNAPSHOTS", "$JS.API.STREAM.MSG.GET.OBJ_CURFEW_SNAPSHOTS", "$JS.API.CONSUMER.CREATE.OBJ_CURFEW_SNAPSHOTS.>",
			"$JS.API.CONSUMER.DELETE.OBJ_CURFEW_SNAPSHOTS.>", "$JS.API.CONSUMER.MSG.NEXT.OBJ_CURFEW_SNAPSHOTS.>",
		}},
		Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
	}
	users := natstest.With(func(o *server.Options) {
		o.Users = []*server.User{{Username: "curfew", Password: "pw"}, {Username: "replica", Password: "pw", Permissions: reader}}
		o.NoAuthUser = "curfew"
	})
	st := newStore(t, 0, users)
	want := content(1, 5000)
	mustSave(t, st.snapshots(), want)
	s := st.snapshotsOver(st.connect(st.srv.URL(), nats.UserInfo("replica", "pw")), "")
	s.limits.question, s.limits.stall = 300*time.Millisecond, 300*time.Millisecond
	holds(t, s, want)
	if err := s.Save(t.Context(), pieces(content(2, 5000), 100)); err == nil {
		t.Error("a reader could save")
	}
	holds(t, st.snapshots(), want)
}

func TestSnapshotReplacedWhileItIsRead(t *testing.T) {
	st := newStore(t, 0)
	s := st.snapshots()
	s.limits.stall = 300 * time.Millisecond
	old := content(1, 100_000)
	mustSave(t, s, old)
	begin := func() (read []byte, r io.ReadCloser) {
		t.Helper()
		r, err := s.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		read = make([]byte, 1500)
		if _, err := io.ReadFull(r, read); err != nil {
			t.Fatal(err)
		}
		return read, r
	}
	read, r := begin()
	defer r.Close()
	mustSave(t, s, content(2, 100_000))
	rest, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(append(read, rest...), old) {
		t.Errorf("read %d bytes (%v) of one that was replaced, want the old one to its end", len(read)+len(rest), err)
	}
	_, r = begin()
	defer r.Close()
	mustSave(t, s, content(3, 100_000))
	mustSave(t, s, content(4, 100_000))
	began := time.Now()
	if rest, err := io.ReadAll(r); !errors.Is(err, ErrSnapshotIncomplete) {
		t.Errorf("read %d bytes more (%v) of one that is gone, want ErrSnapshotIncomplete", len(rest), err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("noticed after %v", took)
	}
}

func TestSnapshotThatIsDamaged(t *testing.T) {
	tests := []struct {
		name   string
		damage func(t *testing.T, st *store, stream jetstream.Stream, topic string)
	}{
		{name: "a chunk is missing", damage: func(t *testing.T, st *store, stream jetstream.Stream, topic string) {
			m, err := stream.GetLastMsgForSubject(t.Context(), topic)
			if err != nil {
				t.Fatal(err)
			}
			if err := stream.DeleteMsg(t.Context(), m.Sequence-1); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "a chunk is another", damage: func(t *testing.T, st *store, stream jetstream.Stream, topic string) {
			m, err := stream.GetLastMsgForSubject(t.Context(), topic)
			if err != nil {
				t.Fatal(err)
			}
			if err := stream.DeleteMsg(t.Context(), m.Sequence); err != nil {
				t.Fatal(err)
			}
			m.Data[0]++
			if _, err := st.js.Publish(t.Context(), topic, m.Data); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "a chunk is shorter, and one more is there", damage: func(t *testing.T, st *store, stream jetstream.Stream, topic string) {
			m, err := stream.GetLastMsgForSubject(t.Context(), topic)
			if err != nil {
				t.Fatal(err)
			}
			if err := stream.DeleteMsg(t.Context(), m.Sequence); err != nil {
				t.Fatal(err)
			}
			for _, half := range [][]byte{m.Data[:3], m.Data[3:]} {
				if _, err := st.js.Publish(t.Context(), topic, half); err != nil {
					t.Fatal(err)
				}
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			st := newStore(t, 0)
			s := st.snapshots()
			s.limits.stall = 300 * time.Millisecond
			mustSave(t, s, content(1, 5500))
			stream, err := st.js.Stream(t.Context(), "OBJ_"+defaultBucket)
			if err != nil {
				t.Fatal(err)
			}
			tt.damage(t, st, stream, st.objects()[0])
			if b, err := tryRead(t.Context(), s); !errors.Is(err, ErrSnapshotIncomplete) {
				t.Errorf("read %d bytes (%v), want ErrSnapshotIncomplete", len(b), err)
			}
			if got := st.consumers(); got != 0 {
				t.Errorf("%d consumers are left", got)
			}
			// It doesn't hinder the next.
			want := content(2, 700)
			mustSave(t, s, want)
			holds(t, s, want)
		})
	}
	t.Run("its entry is nonsense", func(t *testing.T) {
		st := newStore(t, 0)
		s := st.snapshots()
		for _, entry := range []string{"nonsense", `{"name":"CURFEW","nuid":"x","chunks":1,"size":1}`, `{"name":"CURFEW","nuid":"x","chunks":1,"size":1,"digest":"none"}`} {
			if _, err := st.js.Publish(t.Context(), s.entryTopic(), []byte(entry)); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Open(t.Context()); err == nil || errors.Is(err, fs.ErrNotExist) || !mentions(err, s.String()) {
				t.Errorf("Open with the entry %s = %v, want an error that names the place", entry, err)
			}
		}
	})
}

// What an entry calls the chunks before it is removed; it mustn't be more.
func TestSnapshotsRemoveNoMoreThanTheirs(t *testing.T) {
	for _, previous := range []string{">", "*", "*.*", "", " ", "a\tb"} {
		st := newStore(t, 0)
		other := st.snapshotsOver(st.js, "OTHER")
		mustSave(t, other, content(1, 2000))
		s := st.snapshots()
		mustSave(t, s, content(2, 2000))
		info, err := st.obs.GetInfo(t.Context(), "CURFEW")
		if err != nil {
			t.Fatal(err)
		}
		meta := info.ObjectMeta
		meta.Metadata = map[string]string{previousMember: previous}
		if err := st.obs.UpdateMeta(t.Context(), "CURFEW", meta); err != nil {
			t.Fatal(err)
		}
		fault := errors.New("fault")
		if err := s.Save(t.Context(), func(io.Writer) error { return fault }); !errors.Is(err, fault) {
			t.Errorf("%q: Save = %v, want the fault", previous, err)
		}
		holds(t, s, content(2, 2000))
		holds(t, other, content(1, 2000))
		if topics := st.objects(); len(topics) != 2 || slices.Contains(topics, "") {
			t.Errorf("%q: the bucket holds %q", previous, topics)
		}
	}
}
