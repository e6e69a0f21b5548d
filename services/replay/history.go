package replay

import (
	"encoding/json"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/ledger"
	"github.com/curfewhq/curfew/internal/problem"
)

// Record is one event of the history.
type Record struct {
	Position uint64    `json:"position"`
	Stored   time.Time `json:"stored"`
	// Event is the CloudEvents envelope as it lies in the ledger.
	Event json.RawMessage `json:"event"`
}

// maxAnswerBytes bounds the events of one answer, because one event may be half a megabyte. It is looked at behind each event.
const maxAnswerBytes = 8 << 20

func (s *Service) handleHistory(w http.ResponseWriter, r *http.Request) {
	key, _ := access.KeyFrom(r.Context())
	f, fault := parseFilter(key, r.URL.RawQuery, true)
	if fault != nil {
		s.refuse(w, *fault)
		return
	}
	switch {
	case f.span.Follow, wantsLines(r):
		s.lines(w, r, key.ID, f)
	default:
		s.page(w, r, f)
	}
}

// wantsLines reports whether a caller asks for the whole range as NDJSON.
func wantsLines(r *http.Request) bool {
	for _, accepted := range strings.Split(r.Header.Get("Accept"), ",") {
		if media, _, err := mime.ParseMediaType(strings.TrimSpace(accepted)); err == nil && media == lineType {
			return true
		}
	}
	return false
}

const lineType = "application/x-ndjson"

// page answers with some records, and where the others begin.
func (s *Service) page(w http.ResponseWriter, r *http.Request, f *filter) {
	records, full := []Record{}, false
	size := 0
	wanted := func(entry ledger.Entry) bool { return entry.Event != nil && f.match(entry.Event) }
	take := func(entry ledger.Entry) error {
		if len(records) == f.limit || size > maxAnswerBytes {
			full = true
			return ledger.ErrStop
		}
		size += len(entry.Data)
		records = append(records, recordOf(entry))
		return nil
	}
	var err error
	if f.newest {
		err = s.cfg.Ledger.ReadBack(r.Context(), f.span, wanted, take)
	} else {
		err = s.cfg.Ledger.Read(r.Context(), f.span, func(entry ledger.Entry) error {
			if !wanted(entry) {
				return nil
			}
			return take(entry)
		}, nil)
	}
	if err != nil {
		s.unreadable(w, r, err)
		return
	}
	answer := History{Revocations: records}
	if last := len(records) - 1; full && f.newest {
		answer.NextBefore = records[last].Position
	} else if full {
		answer.NextAfter = records[last].Position
	}
	s.tell(w, answer)
}

// History is a page of records. NextAfter or NextBefore is where the next one begins, by the order that was asked for; zero on the last.
type History struct {
	Revocations []Record `json:"revocations"`
	NextAfter   uint64   `json:"next_after,omitempty"`
	NextBefore  uint64   `json:"next_before,omitempty"`
}

func recordOf(entry ledger.Entry) Record {
	return Record{Position: entry.Position, Stored: entry.Stored.UTC(), Event: entry.Data}
}

// refuse answers that a parameter is invalid.
func (s *Service) refuse(w http.ResponseWriter, fault problem.Fault) {
	p := problem.New(http.StatusBadRequest, "invalid_parameter", "A parameter is invalid; nothing was read.")
	p.Faults = []problem.Fault{fault}
	s.answer(w, p)
}

func (s *Service) answer(w http.ResponseWriter, p problem.Problem) {
	s.cfg.Metrics.Refused.WithLabelValues(p.Code).Inc()
	beforeLong(w)
	p.Write(w)
}

// tell answers with what was read.
func (s *Service) tell(w http.ResponseWriter, v any) {
	beforeLong(w)
	problem.JSON(w, http.StatusOK, v)
}

// answerTimeout bounds the writing of an answer, since when it begins depends on how long the reading took.
const answerTimeout = 30 * time.Second

func beforeLong(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTimeout))
}

// unreadable answers that the ledger can't be read. A caller that has gone away doesn't hear it, and isn't counted; but one whose server stops does: without an answer it would get an empty 200.
func (s *Service) unreadable(w http.ResponseWriter, r *http.Request, err error) {
	p := problem.Unavailable("history_unavailable", "The ledger couldn't be read: is NATS up? 'curfew doctor' tells.", time.Second)
	if r.Context().Err() != nil {
		beforeLong(w)
		p.Write(w)
		return
	}
	s.cfg.Log.WithError(err).Warn("history couldn't be read")
	s.answer(w, p)
}
