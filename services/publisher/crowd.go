package publisher

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/gateways"
)

const (
	// crowdTimeout is how long a preview waits for the registry and the gateways.
	crowdTimeout = 2 * time.Second
	// recently is how long ago somebody who is about to sign in again was seen at most.
	recently = 15 * time.Minute
	// maxClients and shownClients are of how many applications sessions are counted apart, and how many of them are shown.
	maxClients   = 10_000
	shownClients = 20
)

// Crowd tells whom an event would end, if it came now. It stores nothing.
type Crowd interface {
	// Sessions calls each with the sessions that go on, as far as the registry knows, and that the event would end. While others come and go one may come twice. more is whether not all were looked at.
	Sessions(ctx context.Context, e events.Event, each func(Seen)) (more bool, err error)
	// Tabs asks all gateways.
	Tabs(ctx context.Context, e events.Event) (gateways.CrowdAnswer, error)
}

// Seen is a session as it is counted. Client may be empty.
type Seen struct {
	User, Client string
	SeenAt       time.Time
}

// Known says how far a number can be relied on.
type Known string

// How far a number can be relied on.
const (
	KnownAll     Known = "all"
	KnownAtLeast Known = "at_least"
	KnownNothing Known = "unknown"
)

// CrowdSessions is what the registry knows of the sessions that would end.
type CrowdSessions struct {
	// Known is unknown where the registry can't be reached; the numbers are 0 then. Sessions that were never registered aren't among them.
	Known Known `json:"known"`
	Count int   `json:"count"`
	Users int   `json:"users"`
	// Recent are those that were seen within the last 15 minutes.
	Recent int `json:"recent"`
	// Clients are those with the most sessions, at most 20; the one without a name stands for sessions without a client. Others are the sessions of all that aren't listed.
	Clients []ClientSessions `json:"clients"`
	Others  int              `json:"others"`

	recentUsers int
}

// ClientSessions is how many sessions of one application would end.
type ClientSessions struct {
	Client   string `json:"client"`
	Sessions int    `json:"sessions"`
}

// CrowdTabs is what gateways have said of the open tabs that would be signed out.
type CrowdTabs struct {
	// Known is at_least where a gateway hasn't answered, and unknown where none could be asked.
	Known Known `json:"known"`
	Count int   `json:"count"`
	// Users are counted at each gateway: who has tabs at two counts twice.
	Users    int           `json:"users"`
	Gateways []GatewayTabs `json:"gateways"`
	// Missing are the names of gateways that haven't answered.
	Missing []string `json:"missing,omitempty"`
}

// GatewayTabs is how many tabs there are at one gateway.
type GatewayTabs struct {
	Name string `json:"name"`
	Tabs int    `json:"tabs"`
}

// Logins is how many people are expected to sign in again.
type Logins struct {
	// PerSecond is the highest rate: everybody who has a tab open, over the time that gateways spread them, and who else was seen within 15 minutes, over as long.
	PerSecond float64 `json:"per_second"`
	// WindowSeconds is over how long people with an open tab are spread, at most 300; 0 where they go at once, which is taken for within a second.
	WindowSeconds float64 `json:"window_seconds"`
}

// crowd is all that is known of whom an event would end.
type crowd struct {
	sessions CrowdSessions
	tabs     CrowdTabs
	logins   Logins
}

// size is how many sessions would end as far as anybody knows; sure is whether that is all.
func (c crowd) size() (n int, sure bool) {
	return max(c.sessions.Count, c.tabs.Users), c.sessions.Known == KnownAll && c.tabs.Known == KnownAll
}

