package revocationnats_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationnats"
)

// The head tells since when the stream is whole.
func TestHeadTellsSinceWhenTheStreamIsWhole(t *testing.T) {
	r := newRig(t, quick)
	const day = 24 * time.Hour
	at := func(age time.Duration) string { return time.Now().Add(-age).UTC().Format(time.RFC3339) }
	type metadata = map[string]string
	for _, tt := range []struct {
		name     string
		maxAge   time.Duration
		metadata metadata
		// want is how long ago; 0 means always.
		want time.Duration
	}{
		{"kept for ever", 0, nil, 0},
		{"kept for a while", 30 * day, nil, 30 * day},
		{"as noted", 30 * day, metadata{revocationnats.RetentionMetadata: "720h0m0s"}, 30 * day},
		{"lengthened, and noted", 60 * day, metadata{revocationnats.RetentionMetadata: "1440h0m0s", revocationnats.WholeSinceMetadata: at(40 * day)}, 40 * day},
		{"lengthened long ago", 60 * day, metadata{revocationnats.WholeSinceMetadata: at(90 * day)}, 60 * day},
		{"lengthened, and not noted yet", 60 * day, metadata{revocationnats.RetentionMetadata: "720h0m0s"}, 30 * day},
		{"kept for ever now, and not noted yet", 0, metadata{revocationnats.RetentionMetadata: "720h0m0s"}, 30 * day},
		{"shortened, and not noted yet", 30 * day, metadata{revocationnats.RetentionMetadata: "1440h0m0s"}, 30 * day},
		{"shortened from for ever", 30 * day, metadata{revocationnats.RetentionMetadata: "0s"}, 30 * day},
		{"noted by a clock that was ahead", 0, metadata{revocationnats.WholeSinceMetadata: at(-365 * day)}, time.Nanosecond},
		{"a retention that nobody can read", 30 * day, metadata{revocationnats.RetentionMetadata: "P31D"}, time.Nanosecond},
		{"a retention that is none", 30 * day, metadata{revocationnats.RetentionMetadata: "-24h"}, time.Nanosecond},
		{"noted by nobody of ours", 0, metadata{revocationnats.WholeSinceMetadata: "lately", revocationnats.RetentionMetadata: "long"}, time.Nanosecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := ledger()
			cfg.MaxAge, cfg.Metadata = tt.maxAge, tt.metadata
			if _, err := r.js.UpdateStream(t.Context(), cfg); err != nil {
				t.Fatal(err)
			}
			got := headOf(t, r.feed).WholeSince
			if tt.want == 0 {
				if !got.IsZero() {
					t.Errorf("whole since %v, want always", got)
				}
				return
			}
			if ago := time.Since(got); ago < tt.want-time.Second || ago > tt.want+10*time.Second {
				t.Errorf("whole since %v ago, want %v", ago, tt.want)
			}
		})
	}
}

// Max age is raised, and retention with it. What was revoked longer ago than the old retention has gone from the stream, and was refused by max age; to
// raise that must not let it in again.
func TestMaxAgeIsRaised(t *testing.T) {
	r := newRig(t, quick)
	set := func(age time.Duration, metadata map[string]string) {
		t.Helper()
		cfg := ledger()
		cfg.MaxAge, cfg.Metadata = age, metadata
		if _, err := r.js.UpdateStream(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	}
	noted := map[string]string{revocationnats.RetentionMetadata: keeps.String()}
	set(keeps, noted)
	r.beats(20 * time.Millisecond)
	s := revocation.Session{ID: "1", User: "ada", AuthTime: time.Now()}
	event := r.Publish(logout(1))
	eventually(t, "the event is gone", func() bool { return r.first() > event })
	now := time.Now()
	for name, metadata := range map[string]map[string]string{
		"nobody of ours has seen it yet": noted,
		"curfew serve has noted it": {
			revocationnats.RetentionMetadata: "720h5m0s", revocationnats.WholeSinceMetadata: now.Add(-keeps).Add(time.Second - 1).UTC().Format(time.RFC3339),
		},
	} {
		set(revocation.DefaultMaxAge+revocation.DefaultLeeway, metadata)
		replica := r.open(revocation.Config{})
		if d := replica.Check(s); d.State != revocation.Revoked || d.Scope != revocation.ScopeMaxAge {
			t.Errorf("%s: the session that was revoked is %v (%v), want past max age", name, d.State, d.Cause)
		}
		// One that began later than clocks may be off can't have been ended by what is gone.
		s := revocation.Session{ID: "2", User: "ada", AuthTime: now.Add(revocation.DefaultLeeway)}
		if d := replica.Check(s); d.State != revocation.Active {
			t.Errorf("%s: a session that began later is %v (%v), want active", name, d.State, d.Cause)
		}
		_ = replica.Close()
	}
}

// A stream that was put back has another name for a replica that has noticed, and the old one for what it saves: others haven't noticed anything.
func TestSnapshotOfAStreamThatWasPutBack(t *testing.T) {
	r := newRig(t, quick)
	replica := r.open(revocation.Config{})
	waitFor(t, replica, r.Publish(logout(1)))
	before := replica.Status()
	r.purge()
	eventually(t, "another incarnation", func() bool { return replica.Status().Stream != before.Stream })
	if s := replica.Status(); s.Made != before.Made || before.Made != before.Stream {
		t.Errorf("the stream was %q, made as %q, and is %q, made as %q; want it made as before", before.Stream, before.Made, s.Stream, s.Made)
	}
	waitFor(t, replica, r.Publish(logout(2)))
	file := revocation.SnapshotFile(filepath.Join(t.TempDir(), "s"))
	if _, err := replica.Save(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	loaded := 0
	r.feed = revocationnats.NewFeed(r.connect(r.srv.URL()), quick)
	r.open(revocation.Config{Snapshots: []revocation.Snapshots{file}, Hooks: revocation.Hooks{
		SnapshotLoaded:  func(string, revocation.SnapshotInfo) { loaded++ },
		SnapshotRefused: func(_ string, err error) { t.Errorf("refused: %v", err) },
	}})
	if loaded != 1 {
		t.Error("another process didn't begin from the snapshot")
	}
}
