package replay

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/ledger"
	"github.com/curfewhq/curfew/services/replay/target"
)

// Plan is what a replay would do. Nothing has been done.
type Plan struct {
	// DryRun is true: it tells a plan from a replay.
	DryRun bool        `json:"dry_run"`
	Filter Filter      `json:"filter"`
	Target target.Spec `json:"target"`
	Rate   int         `json:"rate"`
	// Events is how many would be sent; Replayed of them are copies that were replayed into the ledger, and Unreadable is how many messages hold no event that this version knows, and aren't sent.
	Events     uint64 `json:"events"`
	Replayed   uint64 `json:"replayed"`
	Unreadable uint64 `json:"unreadable"`
	// Users and Sessions are how many different ones the events name; Estimated says that one of them is above 32,768 and within about a percent.
	Users     uint64 `json:"users"`
	Sessions  uint64 `json:"sessions"`
	Estimated bool   `json:"estimated"`
	// First and Last are the positions of the first and the last event; left out where there is none.
	First       uint64    `json:"first,omitempty"`
	Last        uint64    `json:"last,omitempty"`
	FirstStored time.Time `json:"first_stored,omitzero"`
	LastStored  time.Time `json:"last_stored,omitzero"`
	// OpenTabs is how many tabs the users have open. Without OpenTabsExact it is how many are open at all, because there are too many users to ask for each or an event concerns others too, or not every
	// gateway has answered; Notes say which.
	OpenTabs      int  `json:"open_tabs"`
	OpenTabsExact bool `json:"open_tabs_exact"`
	// ExpectedSeconds is how long it would take at the rate, if the target keeps up.
	ExpectedSeconds float64 `json:"expected_seconds"`
	// WebhookSecret is what a webhook's events are signed with.
	WebhookSecret string   `json:"webhook_secret,omitempty"`
	Notes         []string `json:"notes"`
}

const (
	// askedUsers is of how many users at most gateways are asked for tabs, and askFor for how long.
	askedUsers = 100
	askFor     = 5 * time.Second
	// readRate is about how many events a second are read of the ledger, which bounds how fast any are sent.
	readRate = 250_000
	// namedReplicas is how many of those that would read the ledger anew a plan names.
	namedReplicas = 10
)

// planning counts a range.
type planning struct {
	plan            Plan
	users, sessions *distinct
	// few are the users while there are few, of whom gateways are asked.
	few []account
	// others is whether an event names no user: whose tabs it concerns only gateways know.
	others bool
}

type account struct{ tenant, user string }

func newPlanning() *planning {
	return &planning{users: newDistinct(), sessions: newDistinct()}
}

func (p *planning) count(entry ledger.Entry) {
	e, v := entry.Event, &p.plan
	m := e.Meta()
	if v.Events++; v.Events == 1 {
		v.First, v.FirstStored = entry.Position, entry.Stored.UTC()
	}
	v.Last, v.LastStored = entry.Position, entry.Stored.UTC()
	if m.Replay != "" {
		v.Replayed++
	}
	user := e.UserID()
	p.others = p.others || user == ""
	if user != "" && p.users.add(m.Tenant, user) && len(p.few) <= askedUsers {
		p.few = append(p.few, account{m.Tenant, user})
	}
	switch e := e.(type) {
	case *events.SessionRevoked:
		p.sessions.add(m.Tenant, e.Session)
	case *events.UserLoggedOutEverywhere:
		for _, session := range e.KnownSessions {
			p.sessions.add(m.Tenant, session)
		}
	}
}

// makePlan reads the whole range, up to the head that the ledger has by then.
func (s *Service) makePlan(ctx context.Context, q *ReplayRequest, f *filter) (Plan, error) {
	p := newPlanning()
	v := &p.plan
	err := s.cfg.Ledger.Read(ctx, f.span, func(entry ledger.Entry) error {
		switch {
		case entry.Event == nil:
			v.Unreadable++
		case f.match(entry.Event):
			p.count(entry)
		}
		return nil
	}, nil)
	if err != nil {
		return Plan{}, err
	}
	v.DryRun, v.Filter, v.Target, v.Rate = true, q.Filter, q.Target, q.Rate
	v.Users, v.Sessions, v.Estimated = p.users.estimate(), p.sessions.estimate(), p.users.sketch != nil || p.sessions.sketch != nil
	v.ExpectedSeconds = float64(v.Events) / float64(min(q.Rate, readRate))
	v.Notes = s.cfg.Targets.Notes(ctx, q.Target, v.Events)
	if v.Unreadable > 0 {
		v.Notes = append(v.Notes, fmt.Sprintf("%d messages of the range hold no event that this version knows, and aren't sent.", v.Unreadable))
	}
	if q.Target.Kind == target.KindReplicas && s.cfg.Present != nil {
		v.Notes = append(v.Notes, s.whoReads(ctx, s.cfg.Targets.Group(q.Target)))
	}
	if q.Target.Kind == target.KindWebhook {
		v.WebhookSecret = s.cfg.Targets.Secret(q.Target.URL)
	}
	s.countTabs(ctx, p)
	return *v, nil
}

// whoReads says how many replicas there are that would read the ledger anew.
func (s *Service) whoReads(ctx context.Context, group string) string {
	members, err := s.cfg.Present(ctx)
	if err != nil {
		return "Which replicas there are isn't known: " + err.Error()
	}
	var names []string
	for _, m := range members {
		if m.Group == group && !m.Ended {
			names = append(names, m.Name)
		}
	}
	switch n := len(names); {
	case n == 0:
		return fmt.Sprintf("No replica of group %q reports itself: the replay would find nobody, and fail. 'curfew serve' names its own with --replica-group.", group)
	case n > namedReplicas:
		return fmt.Sprintf("%d replicas of group %q report themselves: %s, and %d more.", n, group, strings.Join(names[:namedReplicas], ", "), n-namedReplicas)
	default:
		return fmt.Sprintf("%d replicas of group %q report themselves: %s.", n, group, strings.Join(names, ", "))
	}
}

// countTabs asks gateways which tabs the users have open, or, if there are many users or one event is about more than users, how many tabs there are at all.
func (s *Service) countTabs(ctx context.Context, p *planning) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	v := &p.plan
	if p.users.estimate() > askedUsers || p.others {
		members, err := s.cfg.Fleet.Members(ctx)
		if err != nil {
			v.Notes = append(v.Notes, "How many tabs are open isn't known: the gateways' register can't be read.")
			return
		}
		v.Notes = append(v.Notes, "open_tabs is how many tabs are open at all: there are too many users to ask for each, or events that name none.")
		for _, m := range members {
			v.OpenTabs += m.Conns
		}
		return
	}
	v.OpenTabsExact = true
	for _, of := range p.few {
		answer, err := s.cfg.Fleet.Tabs(ctx, of.tenant, of.user)
		for _, g := range answer.Gateways {
			v.OpenTabs += len(g.Tabs)
		}
		if err != nil || !answer.Complete() {
			v.OpenTabsExact = false
			v.Notes = append(v.Notes, "Not every gateway has said which tabs are open: there may be more.")
			return
		}
	}
}
