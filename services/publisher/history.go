package publisher

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/curfewhq/curfew/events"
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

// filter says which events of the tenant are wanted. Empty members match everything.
type filter struct {
	user, session, device, client string
	kinds                         []events.Kind
	limit                         int
	span                          ledger.Range
}

func (f filter) match(e events.Event) bool {
	return (len(f.kinds) == 0 || slices.Contains(f.kinds, e.Kind())) &&
		(f.user == "" || e.UserID() == f.user) && (f.session == "" || names(e, f.session)) &&
		(f.device == "" || deviceOf(e) == f.device) && (f.client == "" || clientOf(e) == f.client)
}

// names reports whether e ends the session by name.
func names(e events.Event, session string) bool {
	switch e := e.(type) {
	case *events.SessionRevoked:
		return e.Session == session
	case *events.UserLoggedOutEverywhere:
		return slices.Contains(e.KnownSessions, session)
	}
	return false
}

func deviceOf(e events.Event) string {
	switch e := e.(type) {
	case *events.SessionRevoked:
		return e.Device
	case *events.DeviceLoggedOut:
		return e.Device
	}
	return ""
}

func clientOf(e events.Event) string {
	switch e := e.(type) {
	case *events.SessionRevoked:
		return e.Client
	case *events.ClientLoggedOut:
		return e.Client
	}
	return ""
}

// parseFilter refuses parameters that it doesn't know: a misspelt one would silently widen the answer.
func parseFilter(tenant string, query url.Values) (filter, *problem.Fault) {
	f := filter{limit: 100, span: ledger.Range{Topics: []string{events.TenantTopics(tenant)}}}
	for name, values := range query {
		v := values[0]
		var err error
		switch name {
		case "user":
			f.user = v
			// Only events that name the user can match, and they all lie in the user's shard.
			f.span.Topics = []string{events.UserTopics(tenant, v)}
		case "session":
			f.session = v
		case "device":
			f.device = v
		case "client":
			f.client = v
		case "scope":
			f.kinds = append(f.kinds, events.Kind(v))
		case "since":
			f.span.Since, err = parseSince(v)
		case "after":
			f.span.After, err = strconv.ParseUint(v, 10, 63)
		case "limit":
			if f.limit, err = strconv.Atoi(v); err == nil && (f.limit < 1 || f.limit > 1000) {
				err = errors.New("out of range")
			}
		case "follow":
			f.span.Follow, err = strconv.ParseBool(v)
		default:
			return f, &problem.Fault{Field: name, Detail: "isn't a parameter of this call: it knows user, session, device, client, scope, since, after, limit, follow"}
		}
		if err != nil || len(values) > 1 {
			return f, &problem.Fault{Field: name, Detail: "must be given once: since as RFC 3339 or a duration such as 2h, after as a position, limit as 1 to 1000, follow as true or false"}
		}
	}
	f.span.New = f.span.Follow && f.span.After == 0 && f.span.Since.IsZero()
	return f, nil
}

func parseSince(v string) (time.Time, error) {
	if d, err := time.ParseDuration(v); err == nil && d >= 0 {
		return time.Now().Add(-d), nil
	}
	return time.Parse(time.RFC3339, v)
}

func (s *Service) handleHistory(w http.ResponseWriter, r *http.Request) {
	key, _ := access.KeyFrom(r.Context())
	f, fault := parseFilter(key.Tenant, r.URL.Query())
	if fault != nil {
		p := problem.Invalid(*fault)
		p.Status, p.Title = http.StatusBadRequest, http.StatusText(http.StatusBadRequest)
		s.refuse(w, p)
		return
	}
	if f.span.Follow {
		s.follow(w, r, f)
		return
	}
	records := []Record{}
	var next uint64
	err := s.cfg.Ledger.Read(r.Context(), f.span, func(entry ledger.Entry) error {
		if entry.Event == nil || !f.match(entry.Event) {
			return nil
		}
		if len(records) == f.limit {
			next = records[len(records)-1].Position
			return ledger.ErrStop
		}
		records = append(records, Record{Position: entry.Position, Stored: entry.Stored.UTC(), Event: slices.Clone(entry.Data)})
		return nil
	}, nil)
	if err != nil {
		s.cfg.Log.WithError(err).Warn("history couldn't be read")
		s.refuse(w, problem.Unavailable("history_unavailable", "The ledger couldn't be read: is NATS up? 'curfew doctor' tells.", time.Second))
		return
	}
	answer := map[string]any{"revocations": records}
	if next > 0 {
		answer["next_after"] = next
	}
	problem.JSON(w, http.StatusOK, answer)
}

// follow streams records as NDJSON until the caller goes away. An empty line each 15 s without news finds out whether it is still there.
func (s *Service) follow(w http.ResponseWriter, r *http.Request, f filter) {
	ctl := http.NewResponseController(w)
	// The stream has no end; each write has a deadline of its own instead.
	_ = ctl.SetReadDeadline(time.Time{})
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	_ = ctl.Flush()
	write := func(line []byte) error {
		if err := ctl.SetWriteDeadline(time.Now().Add(10 * time.Second)); err != nil {
			return err
		}
		if _, err := w.Write(append(line, '\n')); err != nil {
			return err
		}
		return ctl.Flush()
	}
	err := s.cfg.Ledger.Read(r.Context(), f.span, func(entry ledger.Entry) error {
		if entry.Event == nil || !f.match(entry.Event) {
			return nil
		}
		line, err := json.Marshal(Record{Position: entry.Position, Stored: entry.Stored.UTC(), Event: entry.Data})
		if err != nil {
			return err
		}
		return write(line)
	}, func() error { return write(nil) })
	if err != nil && r.Context().Err() == nil {
		s.cfg.Log.WithError(err).Info("a follower of the history ended")
	}
}
