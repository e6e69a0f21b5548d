package replay

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/ledger"
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/internal/telemetry"
)

// Store stores messages as [bus.Publisher] does.
type Store interface {
	PublishAll(ctx context.Context, topics []string, msgs []*message.Message) ([]bus.Ack, []error)
}

const (
	// MaxImportLines and MaxImportBytes bound the body of one import.
	MaxImportLines = bus.MaxBatch
	MaxImportBytes = 8 << 20
	// importTimeout bounds the storing of one call.
	importTimeout = 30 * time.Second
)

// Imported is what became of the lines of one call.
type Imported struct {
	// Executed is false of a dry run, of which New is how many events it would have stored.
	Executed bool `json:"executed"`
	New      int  `json:"new"`
	// Known is how many the ledger has already, and Expired how many no replica would keep; neither is stored.
	Known   int `json:"known"`
	Expired int `json:"expired"`
	// Refused are the lines that hold no event to store.
	Refused []RefusedLine `json:"refused"`
	// Position is the greatest of those that were stored; left out where none was.
	Position uint64 `json:"position,omitempty"`
}

// RefusedLine is a line that can't be imported.
type RefusedLine struct {
	// Line counts from 1.
	Line   int    `json:"line"`
	Detail string `json:"detail"`
}

// importCall are the parameters of an import.
type importCall struct {
	execute, all bool
	name         string
	checked      string
}

var importName = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)

func parseImport(rawQuery string) (importCall, *problem.Fault) {
	c := importCall{name: "import"}
	_, fault := problem.ReadQuery(rawQuery, func(name, v string) string {
		switch name {
		case "execute", "all":
			at := &c.execute
			if name == "all" {
				at = &c.all
			}
			*at = v == "true"
			return oneOf(v, []string{"true", "false"})
		case "name":
			if c.name = "import-" + v; !importName.MatchString(v) {
				return "must be 1 to 64 of a to z, 0 to 9 and -"
			}
		case "checked":
			c.checked = v
		default:
			return "isn't a parameter of this call: it knows execute, all, name, checked"
		}
		return ""
	})
	return c, fault
}

func (s *Service) handleImport(w http.ResponseWriter, r *http.Request) {
	key, _ := access.KeyFrom(r.Context())
	call, fault := parseImport(r.URL.RawQuery)
	if fault != nil {
		s.refuse(w, *fault)
		return
	}
	if call.checked != "" && !s.lookHolds(call.checked, time.Now()) {
		s.answer(w, problem.New(http.StatusConflict, "look_expired", "Nothing was stored: what 'checked' tells of is too long ago, or isn't this deployment's. Ask POST /v1/import/known again, or leave it out."))
		return
	}
	lines, p := readImport(w, r)
	if p.Status != 0 {
		s.answer(w, p)
		return
	}
	im := importer{limits: s.cfg.Limits, name: call.name, all: call.all, now: time.Now()}
	out := Imported{Executed: call.execute, Refused: []RefusedLine{}}
	arrivals := out.sort(im, lines)
	if call.checked == "" {
		known, err := s.known(r.Context(), arrivals)
		if err != nil {
			s.unreadable(w, r, err)
			return
		}
		arrivals, out.Known = without(arrivals, known), out.Known+len(known)
	}
	out.New = len(arrivals)
	if call.execute {
		if p := s.storeAll(r.Context(), arrivals, &out); p.Status != 0 {
			s.answer(w, p)
			return
		}
		s.cfg.Log.WithField(telemetry.FieldKey, key.ID).WithField("import", call.name).WithField("stored", out.New).WithField("known", out.Known).
			WithField("expired", out.Expired).WithField("refused", len(out.Refused)).WithField(telemetry.FieldPosition, out.Position).Info("events were imported")
	}
	s.tell(w, out)
}

// sort counts what isn't to be stored, and returns the rest, each event once.
func (out *Imported) sort(im importer, lines [][]byte) []*arrival {
	var arrivals []*arrival
	seen := map[identity]bool{}
	for i, line := range lines {
		a, err := im.read(line)
		switch {
		case errors.Is(err, errExpired):
			out.Expired++
		case err != nil:
			out.Refused = append(out.Refused, RefusedLine{Line: i + 1, Detail: err.Error()})
		case seen[a.is]:
			out.Known++
		default:
			seen[a.is] = true
			a.line = i + 1
			arrivals = append(arrivals, a)
		}
	}
	return arrivals
}

// known reads the ledger for some events.
func (s *Service) known(ctx context.Context, arrivals []*arrival) (map[identity]bool, error) {
	known := map[identity]bool{}
	if len(arrivals) == 0 {
		return known, nil
	}
	wanted := make(map[identity]bool, len(arrivals))
	for _, a := range arrivals {
		wanted[a.is] = true
	}
	err := s.cfg.Ledger.Read(ctx, ledger.Range{Topics: []string{events.TopicAll}}, func(entry ledger.Entry) error {
		if entry.Event == nil {
			return nil
		}
		if c := entry.Event.Meta(); wanted[identityOf(c.Tenant, c.ID)] {
			known[identityOf(c.Tenant, c.ID)] = true
		}
		return nil
	}, nil)
	return known, err
}

func without(arrivals []*arrival, known map[identity]bool) []*arrival {
	var rest []*arrival
	for _, a := range arrivals {
		if !known[a.is] {
			rest = append(rest, a)
		}
	}
	return rest
}

// storeAll stores events that the ledger didn't have a while ago. What another import has stored since has the same message id.
func (s *Service) storeAll(ctx context.Context, arrivals []*arrival, out *Imported) problem.Problem {
	topics, msgs := make([]string, len(arrivals)), make([]*message.Message, len(arrivals))
	for i, a := range arrivals {
		topics[i], msgs[i] = a.topic, a.msg
	}
	// A caller that goes away doesn't leave half of them.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), importTimeout)
	defer cancel()
	acks, errs := s.cfg.Store.PublishAll(ctx, topics, msgs)
	var trouble error
	stored := 0
	for i, err := range errs {
		switch {
		case errors.Is(err, bus.ErrInvalid):
			out.New--
			out.Refused = append(out.Refused, RefusedLine{Line: arrivals[i].line, Detail: "is larger than NATS takes: raise max_payload"})
		case err != nil:
			trouble = err
		case acks[i].Duplicate:
			out.New--
			out.Known++
		default:
			stored++
			out.Position = max(out.Position, acks[i].Position)
		}
	}
	if trouble == nil {
		return problem.Problem{}
	}
	s.cfg.Log.WithError(trouble).WithField("stored", stored).WithField("events", len(arrivals)).Error("an import couldn't be stored whole")
	detail := fmt.Sprintf("%d of %d events are stored for sure. Send the same again: what is there isn't stored twice. ", stored, len(arrivals))
	if errors.Is(trouble, bus.ErrFull) {
		return problem.Unavailable("ledger_full", detail+"The ledger is full: give it more room (disk, or the stream's MaxBytes); 'curfew doctor' shows both.", 5*time.Second)
	}
	return problem.Unavailable("not_stored", detail+"'curfew doctor' tells why.", time.Second)
}
