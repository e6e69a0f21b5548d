package replay

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/revocation"
)

// identity tells events apart. An id is of its tenant alone: publishers make them up, and what one tenant's does must lose no other's event. It is the beginning of a SHA-256, for a million of them take 16 bytes each.
type identity [16]byte

// identityOf takes an id in any form; only those for which isID holds are looked for.
func identityOf(tenant, id string) identity {
	sum := sha256.Sum256([]byte(tenant + "/" + id)) // no tenant has a slash
	return identity(sum[:len(identity{})])
}

// isID reports whether an id is in the form that events have: a UUID in lower case, with dashes.
func isID(text string) bool {
	id, err := uuid.Parse(text)
	return err == nil && id.String() == text
}

// importer says how the events of one call are taken.
type importer struct {
	limits Limits
	// name marks those that aren't copies already.
	name string
	// all takes events that nobody needs any more, too.
	all bool
	now time.Time
}

// arrival is an event on its way into the ledger.
type arrival struct {
	line  int
	is    identity
	topic string
	msg   *message.Message
}

// errExpired is returned for an event that no replica would keep.
var errExpired = errors.New("no longer needed")

// read takes a line: an event with the position and time that another ledger gave it. It returns errExpired, or what is wrong with the line, which quotes nothing of it.
func (im importer) read(line []byte) (*arrival, error) {
	var r struct {
		// Position is the other ledger's, and of no use here.
		Position uint64          `json:"position"`
		Stored   time.Time       `json:"stored"`
		Event    json.RawMessage `json:"event"`
	}
	if err := json.Unmarshal(line, &r); err != nil || len(r.Event) == 0 {
		return nil, errors.New("isn't a record: it must be JSON with the members position, stored and event")
	}
	e, err := events.Decode(r.Event)
	if err != nil {
		return nil, err
	}
	c := e.Meta()
	if r.Stored.IsZero() {
		r.Stored = c.Time
	}
	latest := im.now.Add(im.limits.Leeway())
	if c.Time.After(latest) || r.Stored.After(latest) {
		return nil, errors.New("happened or was stored later than now, by this server's clock: set the clocks right, and import it then")
	}
	if revocation.CutoffInFuture(e, r.Stored) {
		return nil, fmt.Errorf("has a cutoff more than %v after it was stored, which no replica believes: it never ended anything", revocation.MaxCutoffAhead)
	}
	if !isID(c.ID) {
		return nil, errors.New("has an id that isn't a UUID in lower case")
	}
	if until := im.limits.KeepsUntil(e, r.Stored); !im.all && until.Before(im.now) {
		return nil, errExpired
	}
	im.mark(e, r.Stored)
	data, err := events.Encode(e)
	if err != nil {
		return nil, err
	}
	msg := message.NewMessage(c.ID, data)
	msg.Metadata.Set("Content-Type", events.ContentType)
	msg.Metadata.Set(bus.MsgIDKey, "import/"+c.Tenant+"/"+c.ID)
	return &arrival{is: identityOf(c.Tenant, c.ID), topic: events.TopicOf(e).String(), msg: msg}, nil
}

// mark makes e a copy, whose own time replicas go by. Where they went by when it was stored, because its publisher's clock was behind, it is kept as long as they keep it: by its own time they would
// forget it earlier.
func (im importer) mark(e events.Event, stored time.Time) {
	c := e.Meta()
	if c.Replay != "" {
		return
	}
	until := im.limits.KeepsUntil(e, stored)
	c.Replay = im.name
	if until.After(im.limits.KeepsUntil(e, stored)) {
		c.ExpiresAt = until
	}
}
