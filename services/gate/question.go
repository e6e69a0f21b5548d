package gate

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/revocation"
)

// Question asks for one session.
type Question struct {
	Session string `json:"session,omitempty"`
	User    string `json:"user,omitempty"`
	Device  string `json:"device,omitempty"`
	Client  string `json:"client,omitempty"`
	// AuthTime is RFC 3339. One with whole seconds stands for the start of its second, so send milliseconds where there are any.
	AuthTime *time.Time `json:"auth_time,omitempty"`
	// MaxStalenessMS narrows the replica's staleness budget, in milliseconds, at least 1. Nil leaves the budget as it is, and so does
	// anything longer.
	MaxStalenessMS *int64 `json:"max_staleness_ms,omitempty"`
	// Position must have been applied; the call waits up to a second for it. A Curfew-Position header holds for all questions of a call.
	Position uint64 `json:"position,omitempty"`
	// AllowMissing names what may be missing: session, user, auth_time. A revocation of what is missing can't be found.
	AllowMissing []string `json:"dangerously_allow_missing,omitempty"`
}

// faults returns what is wrong with a question, at most one fault for each member.
func (q Question) faults() []problem.Fault {
	var faults []problem.Fault
	fault := func(bad bool, field, detail string) {
		if bad {
			faults = append(faults, problem.Fault{Field: field, Detail: detail})
		}
	}
	for _, id := range []struct{ field, value string }{{"session", q.Session}, {"user", q.User}, {"device", q.Device}, {"client", q.Client}} {
		if id.value != "" {
			detail := events.IDFault(id.value)
			fault(detail != "", id.field, detail)
		}
	}
	// The zero time among others: it would pass for an auth time that is missing.
	fault(q.AuthTime != nil && (q.AuthTime.Unix() < 0 || q.AuthTime.UTC().Year() > 9999), "auth_time", "must lie between the years 1970 and 9999")
	// 0 can't mean the budget: who asks for 0 asks for the freshest answer there is.
	fault(q.MaxStalenessMS != nil && *q.MaxStalenessMS < 1, "max_staleness_ms", "must be at least 1: leave it out for the server's budget")
	fault(slices.ContainsFunc(q.AllowMissing, func(m string) bool { return m != "session" && m != "user" && m != "auth_time" }),
		"dangerously_allow_missing", "must hold some of session, user, auth_time")
	return faults
}

// session is what the question asks for, in the key's tenant.
func (q Question) session(tenant string) revocation.Session {
	s := revocation.Session{Tenant: tenant, ID: q.Session, User: q.User, Device: q.Device, Client: q.Client}
	if q.AuthTime != nil {
		s.AuthTime = *q.AuthTime
	}
	return s
}

// require is what the question asks of the answer.
func (q Question) require() revocation.Require {
	require := revocation.Require{
		Position:                        q.Position,
		DangerouslyAllowMissingSession:  slices.Contains(q.AllowMissing, "session"),
		DangerouslyAllowMissingUser:     slices.Contains(q.AllowMissing, "user"),
		DangerouslyAllowMissingAuthTime: slices.Contains(q.AllowMissing, "auth_time"),
	}
	if q.MaxStalenessMS != nil {
		// No budget is as long as a day, and more milliseconds would overflow a duration.
		require.MaxStaleness = time.Duration(min(*q.MaxStalenessMS, 24*60*60*1000)) * time.Millisecond
	}
	return require
}

// questionOf reads the parameters, each of which is named like a member of Question. dangerously_allow_missing is a list with commas.
func questionOf(r *http.Request) (Question, error) {
	var q Question
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return q, errors.New("the query can't be read")
	}
	for name, values := range query {
		if len(values) != 1 {
			return q, errors.New("each parameter must be given once")
		}
		v := values[0]
		var err error
		switch name {
		case "session":
			q.Session = v
		case "user":
			q.User = v
		case "device":
			q.Device = v
		case "client":
			q.Client = v
		case "auth_time":
			// As in JSON, so that both forms of the call read it alike.
			q.AuthTime = new(time.Time)
			err = q.AuthTime.UnmarshalText([]byte(v))
		case "max_staleness_ms":
			q.MaxStalenessMS = new(int64)
			*q.MaxStalenessMS, err = strconv.ParseInt(v, 10, 64)
		case "position":
			q.Position, err = strconv.ParseUint(v, 10, 64)
		case "dangerously_allow_missing":
			q.AllowMissing = strings.Split(v, ",")
		default:
			return q, errors.New("the query knows the parameters session, user, device, client, auth_time, max_staleness_ms, position and dangerously_allow_missing")
		}
		if err != nil {
			return q, errors.New(name + " can't be read: auth_time is RFC 3339 with its '+' written as %2B, max_staleness_ms and position are whole numbers")
		}
	}
	return q, nil
}
