package revocationnats

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Members of the stream's metadata by which curfew serve tells what the stream may have lost (ADR 0034).
const (
	// RetentionMetadata holds how long the stream kept events when a curfew serve last looked, as a Go duration; 0s means for ever.
	RetentionMetadata = "curfew-retention"
	// WholeSinceMetadata holds since when the stream has every event that it stored, by RFC 3339. None means that retention was never lengthened.
	WholeSinceMetadata = "curfew-whole-since"
)

// wholeSince returns since when the stream has every event that it stored, as far as its settings tell: the latest of what its metadata says, and what
// its retention leaves at now, which is the stream's clock. Zero means always.
//
// A retention that is longer than the noted one was lengthened, and nobody has noted when:
//
//  1. revocations older than an hour are removed; 2. retention is lengthened to a month; 3. we begin to follow, before any curfew serve has started.
//
// What can't be read, and a time that has yet to come (the clock was ahead when it was noted), count as this moment: nobody knows better.
func wholeSince(c jetstream.StreamConfig, now time.Time) time.Time {
	var since time.Time
	if text, ok := c.Metadata[WholeSinceMetadata]; ok {
		var err error
		if since, err = time.Parse(time.RFC3339, text); err != nil || since.After(now) {
			return now
		}
	}
	kept := c.MaxAge
	if text, ok := c.Metadata[RetentionMetadata]; ok {
		noted, err := time.ParseDuration(text)
		if err != nil || noted < 0 {
			return now
		}
		if noted > 0 && (kept == 0 || noted < kept) {
			kept = noted
		}
	}
	if left := now.Add(-kept); kept > 0 && left.After(since) {
		since = left
	}
	return since
}
