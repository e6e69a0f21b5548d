package replay

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/ledger"
	"github.com/curfewhq/curfew/internal/problem"
)

const (
	// MaxKnownIDs is how many ids one look may be for: 16 bytes of memory each.
	MaxKnownIDs = 1_000_000
	// bytesOfID is what one takes in a body: a tenant, a slash and an id, quotes and a newline, and a carriage return of those who write one.
	bytesOfID = 63 + 1 + 36 + 2 + 2
	// lookLasts is how long after its beginning what a look has found may be gone by: half of the ledger's window for duplicates.
	//
	//  1. A looks, then B, and neither finds an event; 2. A stores it; 3. B stores it.
	//
	// B began to look before A had stored, or B would have found it, and stores at most that much later. So the stream still knows the message id, and stores the event once.
	lookLasts = 5 * time.Minute
	// signOfLife is how many messages may be read without a word to who waits.
	signOfLife = 1 << 16
)

// wantedIDs are events that are looked for, in order.
type wantedIDs struct {
	ids []identity
	// found: index of ids → the ledger has it.
	found []bool
}

// take returns true for one that is wanted and wasn't found before.
func (q *wantedIDs) take(id identity) bool {
	i, ok := slices.BinarySearchFunc(q.ids, id, func(a, b identity) int { return bytes.Compare(a[:], b[:]) })
	if !ok || q.found[i] {
		return false
	}
	q.found[i] = true
	return true
}

// handleKnown answers with those events of the body that the ledger has, and with what an import may be told of that.
func (s *Service) handleKnown(w http.ResponseWriter, r *http.Request) {
	if _, fault := problem.ReadQuery(r.URL.RawQuery, func(string, string) string { return "isn't a parameter: this call has none" }); fault != nil {
		s.refuse(w, *fault)
		return
	}
	waiting, cancel := context.WithTimeout(r.Context(), readerPatience)
	defer cancel()
	select {
	case s.looking <- struct{}{}:
		defer func() { <-s.looking }()
	case <-waiting.Done():
		s.answer(w, problem.Unavailable("history_busy", "Another import looks for its ids just now: ask again.", readerPatience))
		return
	}
	wanted, p := readIDs(w, r)
	if p.Status != 0 {
		s.answer(w, p)
		return
	}
	key, _ := access.KeyFrom(r.Context())
	out := s.lineWriter(w, key.ID)
	began, err := time.Now(), error(nil)
	if len(wanted.ids) > 0 {
		err = s.look(r.Context(), wanted, out)
	}
	if err == nil {
		err = out.line(true, func(b []byte) []byte { return fmt.Appendf(b, `{"checked":%q}`, s.signLook(began)) })
	}
	s.endLines(w, r, out, err, "a look for the ids of an import was cut off")
}

// look writes each wanted id that the ledger has.
func (s *Service) look(ctx context.Context, wanted *wantedIDs, out *lineWriter) error {
	read := 0
	return s.cfg.Ledger.Read(ctx, ledger.Range{Topics: []string{events.TopicAll}}, func(entry ledger.Entry) error {
		if read++; read%signOfLife == 0 {
			if err := out.line(true, func(b []byte) []byte { return b }); err != nil {
				return err
			}
		}
		if entry.Event == nil {
			return nil
		}
		c := entry.Event.Meta()
		if !wanted.take(identityOf(c.Tenant, c.ID)) {
			return nil
		}
		return out.line(false, func(b []byte) []byte { return fmt.Appendf(b, `{"id":%q}`, c.Tenant+"/"+c.ID) })
	}, nil)
}

// readIDs reads a body with a tenant and an id in each line.
func readIDs(w http.ResponseWriter, r *http.Request) (*wantedIDs, problem.Problem) {
	body, p := linesOf(w, r, MaxKnownIDs*bytesOfID)
	if p.Status != 0 {
		return nil, p
	}
	defer body.done()
	wanted := &wantedIDs{}
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		var text string
		err := json.Unmarshal(lines.Bytes(), &text)
		tenant, id, _ := strings.Cut(text, "/")
		if err != nil || events.TenantFault(tenant) != "" || !isID(id) {
			return nil, problem.New(http.StatusBadRequest, "malformed_body", fmt.Sprintf("Line %d doesn't name an event: its tenant, a slash and its id, a UUID in lower case, in quotes.", len(wanted.ids)+1))
		}
		if len(wanted.ids) == MaxKnownIDs {
			return nil, problem.New(http.StatusRequestEntityTooLarge, "body_too_large", fmt.Sprintf("The body has more than %d ids: ask in several calls.", MaxKnownIDs))
		}
		wanted.ids = append(wanted.ids, identityOf(tenant, id))
	}
	if p := bodyProblem(lines.Err()); p.Status != 0 {
		return nil, p
	}
	slices.SortFunc(wanted.ids, func(a, b identity) int { return bytes.Compare(a[:], b[:]) })
	wanted.found = make([]bool, len(wanted.ids))
	return wanted, problem.Problem{}
}

// signLook returns what tells when a look began.
func (s *Service) signLook(began time.Time) string {
	at := strconv.FormatInt(began.UnixMilli(), 10)
	mac := hmac.New(sha256.New, s.cfg.ImportKey)
	_, _ = mac.Write([]byte("look/" + at))
	return at + "-" + hex.EncodeToString(mac.Sum(nil)[:16])
}

// lookHolds reports whether an import may go by a look that this deployment has signed.
func (s *Service) lookHolds(signed string, now time.Time) bool {
	text, _, _ := strings.Cut(signed, "-")
	at, err := strconv.ParseInt(text, 10, 64)
	if err != nil || !hmac.Equal([]byte(signed), []byte(s.signLook(time.UnixMilli(at)))) {
		return false
	}
	age := now.Sub(time.UnixMilli(at))
	return age < lookLasts && age > -idSlack
}
