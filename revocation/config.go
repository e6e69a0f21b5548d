package revocation

import (
	"errors"
	"slices"
	"time"

	"github.com/curfewhq/curfew/events"
)

// Defaults of Config.
const (
	DefaultMaxAge = 30 * 24 * time.Hour
	DefaultLeeway = 5 * time.Minute
	// DefaultStalenessBudget is longer than a NATS cluster takes to elect a leader, during which nothing is acknowledged either.
	DefaultStalenessBudget = 15 * time.Second
	// DefaultSnapshotInterval is how often SnapshotFile is written.
	DefaultSnapshotInterval = 5 * time.Minute
)

// Config is what Open needs. Only Feed is required.
type Config struct {
	Feed Feed
	// MaxAge is the absolute age, from auth time, at which every session is over. Zero means DefaultMaxAge. It can't be
	// disabled: without it no revocation could ever be forgotten. At most a hundred years. There is no lower bound but that curfew serve refuses
	// less than a minute for its own. Sessions that are older are refused, so it is no shorter than they may live.
	//
	// Whatever an event says, nothing is kept for longer than 48 times MaxAge and Leeway, or 24,576 s if that is more; and what it says of up to 24 times is.
	//
	// The revocation of a session by name is kept until the session's own end, if the event tells it and it is still ahead; otherwise for
	// MaxAge from the event's time. That end must be the absolute one: whoever revokes and tells the moving end of a rolling session
	// (Auth.js's expires) has the revocation forgotten while the session goes on. To leave it out is always right.
	MaxAge time.Duration
	// Leeway is how much longer than needed entries are kept, and how far ahead an auth time may lie. Zero means DefaultLeeway. There is no
	// lower bound, and curfew serve always takes the default: with less than what the clocks of issuers and publishers differ by, good sessions count as
	// begun in the future, and a revocation may be forgotten before the session that it ends has reached max age.
	Leeway time.Duration
	// StalenessBudget is how old the proof of having applied everything may be. Zero means DefaultStalenessBudget. Open waits for a
	// proof that is no older. There is no lower bound, for a replica doesn't know how often beats are written: that a budget is at least 1 s and three
	// beats is what curfew serve holds its own to. With a shorter one every beat that comes a little late makes everything undetermined; it is never unsafe.
	StalenessBudget time.Duration
	// SweepInterval is how often expired entries are forgotten. Zero means a minute.
	SweepInterval time.Duration
	// SnapshotFile is where the replica keeps a snapshot of itself, so that the process starts in seconds, however much is in the stream. Empty means
	// nowhere. Its folder must be there, and nobody else may be able to write to either: whoever can change the file can take revocations out
	// of it. See [SnapshotFile].
	SnapshotFile string
	// SnapshotInterval is how often the file is written, if anything was applied meanwhile; a tenth earlier or later at random. Zero means
	// DefaultSnapshotInterval.
	SnapshotInterval time.Duration
	// Snapshots are where else to look for a snapshot to begin from, in this order, after SnapshotFile. A snapshot that is corrupt, of another
	// stream or too old is told to Hooks.SnapshotRefused, and the next is tried; at last the stream is read whole. The replica only reads
	// them; see [Replica.Save].
	Snapshots []Snapshots
	Hooks     Hooks
}

// Hooks are called as things happen. Each may be nil. All but those of which it is said are called one at a time, as the feed is followed: one that blocks
// stops the replica, which then goes stale. Expired is called by the sweeper, so possibly while another hook runs: what both touch needs
// a lock. There, one that blocks stops only the forgetting; but while an old stream is read it is called as the feed is followed, like the others.
type Hooks struct {
	// Skipped: a message held no event that this version knows. Count it, and tell somebody: it may have been a revocation.
	Skipped func(position uint64, err error)
	// FeedLost: the feed stopped and is followed again after retryIn.
	FeedLost func(err error, retryIn time.Duration)
	// Synced: everything up to the head that was seen at the start has been applied. That proves nothing about freshness. It is called before Open returns.
	Synced func(position uint64)
	// RetentionShort: the stream keeps events for have only, and max age and leeway need need. It is called once, and again only after the
	// stream has kept enough meanwhile. A replica that has missed nothing goes on, and stays right: but none can be opened any more, and one
	// that misses something can't go on. Tell somebody to lengthen the stream's retention. What it has forgotten by then doesn't come back: for
	// replicas that begin later, sessions that began before what is still there are past max age.
	RetentionShort func(have, need time.Duration)
	// Expired: n entries were forgotten. It is called by the sweeper or as an event is applied.
	Expired func(n int)
	// SnapshotLoaded: the stream is followed from this snapshot on, which was found at from.
	SnapshotLoaded func(from string, info SnapshotInfo)
	// SnapshotRefused: the snapshot at from isn't used; err says why. Where there is none is no refusal.
	SnapshotRefused func(from string, err error)
	// SnapshotSaved and SnapshotFailed tell of [Replica.Save] and of SnapshotFile. They are called by who saves, so possibly while another hook
	// runs.
	SnapshotSaved  func(to string, info SnapshotInfo, took time.Duration)
	SnapshotFailed func(to string, err error)
}

func (c Config) withDefaults() Config {
	c.MaxAge = orDefault(c.MaxAge, DefaultMaxAge)
	c.Leeway = orDefault(c.Leeway, DefaultLeeway)
	c.StalenessBudget = orDefault(c.StalenessBudget, DefaultStalenessBudget)
	c.SweepInterval = orDefault(c.SweepInterval, time.Minute)
	c.SnapshotInterval = orDefault(c.SnapshotInterval, DefaultSnapshotInterval)
	return c
}

func orDefault(d, def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return d
}

// Validate reports every fault of the configuration at once.
func (c Config) Validate() error {
	var errs []error
	if c.Feed == nil {
		errs = append(errs, errors.New("revocation config: Feed is required: use revocationnats.NewFeed"))
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"MaxAge", c.MaxAge}, {"Leeway", c.Leeway}, {"StalenessBudget", c.StalenessBudget}, {"SweepInterval", c.SweepInterval}, {"SnapshotInterval", c.SnapshotInterval}} {
		if d.value < 0 {
			errs = append(errs, errors.New("revocation config: "+d.name+" can't be negative: leave it zero for the default"))
		}
	}
	// Beyond, dates and durations could overflow.
	if most := 100 * 365 * 24 * time.Hour; c.MaxAge > most || c.Leeway > most {
		errs = append(errs, errors.New("revocation config: MaxAge and Leeway can't exceed a hundred years"))
	}
	if most := 365 * 24 * time.Hour; c.SnapshotInterval > most || c.SweepInterval > most {
		errs = append(errs, errors.New("revocation config: SnapshotInterval and SweepInterval can't exceed a year"))
	}
	if slices.Contains(c.Snapshots, nil) {
		errs = append(errs, errors.New("revocation config: one of Snapshots is nil: leave it out"))
	}
	return errors.Join(errs...)
}

// Applied is an event that the replica has applied.
type Applied struct {
	Event    events.Event
	Position uint64
	// Latency is the time from when the stream stored the event to when it was applied. It is too long by what the replica can't tell of
	// the stream's clock, a round trip at most, and it is the event's age for one that was read late.
	Latency time.Duration
}
