package bus

import (
	"context"
	"maps"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Members of the ledger's metadata that tell what it may have lost (ADR 0034). What retention has removed doesn't come back when retention is
// lengthened, and the settings then don't show it any more:
//
//  1. retention is a month, and a revocation of five weeks ago has been removed; 2. max age and retention are raised to two months; 3. a replica
//     starts, and would call a session of that age active.
const (
	// RetentionMetadata holds the retention that one of our processes has seen last, as a Go duration; 0s means for ever.
	RetentionMetadata = "curfew-retention"
	// WholeSinceMetadata holds since when the ledger has every event that it stored, by RFC 3339. It is there once retention was lengthened, or the ledger
	// made anew.
	WholeSinceMetadata = "curfew-whole-since"
)

// metadataTimeout bounds an attempt to change the metadata of an external server's ledger: a request that the user has no right to is never answered.
const metadataTimeout = 2 * time.Second

// withMetadata returns the settings with a member of their metadata set.
func withMetadata(c jetstream.StreamConfig, member, value string) jetstream.StreamConfig {
	metadata := maps.Clone(c.Metadata)
	if metadata == nil {
		metadata = map[string]string{}
	}
	metadata[member] = value
	c.Metadata = metadata
	return c
}

// together is for how long the processes of a deployment that starts for the first time may find each other's key of fingerprints and no ledger yet.
const together = time.Minute

// leeway is what replicas add to whole-since for clocks that differ, by default.
const leeway = 5 * time.Minute

// firstLedger returns the settings of a ledger that is made. One that takes the place of another has lost all that the other held: sessions that began before
// now may have been revoked. That there was another one is told by a key that was agreed on before. Whoever signs in from now on must not be
// refused, so what replicas add is taken off.
func (b *Bus) firstLedger(ctx context.Context, spec jetstream.StreamConfig) (jetstream.StreamConfig, error) {
	key, agreed, err := b.firstHashKey(ctx)
	if err != nil {
		return spec, err
	}
	spec = withMetadata(spec, HashKeyMetadata, key)
	spec = withMetadata(spec, RetentionMetadata, spec.MaxAge.String())
	now := time.Now()
	if agreed.IsZero() || now.Sub(agreed) < b.together {
		return spec, nil
	}
	b.cfg.Log.WithField("since", now.UTC().Format(time.RFC3339)).
		Warn("the ledger was gone and is made anew: what it held isn't known any more, so sessions that began before now must sign in again")
	return withMetadata(spec, WholeSinceMetadata, now.Add(-leeway).UTC().Format(time.RFC3339)), nil
}

// shorter reports whether a retention keeps less than another. Zero keeps everything.
func shorter(a, b time.Duration) bool { return a > 0 && (b == 0 || a < b) }

// withRetention returns want, the settings that a stream gets or keeps, with what their metadata must tell of its retention, and whether that is
// something else than it tells now. got is what the stream has; now is its clock.
func withRetention(got, want jetstream.StreamConfig, now time.Time) (jetstream.StreamConfig, bool) {
	kept := got.MaxAge
	text, there := got.Metadata[RetentionMetadata]
	noted, err := time.ParseDuration(text)
	if err == nil && shorter(noted, kept) {
		kept = noted // it was lengthened since somebody looked
	}
	since, told := wholeSince(got.Metadata, now)
	if there && (err != nil || noted < 0) {
		// Somebody has written what can't be read, and nobody knows what it was.
		since, told = now, false
	}
	if left := now.Add(-kept); shorter(kept, want.MaxAge) && left.After(since) {
		since, told = left, false
	}
	if err == nil && noted == want.MaxAge && told {
		return want, false
	}
	want = withMetadata(want, RetentionMetadata, want.MaxAge.String())
	if !since.IsZero() {
		// Later by what the form leaves out, never earlier.
		want = withMetadata(want, WholeSinceMetadata, since.Add(time.Second-1).UTC().Format(time.RFC3339))
	}
	return want, true
}

// wholeSince returns since when a stream is whole by its metadata, and whether they really say so. A time that can't be read, or that has yet to come
// because a clock was ahead when it was noted, counts as this moment.
func wholeSince(metadata map[string]string, now time.Time) (since time.Time, told bool) {
	text, there := metadata[WholeSinceMetadata]
	if !there {
		return time.Time{}, true
	}
	since, err := time.Parse(time.RFC3339, text)
	if err != nil || since.After(now) {
		return now, false
	}
	return since, true
}

// WholeSince returns since when a stream has every event that it stored, as far as its settings tell: the latest of what its metadata says and what is
// left by its retention, or by the noted one if that was shorter and nobody has noted since that it was lengthened. now is the stream's clock. Zero means
// always.
func WholeSince(c jetstream.StreamConfig, now time.Time) time.Time {
	since, _ := wholeSince(c.Metadata, now)
	kept := c.MaxAge
	if text, there := c.Metadata[RetentionMetadata]; there {
		noted, err := time.ParseDuration(text)
		switch {
		case err != nil || noted < 0:
			return now
		case shorter(noted, kept):
			kept = noted
		}
	}
	if left := now.Add(-kept); kept > 0 && left.After(since) {
		since = left
	}
	return since
}

// NoteRetention notes in the ledger's metadata how long the ledger keeps events, and since when it is whole if that has become longer.
// [Bus.EnsureStreams] does the same; call this when retention was changed while the process runs. An update replaces all settings, so one that somebody
// makes in the same milliseconds can be lost. A process without the right to change streams gets an [*Error].
func (b *Bus) NoteRetention(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, metadataTimeout)
	defer cancel()
	stream, err := b.js.Stream(ctx, LedgerStream)
	if err != nil {
		return noteError(err)
	}
	info := stream.CachedInfo()
	want, change := withRetention(info.Config, info.Config, clockOf(info))
	if !change {
		return nil
	}
	if _, err = b.js.UpdateStream(ctx, want); err != nil {
		return noteError(err)
	}
	return nil
}

func noteError(err error) error {
	return &Error{
		Op: "note the ledger's retention", Err: err,
		Hint: "start curfew serve once with a user that may change streams ($JS.API.STREAM.UPDATE." + LedgerStream + "), or replicas can't know what the ledger has lost",
	}
}

// clockOf returns the time by the stream's clock when it was asked; ours if the server doesn't tell.
func clockOf(info *jetstream.StreamInfo) time.Time {
	if info.TimeStamp.IsZero() {
		return time.Now()
	}
	return info.TimeStamp
}
