package bus_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
)

const (
	month = 30 * 24 * time.Hour
	// slack is by how much a noted time may be off: it is noted in seconds, and the tests take their time.
	slack = 30 * time.Second
)

// noted fails unless the ledger's metadata say that retention was last seen so, and that the ledger is whole since about then; zero means since ever.
func noted(t *testing.T, c jetstream.StreamConfig, retention time.Duration, since time.Time) {
	t.Helper()
	if got := c.Metadata[bus.RetentionMetadata]; got != retention.String() {
		t.Errorf("the noted retention is %q, want %v", got, retention)
	}
	text, there := c.Metadata[bus.WholeSinceMetadata]
	if since.IsZero() {
		if there {
			t.Errorf("whole since %s, want nothing of it", text)
		}
		return
	}
	if got, err := time.Parse(time.RFC3339, text); err != nil || got.Before(since) || got.After(since.Add(slack)) {
		t.Errorf("whole since %q (%v), want %v or a little later", text, err, since.UTC())
	}
}

// retentions is what happens to the retention of a ledger, in order, and what is noted after the process has looked at it.
var retentions = []struct {
	name string
	is   time.Duration
	// lost is the retention that what was lost was lost by; 0 means as before.
	lost time.Duration
}{
	{"shortened", month, 0},
	{"lengthened", 2 * month, month},
	{"lengthened once more, and less is lost", 3 * month, 0},
	{"as it was", 3 * month, 0},
	{"shortened to a day", 24 * time.Hour, 0},
	{"lengthened from a day", month, 24 * time.Hour},
}

// What an embedded ledger may have lost is noted when the configured retention changes: at another start.
func TestEmbeddedLedgerTellsSinceWhenItIsWhole(t *testing.T) {
	cfg := natstest.Config(t)
	cfg.Retention = 2 * month
	b := natstest.Open(t, cfg)
	noted(t, ledgerConfig(t, b), 2*month, time.Time{})
	var since time.Time
	for _, tt := range retentions {
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		cfg.Retention = tt.is
		if tt.lost > 0 {
			since = time.Now().Add(-tt.lost)
		}
		b = natstest.Open(t, cfg)
		t.Run(tt.name, func(t *testing.T) { noted(t, ledgerConfig(t, b), tt.is, since) })
	}
	hashKey(t, b)
	// Somebody has shortened it by hand, and the next start restores what is configured.
	short := ledgerConfig(t, b)
	short.MaxAge = time.Hour
	if _, err := b.JetStream().UpdateStream(t.Context(), short); err != nil {
		t.Fatal(err)
	}
	since = time.Now().Add(-time.Hour)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = natstest.Open(t, cfg)
	noted(t, ledgerConfig(t, b), month, since)
	if got := ledgerConfig(t, b).MaxAge; got != month {
		t.Errorf("retention is %v, want what is configured", got)
	}
}

