package publisher

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
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

// parseFilter refuses parameters that it doesn't know, that are empty or that stand there twice: ignoring one would silently widen the answer.
func parseFilter(tenant, rawQuery string) (filter, *problem.Fault) {
	f := filter{limit: 100, span: ledger.Range{Topics: []string{events.TenantTopics(tenant)}}}
	// Not URL.Query, which drops what it can't read.
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return f, &problem.Fault{Field: "query", Detail: "can't be read: percent-encode its values"}
	}
	for name, values := range query {
		remedy := f.set(tenant, name, values[0])
		if remedy == "" && len(values) > 1 {
			remedy = "must be given once"
		}
		if remedy != "" {
			if !parameterName.MatchString(name) {
				name = "query"
			}
			return f, &problem.Fault{Field: name, Detail: remedy}
		}
	}
	if f.span.Follow && query.Has("limit") {
		return f, &problem.Fault{Field: "limit", Detail: "doesn't go together with follow: leave one of them out"}
	}
	f.span.New = f.span.Follow && !query.Has("after") && !query.Has("since")
	return f, nil
}

// parameterName is what a fault may repeat of a query that it doesn't know.
var parameterName = regexp.MustCompile(`^[a-z_]{1,40}$`)

// set takes one parameter. It returns what to do instead, or "".
func (f *filter) set(tenant, name, v string) string {
	var err error
	switch name {
	case "user":
		f.user = v
		// Only events that name the user can match, and they all lie in the user's shard.
		f.span.Topics = []string{events.UserTopics(tenant, v)}
		return events.IDFault(v)
	case "session":
		f.session = v
		return events.IDFault(v)
	case "device":
		f.device = v
		return events.IDFault(v)
	case "client":
		f.client = v
		return events.IDFault(v)
	case "scope":
		f.kinds = []events.Kind{events.Kind(v)}
		if !slices.Contains(events.Kinds(), events.Kind(v)) {
			return "must be one of session, user, device, client, tenant"
		}
	case "since":
		if f.span.Since, err = parseSince(v); err != nil {
			return "must be an RFC 3339 time, or a duration such as 2h"
		}
	case "after":
		if f.span.After, err = strconv.ParseUint(v, 10, 63); err != nil {
			return "must be a position"
		}
	case "limit":
		if f.limit, err = strconv.Atoi(v); err != nil || f.limit < 1 || f.limit > 1000 {
			return "must be 1 to 1000"
		}
	case "follow":
		if v != "true" && v != "false" {
			return "must be true or false"
		}
		f.span.Follow = v == "true"
	default:
		return "isn't a parameter of this call: it knows user, session, device, client, scope, since, after, limit, follow"
	}
	return ""
}

func parseSince(v string) (time.Time, error) {
	if d, err := time.ParseDuration(v); err == nil && d >= 0 {
		return time.Now().Add(-d), nil
	}
	return time.Parse(time.RFC3339, v)
}

// maxAnswerBytes bounds the events of one answer, because one event may be half a megabyte. It is looked at behind each event.
const maxAnswerBytes = 8 << 20

func (s *Service) handleHistory(w http.ResponseWriter, r *http.Request) {
	key, _ := access.KeyFrom(r.Context())
	f, fault := parseFilter(key.Tenant, r.URL.RawQuery)
	if fault != nil {
		p := problem.New(http.StatusBadRequest, "invalid_parameter", "A parameter is invalid; nothing was read.")
		p.Faults = []problem.Fault{*fault}
		s.refuse(w, p)
		return
	}
	if f.span.Follow {
		s.follow(w, r, key.ID, f)
		return
	}
	records := []Record{}
	var next uint64
	size := 0
	err := s.cfg.Ledger.Read(r.Context(), f.span, func(entry ledger.Entry) error {
		if entry.Event == nil || !f.match(entry.Event) {
			return nil
		}
		if len(records) == f.limit || size > maxAnswerBytes {
			next = records[len(records)-1].Position
			return ledger.ErrStop
		}
		size += len(entry.Data)
		records = append(records, recordOf(entry))
		return nil
	}, nil)
	if err != nil {
		s.unreadable(w, r, err)
		return
	}
	answer := map[string]any{"revocations": records}
	if next > 0 {
		answer["next_after"] = next
	}
	problem.JSON(w, http.StatusOK, answer)
}

func recordOf(entry ledger.Entry) Record {
	return Record{Position: entry.Position, Stored: entry.Stored.UTC(), Event: entry.Data}
}

// unreadable answers that the ledger can't be read, unless the caller has gone away.
func (s *Service) unreadable(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return
	}
	s.cfg.Log.WithError(err).Warn("history couldn't be read")
	s.refuse(w, problem.Unavailable("history_unavailable", "The ledger couldn't be read: is NATS up? 'curfew doctor' tells.", time.Second))
}

// errKeyRevoked ends a following reading whose API key has been revoked meanwhile.
var errKeyRevoked = errors.New("the follower's API key was revoked")

// follow streams records as NDJSON until the caller goes away. The answer begins once nothing can be missed any more. An empty line each 15 s
// without news finds out whether the caller is still there. A stream that breaks on this side is cut off, so that it doesn't look complete.
func (s *Service) follow(w http.ResponseWriter, r *http.Request, keyID string, f filter) {
	ctl := http.NewResponseController(w)
	// The stream has no end; each write has a deadline of its own instead.
	_ = ctl.SetReadDeadline(time.Time{})
	began := false
	write := func(line []byte) error {
		if !s.cfg.Keys.Live(keyID) {
			return errKeyRevoked
		}
		if !began {
			began = true
			w.Header().Set("Content-Type", "application/x-ndjson")
			w.Header().Set("Cache-Control", "no-store")
			w.WriteHeader(http.StatusOK)
		}
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
		line, err := json.Marshal(recordOf(entry))
		if err != nil {
			return err
		}
		return write(line)
	}, func() error { return write(nil) })
	switch {
	case err == nil, r.Context().Err() != nil:
	case !began:
		s.unreadable(w, r, err)
	default:
		s.cfg.Log.WithError(err).Info("a follower of the history was cut off")
		panic(http.ErrAbortHandler)
	}
}
