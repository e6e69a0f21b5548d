package revocationtest

import (
	"testing"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
)

// patience bounds every wait of the suite. A feed that needs longer has failed.
const patience = 15 * time.Second

// Harness is one stream, empty at first and without beats but those of Beat, and a feed that follows it. Its methods fail the test
// themselves.
type Harness interface {
	// Feed returns the feed, the same each time.
	Feed() revocation.Feed
	// Publish stores an event on its topic and returns its position.
	Publish(e events.Event) uint64
	// PublishRaw stores any bytes on any topic.
	PublishRaw(topic string, data []byte) uint64
	// Beat stores a beat.
	Beat() uint64
	// RemoveLast removes the last message that is left. The stream's last position stays what it was.
	RemoveLast()
	// Recreate deletes the stream and makes an empty one.
	Recreate()
	// Expire removes everything up to position, as retention does. The stream's last position stays what it was.
	Expire(position uint64)
	// SetRetention changes how long the stream keeps events: some hours at least.
	SetRetention(d time.Duration)
	// Backup remembers what the stream holds, and PutBack puts it back to that: it is the same stream, and the next message gets the position after what
	// it held.
	Backup()
	PutBack()
	// Cut breaks the link between the feed and the stream; Publish and Beat go on working. Heal mends it.
	Cut()
	Heal()
}

// TestFeed holds a feed to what [revocation.Feed] and [revocation.Sink] promise. newHarness is called once for each subtest, and cleans up
// with t.Cleanup. The feed should notice a cut link, a stream that was made anew and another retention within a few seconds.
func TestFeed(t *testing.T, newHarness func(t *testing.T) Harness) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(t *testing.T, h Harness)
	}{
		{"begins once and first", beginsOnceAndFirst},
		{"the head is the stream's", headIsTheStreams},
		{"in order and without gaps", inOrderWithoutGaps},
		{"after the position that Begin names", afterPosition},
		{"again after the last position", againAfterPosition},
		{"Begin's error ends it", beginErrorEndsIt},
		{"ctx ends it", ctxEndsIt},
		{"skips what it can't read", skips},
		{"dates beats by when they were stored", datesBeats},
		{"reaching the head is no proof, a beat is", headIsNoProof},
		{"reaches a tail that was removed", reachesRemovedTail},
		{"reaches the end of an emptied stream", reachesEmptied},
		{"notices a stream that was made anew", noticesRecreated},
		{"a replica syncs with a stream that was made anew", replicaOfRecreated},
		{"goes on behind what has expired", onBehindExpired},
		{"a replica syncs anew when its position has expired", replicaOfExpired},
		{"notices another retention", noticesRetention},
		{"a replica reads a stream whole that was put back while its retention was short", replicaOfPutBackWhileShort},
		{"delivers after healing what was published while cut", deliversAfterHeal},
		{"a replica catches up after healing", replicaAfterHeal},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, newHarness(t)) })
	}
}