// The operator of an external server changes its ledger; each start looks at it, and NoteRetention does while the process runs.
func TestExternalLedgerTellsSinceWhenItIsWhole(t *testing.T) {
	cfg := bus.Config{URL: natstest.Start(t).URL(), Retention: 2 * month}
	b := natstest.Open(t, cfg)
	noted(t, ledgerConfig(t, b), 2*month, time.Time{})
	set := func(change func(*jetstream.StreamConfig)) {
		t.Helper()
		c := ledgerConfig(t, b)
		change(&c)
		if _, err := b.JetStream().UpdateStream(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	var since time.Time
	for _, tt := range retentions {
		set(func(c *jetstream.StreamConfig) { c.MaxAge = tt.is })
		if tt.lost > 0 {
			since = time.Now().Add(-tt.lost)
		}
		if err := b.NoteRetention(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Run(tt.name, func(t *testing.T) { noted(t, ledgerConfig(t, b), tt.is, since) })
	}
	start := func(want time.Duration, since time.Time) {
		t.Helper()
		if err := b.EnsureStreams(t.Context()); err != nil && !strings.Contains(err.Error(), "max age") {
			t.Fatal(err)
		}
		noted(t, ledgerConfig(t, b), want, since)
	}
	set(func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour })
	start(time.Hour, since)
	// For ever is longer than anything.
	set(func(c *jetstream.StreamConfig) { c.MaxAge = 0 })
	start(0, time.Now().Add(-time.Hour))
	// Nothing is lost where nothing was noted, as far as anybody knows.
	set(func(c *jetstream.StreamConfig) { c.Metadata = nil })
	start(0, time.Time{})
	// A clock that was ahead when it was noted, and nonsense.
	for _, text := range []string{time.Now().Add(1000 * time.Hour).Format(time.RFC3339), "lately"} {
		set(func(c *jetstream.StreamConfig) { c.Metadata[bus.WholeSinceMetadata] = text })
		start(0, time.Now())
	}
	if after := ledgerConfig(t, b); after.Metadata[bus.HashKeyMetadata] == "" || fmt.Sprint(after.Subjects) != fmt.Sprint(bus.LedgerSpec(cfg).Subjects) {
		t.Errorf("something else has changed: %+v", after)
	}
}

// A process that may not change the ledger says so once, with what to do, and serves all the same.
func TestNoRightToNoteTheRetention(t *testing.T) {
	srv := natstest.Start(t, natstest.With(func(o *server.Options) {
		deny := &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"$JS.API.STREAM.UPDATE.>"}}}
		o.Users = []*server.User{{Username: "admin", Password: "p"}, {Username: "plain", Password: "p", Permissions: deny}}
	}))
	admin := natstest.Open(t, bus.Config{URL: "nats://admin:p@" + srv.Addr()})
	c := ledgerConfig(t, admin)
	c.MaxAge = 10 * month
	if _, err := admin.JetStream().UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	log, logged := logtest.NewNullLogger()
	b, err := bus.Open(t.Context(), bus.Config{URL: "nats://plain:p@" + srv.Addr(), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	if err := b.EnsureStreams(ctx); err != nil {
		t.Errorf("ensure: %v; want to go on", err)
	}
	told := 0 // by the log
	for _, e := range logged.AllEntries() {
		if !strings.Contains(e.Message, "can't be told its retention") {
			continue
		}
		told++
		var hint *bus.Error
		if err, _ := e.Data[logrus.ErrorKey].(error); !errors.As(err, &hint) || !strings.Contains(hint.Hint, "$JS.API.STREAM.UPDATE.CURFEW") {
			t.Errorf("told %v, want the right that is missing", e.Data)
		}
	}
	if told != 1 {
		t.Errorf("told %d times what to do, want once", told)
	}
}

// A note of the retention that nobody can read may have told of a shorter one: what there is from before now may be incomplete.
func TestUnreadableRetentionCountsAsLengthenedNow(t *testing.T) {
	for _, note := range []string{"P31D", "-24h", ""} {
		t.Run(note, func(t *testing.T) {
			cfg := natstest.Config(t)
			cfg.Retention = month
			b := natstest.Open(t, cfg)
			changed := ledgerConfig(t, b)
			changed.Metadata[bus.RetentionMetadata] = note
			if _, err := b.JetStream().UpdateStream(t.Context(), changed); err != nil {
				t.Fatal(err)
			}
			since := time.Now().Truncate(time.Second)
			if err := b.NoteRetention(t.Context()); err != nil {
				t.Fatal(err)
			}
			noted(t, ledgerConfig(t, b), month, since)
		})
	}
}

// What a stream tells of what it may have lost, by its settings alone.
func TestWholeSince(t *testing.T) {
	now := time.Date(2026, 8, 4, 12, 0, 0, 0, time.UTC)
	const day = 24 * time.Hour
	tests := []struct {
		name          string
		maxAge        time.Duration
		noted, stated string
		want          time.Time
	}{
		{name: "it keeps everything", noted: "0s"},
		{name: "it keeps a month", maxAge: 30 * day, noted: "720h0m0s", want: now.Add(-30 * day)},
		{name: "nobody has noted anything", maxAge: 30 * day, want: now.Add(-30 * day)},
		{name: "it was lengthened and nobody has noted that", maxAge: 60 * day, noted: "720h0m0s", want: now.Add(-30 * day)},
		{name: "to keep everything", noted: "720h0m0s", want: now.Add(-30 * day)},
		{name: "it was lengthened, as is noted", maxAge: 60 * day, noted: "1440h0m0s", stated: "2026-08-01T00:00:00Z", want: time.Date(2026, 8, 1, 0, 0, 0, 0, time.UTC)},
		{name: "that was long ago", maxAge: 30 * day, noted: "720h0m0s", stated: "2026-01-01T00:00:00Z", want: now.Add(-30 * day)},
		{name: "a time to come", maxAge: 30 * day, noted: "720h0m0s", stated: "2026-09-01T00:00:00Z", want: now},
		{name: "no time", stated: "soon", want: now},
		{name: "no retention", noted: "much", want: now},
		{name: "a negative one", noted: "-1s", want: now},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := jetstream.StreamConfig{MaxAge: tt.maxAge, Metadata: map[string]string{}}
			if tt.noted != "" {
				c.Metadata[bus.RetentionMetadata] = tt.noted
			}
			if tt.stated != "" {
				c.Metadata[bus.WholeSinceMetadata] = tt.stated
			}
			if got := bus.WholeSince(c, now); !got.Equal(tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
