package fanout

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/sirupsen/logrus"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/telemetry"
	"github.com/curfewhq/curfew/revocation"
)

// Config of the service. Fields without a note are required.
type Config struct {
	Replica *revocation.Replica
	Keys    *access.Store
	// UsedTickets is the bucket that all gateways share; its entries must live longer than TicketLifetime.
	UsedTickets jetstream.KeyValue
	// TicketKey signs tickets; all gateways share it.
	TicketKey []byte
	// AllowedOrigins are compared whole: scheme, host and port. A request with another Origin is refused; one without any, as a program sends it,
	// is not, for its ticket is what it has to show.
	AllowedOrigins []string
	// EventAt reads the event that ended a session that comes back; nil leaves the notice without its message.
	EventAt func(ctx context.Context, position uint64) (events.Event, error)
	// Heartbeat is how often an idle conn is pinged; after 2.5 times as long without a frame it is given up. Zero means 25 s.
	Heartbeat time.Duration
	// HelloTimeout is tab.HelloTimeout if zero.
	HelloTimeout time.Duration
	// MaxConns bounds open conns. Zero means 19,000.
	MaxConns int
	// DrainWindow is over how long Drain spreads the closing. Zero means 2 s.
	DrainWindow time.Duration
	Metrics     *telemetry.Metrics
	Hasher      telemetry.Hasher
	Log         logrus.FieldLogger
	// OnShown is told of each acknowledged notice; it may be nil and must not block.
	OnShown func(event string, outcome tab.Outcome)
}

// Service is the gateway. Make it with New, run it with Run, and drain it before it ends.
type Service struct {
	cfg     Config
	tickets tickets
	hub     revocation.Live[*conn]
	// open counts conns from the upgrade on.
	open     atomic.Int64
	draining atomic.Bool
	// work counts the goroutines of all conns.
	work sync.WaitGroup
	// ctx ends when Run does.
	ctx  context.Context
	stop context.CancelFunc
}

// New returns a service. It reports every missing part at once.
func New(cfg Config) (*Service, error) {
	var errs []error
	missing := func(absent bool, name string) {
		if absent {
			errs = append(errs, errors.New("fanout config: "+name+" is required"))
		}
	}
	missing(cfg.Replica == nil, "Replica")
	missing(cfg.Keys == nil, "Keys")
	missing(cfg.UsedTickets == nil, "UsedTickets")
	missing(len(cfg.TicketKey) < 32, "TicketKey of 32 bytes")
	missing(cfg.Metrics == nil, "Metrics")
	missing(cfg.Log == nil, "Log")
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if cfg.Heartbeat <= 0 {
		cfg.Heartbeat = 25 * time.Second
	}
	if cfg.HelloTimeout <= 0 {
		cfg.HelloTimeout = tab.HelloTimeout
	}
	if cfg.MaxConns <= 0 {
		cfg.MaxConns = 19_000
	}
	if cfg.DrainWindow <= 0 {
		cfg.DrainWindow = 2 * time.Second
	}
	cfg.AllowedOrigins = slices.Clone(cfg.AllowedOrigins)
	s := &Service{cfg: cfg, tickets: tickets{key: cfg.TicketKey, used: cfg.UsedTickets}}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s, nil
}

// Run tells tabs of events and keeps conns alive until ctx ends; then it closes what is still open and waits for it.
func (s *Service) Run(ctx context.Context) error {
	unwatch := s.cfg.Replica.Watch(s.applied)
	defer unwatch()
	s.heartbeat(ctx)
	s.draining.Store(true)
	for _, e := range s.hub.All() {
		e.Value.end(tab.CloseDrain, tab.DrainReason(time.Second))
	}
	s.stop()
	s.work.Wait()
	return nil
}