// crowdOf counts. Only one event is counted at a time: counting holds up whoever writes to the registry.
func (s *Service) crowdOf(ctx context.Context, e events.Event) crowd {
	ctx, cancel := context.WithTimeout(ctx, crowdTimeout)
	defer cancel()
	c := crowd{sessions: CrowdSessions{Known: KnownNothing, Clients: []ClientSessions{}}, tabs: CrowdTabs{Known: KnownNothing, Gateways: []GatewayTabs{}}}
	var answer gateways.CrowdAnswer
	var work sync.WaitGroup
	work.Go(func() {
		var err error
		if answer, err = s.cfg.Crowd.Tabs(ctx, e); err != nil {
			s.cfg.Log.WithError(err).Warn("gateways can't be asked how many tabs a revocation would end")
			return
		}
		c.tabs = tabsOf(answer)
	})
	work.Go(func() {
		select {
		case s.counting <- struct{}{}:
			defer func() { <-s.counting }()
		case <-ctx.Done():
			return
		}
		t := newTally(time.Now())
		more, err := s.cfg.Crowd.Sessions(ctx, e, t.add)
		if err != nil {
			s.cfg.Metrics.RegistryMissed.Inc()
			s.cfg.Log.WithError(err).Warn("the registry can't be asked how many sessions a revocation would end")
			return
		}
		c.sessions = t.sessions(more)
	})
	work.Wait()
	c.logins = loginsOf(answer, c.sessions.recentUsers)
	return c
}

func tabsOf(a gateways.CrowdAnswer) CrowdTabs {
	t := CrowdTabs{Known: KnownAll, Gateways: []GatewayTabs{}}
	for _, g := range a.Gateways {
		t.Count += g.Tabs
		t.Users += g.Users
		t.Gateways = append(t.Gateways, GatewayTabs{Name: g.Name, Tabs: g.Tabs})
	}
	for _, m := range a.Missing {
		t.Missing = append(t.Missing, m.Name)
	}
	if !a.Complete() {
		t.Known = KnownAtLeast
	}
	return t
}

// loginsOf takes each gateway's people over its window, and who was seen and has no tab over the time within which they were seen.
func loginsOf(a gateways.CrowdAnswer, recentUsers int) Logins {
	var l Logins
	there := 0
	for _, g := range a.Gateways {
		window := float64(g.LoginWindowMS) / 1000
		l.PerSecond += float64(g.Users) / max(window, 1)
		l.WindowSeconds = max(l.WindowSeconds, window)
		there += g.Users
	}
	l.PerSecond += float64(max(recentUsers-there, 0)) / recently.Seconds()
	return l
}

// tally counts sessions. It isn't safe for concurrent use.
type tally struct {
	now     time.Time
	n       int
	recent  int
	users   map[string]bool // user → whether the user was seen recently
	clients map[string]int
	others  int
}

func newTally(now time.Time) *tally {
	return &tally{now: now, users: map[string]bool{}, clients: map[string]int{}}
}

func (t *tally) add(s Seen) {
	recent := t.now.Sub(s.SeenAt) < recently
	t.n++
	if recent {
		t.recent++
	}
	t.users[s.User] = t.users[s.User] || recent
	if _, known := t.clients[s.Client]; known || len(t.clients) < maxClients {
		t.clients[s.Client]++
		return
	}
	t.others++
}

func (t *tally) sessions(more bool) CrowdSessions {
	out := CrowdSessions{Known: KnownAll, Count: t.n, Users: len(t.users), Recent: t.recent, Clients: []ClientSessions{}, Others: t.others}
	if more {
		out.Known = KnownAtLeast
	}
	for _, recent := range t.users {
		if recent {
			out.recentUsers++
		}
	}
	for client, n := range t.clients {
		out.Clients = append(out.Clients, ClientSessions{Client: client, Sessions: n})
	}
	slices.SortFunc(out.Clients, func(a, b ClientSessions) int {
		if a.Sessions != b.Sessions {
			return b.Sessions - a.Sessions
		}
		return strings.Compare(a.Client, b.Client)
	})
	for _, c := range out.Clients[min(shownClients, len(out.Clients)):] {
		out.Others += c.Sessions
	}
	out.Clients = out.Clients[:min(shownClients, len(out.Clients))]
	return out
}
