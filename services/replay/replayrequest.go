package replay

import (
	"strconv"
	"time"

	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/services/replay/target"
)

// Filter says which events a replay sends: the history's parameters, but for those of pages. What is nil isn't given; what is given and empty is refused, for to ignore
// it would send more than was meant.
type Filter struct {
	Tenant      *string `json:"tenant,omitempty"`
	User        *string `json:"user,omitempty"`
	Session     *string `json:"session,omitempty"`
	Device      *string `json:"device,omitempty"`
	Client      *string `json:"client,omitempty"`
	Scope       *string `json:"scope,omitempty"`
	Reason      *string `json:"reason,omitempty"`
	Initiator   *string `json:"initiator,omitempty"`
	InitiatorID *string `json:"initiator_id,omitempty"`
	Since       *string `json:"since,omitempty"`
	Until       *string `json:"until,omitempty"`
	After       *uint64 `json:"after,omitempty"`
	Before      *uint64 `json:"before,omitempty"`
}

// Whose is the tenant; empty where it isn't given.
func (f Filter) Whose() string {
	if f.Tenant == nil {
		return ""
	}
	return *f.Tenant
}

// parameters are the filter's members that are given, as the history takes them.
func (f Filter) parameters() (given [][2]string) {
	for _, p := range []struct {
		name  string
		value *string
	}{
		{"tenant", f.Tenant}, {"user", f.User}, {"session", f.Session}, {"device", f.Device}, {"client", f.Client}, {"scope", f.Scope}, {"reason", f.Reason},
		{"initiator", f.Initiator}, {"initiator_id", f.InitiatorID}, {"since", f.Since}, {"until", f.Until},
	} {
		if p.value != nil {
			given = append(given, [2]string{p.name, *p.value})
		}
	}
	if f.After != nil {
		given = append(given, [2]string{"after", strconv.FormatUint(*f.After, 10)})
	}
	if f.Before != nil {
		given = append(given, [2]string{"before", strconv.FormatUint(*f.Before, 10)})
	}
	return given
}

// read returns the filter as the history uses it, and itself with its times fixed: what was asked for two hours ago is the same when a replay goes on tomorrow.
func (f Filter) read(key access.Key) (*filter, Filter, *problem.Fault) {
	out := &filter{tenant: key.Tenant}
	for _, p := range f.parameters() {
		if remedy := out.set(key, p[0], p[1], false); remedy != "" {
			return nil, f, &problem.Fault{Field: "filter." + p[0], Detail: remedy}
		}
	}
	out.span.Topics = []string{out.topics()}
	f.Tenant = &out.tenant
	if f.Since != nil {
		f.Since = fixed(out.span.Since)
	}
	if f.Until != nil {
		f.Until = fixed(out.span.Until)
	}
	return out, f, nil
}

// fixed is a time as the filter takes it, with all that is known of it.
func fixed(t time.Time) *string {
	text := t.UTC().Format(time.RFC3339Nano)
	return &text
}

// maxRate is more than one process sends anywhere.
const maxRate = 1_000_000

// ReplayRequest asks for a plan, or, with Execute, for a replay.
type ReplayRequest struct {
	Filter Filter      `json:"filter"`
	Target target.Spec `json:"target"`
	// Rate is how many events are sent in a second at most. Zero means the target's default.
	Rate int `json:"rate"`
	// NotifyTabs is asked for beside the target tabs, so that nobody is told by mistake.
	NotifyTabs bool `json:"notify_tabs"`
	// Execute is what makes it happen.
	Execute bool `json:"execute"`
}

// read returns the filter, or the first thing that is wrong. It fills in what was left out, and fixes times.
func (q *ReplayRequest) read(key access.Key, targets *target.Set) (*filter, *problem.Fault) {
	f, given, fault := q.Filter.read(key)
	if fault != nil {
		return nil, fault
	}
	if fault := targets.Fault(q.Target); fault != nil {
		return nil, fault
	}
	switch tabs := q.Target.Kind == target.KindTabs; {
	case tabs && !q.NotifyTabs:
		return nil, &problem.Fault{Field: "notify_tabs", Detail: "must be true for the target tabs (--notify-tabs): people see it"}
	case !tabs && q.NotifyTabs:
		return nil, &problem.Fault{Field: "notify_tabs", Detail: "is for the target tabs: leave it out, or name that target"}
	case q.Target.Kind == target.KindReplicas && len(q.Filter.parameters()) > 0:
		return nil, &problem.Fault{Field: "filter", Detail: "must be left out for the target replicas: they read the whole ledger"}
	case q.Rate < 0 || q.Rate > maxRate:
		return nil, &problem.Fault{Field: "rate", Detail: "must be 1 to 1000000 events a second, or left out"}
	}
	if q.Rate == 0 {
		q.Rate = target.DefaultRate(q.Target.Kind)
	}
	q.Filter = given
	if q.Target.Kind == target.KindReplicas {
		f.tenant = everyTenant // which the filter tells too
		f.span.Topics = []string{f.topics()}
	}
	return f, nil
}