// applied tells the conns that an event ends, and the user's other tabs that something changed. It runs in the replica's goroutine, after the
// event has been applied, and only queues.
func (s *Service) applied(a revocation.Applied) {
	if a.Event.Meta().Replay != "" {
		// Browsers aren't told of replays: the person was told when it happened.
		return
	}
	for _, e := range s.hub.Affected(a.Event) {
		if d := s.cfg.Replica.Check(e.Session); d.State == revocation.Revoked {
			message := ""
			if d.Event == a.Event.Meta().ID {
				message = a.Event.Meta().ReasonUser
			}
			s.signOut(e.Value, d, message)
		}
	}
	if user := a.Event.UserID(); user != "" {
		s.changed(a.Event.Meta().Tenant, user)
	}
}

// changed tells the user's remaining tabs. Conns that are closing take no more frames.
func (s *Service) changed(tenant, user string) {
	entries := s.hub.User(tenant, user)
	if len(entries) == 0 {
		return
	}
	frame, err := tab.EncodeSessionsChanged()
	if err != nil {
		return
	}
	shared := text(frame)
	for _, e := range entries {
		e.Value.send(shared)
		s.cfg.Metrics.Notices.WithLabelValues(string(tab.TypeSessionsChanged)).Inc()
	}
}

// signOut tells a conn that its session is over.
func (s *Service) signOut(c *conn, d revocation.Decision, message string) {
	id := d.Event
	if id == "" {
		id = string(d.Scope)
	}
	frame, err := tab.EncodeLogout(tab.Logout{
		ID: id, Scope: string(d.Scope), Reason: string(d.Reason), Message: message, At: d.At.UTC().Format("2006-01-02T15:04:05.000Z"),
	})
	if err != nil {
		c.end(tab.CloseSignedOut, "signed out")
		return
	}
	if c.signOut(id, text(frame)) {
		s.cfg.Metrics.Notices.WithLabelValues(string(tab.TypeLogout)).Inc()
	}
}

// messageOf returns what the person may be told about a session that ended earlier.
func (s *Service) messageOf(ctx context.Context, d revocation.Decision) string {
	if s.cfg.EventAt == nil || d.EventPosition == 0 {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	e, err := s.cfg.EventAt(ctx, d.EventPosition)
	if err != nil || e.Meta().ID != d.Event {
		return ""
	}
	return e.Meta().ReasonUser
}

func (s *Service) redeem(ctx context.Context, text, origin string) (ticket, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	t, err := s.tickets.redeem(ctx, text, origin)
	if err != nil {
		s.cfg.Metrics.Tickets.WithLabelValues("refused").Inc()
		s.cfg.Log.WithError(err).Info("ticket refused")
		return t, err
	}
	s.cfg.Metrics.Tickets.WithLabelValues("used").Inc()
	return t, nil
}

func (s *Service) acked(a tab.Ack) {
	s.cfg.Metrics.Acks.WithLabelValues(string(a.Outcome)).Inc()
	if s.cfg.OnShown != nil {
		s.cfg.OnShown(a.ID, a.Outcome)
	}
}

func (s *Service) left(_ *conn, code tab.CloseCode) {
	s.open.Add(-1)
	s.cfg.Metrics.Conns.Dec()
	s.cfg.Metrics.ConnsClosed.WithLabelValues(codeLabel(code)).Inc()
}

// Tab is one open conn, as its user may see it.
type Tab struct {
	Session string    `json:"session"`
	Device  string    `json:"device,omitempty"`
	Since   time.Time `json:"since"`
}

// Tabs returns the open tabs of a user at this gateway, oldest first.
func (s *Service) Tabs(tenant, user string) []Tab {
	tabs := []Tab{}
	for _, e := range s.hub.User(tenant, user) {
		tabs = append(tabs, Tab{Session: e.Session.ID, Device: e.Session.Device, Since: e.Value.opened.UTC()})
	}
	slices.SortFunc(tabs, func(a, b Tab) int { return a.Since.Compare(b.Since) })
	return tabs
}

// Open returns the number of open conns.
func (s *Service) Open() int { return int(s.open.Load()) }
