package revocationnats

import (
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/revocation"
)

// keepsAll returns [revocation.ErrRetention] if a stream may lose messages otherwise than by their age: for lack of room, by their number, by their topic,
// or once they were read. A hole that this makes looks like beats that have expired, so neither the feed nor the replica could tell that anything was
// missed. How long is long enough is for the replica to say.
func keepsAll(c jetstream.StreamConfig) error {
	edit := "type 'nats stream edit " + c.Name + " "
	setting, drops, remedy := "", "its oldest messages when it is full", edit+"--discard=new'"
	switch discards := c.Discard == jetstream.DiscardOld; {
	case discards && c.MaxMsgs > 0:
		setting = fmt.Sprintf("discard policy old and at most %d messages", c.MaxMsgs)
		remedy = edit + "--discard=new --max-msgs=-1'"
	case discards && c.MaxBytes > 0:
		setting = fmt.Sprintf("discard policy old and at most %d bytes", c.MaxBytes)
	case c.MaxMsgsPerSubject > 0 && (discards || !c.DiscardNewPerSubject):
		setting, drops = fmt.Sprintf("at most %d messages per topic", c.MaxMsgsPerSubject), "older messages of a topic"
		remedy = edit + "--max-msgs-per-subject=-1'"
	case c.Retention != jetstream.LimitsPolicy:
		setting, drops = "retention policy "+c.Retention.String(), "messages once they were read"
		remedy = "that can't be changed, so give curfew serve another NATS account"
	default:
		return nil
	}
	return fmt.Errorf("%w: %s has %s, so it drops %s, live revocations among them: %s; what it has dropped is gone, so end the sessions that began before "+
		"with a revocation of each tenant", revocation.ErrRetention, c.Name, setting, drops, remedy)
}
