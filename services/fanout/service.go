package fanout

import (
	"context"
	"errors"
	"hash/maphash"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/sirupsen/logrus"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/gateways"
	"github.com/curfewhq/curfew/internal/telemetry"
	"github.com/curfewhq/curfew/revocation"
)

// Config of the service. Fields without a note are required.
type Config struct {
	Replica Replica
	Keys    *access.Store
	// UsedTickets is the bucket that all gateways share; its entries must live longer than TicketLifetime.
	UsedTickets jetstream.KeyValue
	// UsedSince tells since when UsedTickets holds every id that it was given, and still would: a ticket that was issued before may have been used, without a trace.
	// nil means that it always has.
	UsedSince func(context.Context) (time.Time, error)
	// TicketKey signs tickets; all gateways share it.
	TicketKey []byte
	// AllowedOrigins are compared whole: scheme, host and port. A request with another Origin is refused; one without any, as a program sends it,
	// is not, for its ticket is what it has to show.
	AllowedOrigins []string
	// EventAt reads the event at a position of the ledger, to tell a session that comes back what ended it; nil leaves the notice without its
	// message and its id.
	EventAt func(ctx context.Context, position uint64) (events.Event, error)
	// Heartbeat is how often an idle conn is pinged, a tenth sooner or later; after 2.5 times as long without a frame it is given up. Zero means 45 s: proxies
	// usually cut what has been idle for a minute.
	Heartbeat time.Duration
	// HelloTimeout is tab.HelloTimeout if zero.
	HelloTimeout time.Duration
	// MaxConns bounds tabs, which are conns that have said hello with a good ticket. Zero means 19,000.
	MaxConns int
	// MaxHandshakes bounds conns from before their upgrade to the end of hello, and as many again that haven't said yet what they are for (Front). They have places of their own:
	// however many wait, no tab loses its place to them, and there are at most MaxConns+3*MaxHandshakes sockets, beside those of other callers. Zero means a tenth of
	// MaxConns, but at least 16 and at most 450, and never more than MaxConns.
	MaxHandshakes int
	// MaxHandshakesPerIP bounds those of one remote IPv4 address or IPv6 /64 network, so that one peer can't take them all. Zero means half of
	// MaxHandshakes, negative no such bound. The address is the socket's, for headers can be forged: behind a proxy all conns share one, and then
	// this is what bounds them all. Set it negative there, and let the proxy bound conns per address.
	MaxHandshakesPerIP int
	// MaxConnsPerUser bounds the tabs of one user, who could take all places with one account. Zero means 256, negative no
	// such bound.
	MaxConnsPerUser int
	// Session tells who a tab is by its request alone, by a session cookie or a token, for deployments where browsers send those to the gateway; nil takes tickets
	// only. Its errors are those of package revocationhttp.
	Session func(*http.Request) (revocation.Session, error)
	// MaxConnAge is how long a conn stays open at most, and a tenth less at least. Then its tab is asked to come back, with 1012. Zero means a day, negative no end.
	MaxConnAge time.Duration
	// DrainWindow is over how long Drain spreads the closing, and tabs their coming back. Zero means 2 s, negative at once.
	DrainWindow time.Duration
	Metrics     *telemetry.Metrics
	Log         logrus.FieldLogger
	// Gateway tells others who comes and goes, and what tabs acknowledge; nil tells nobody. A [*gateways.Gateway] is one.
	Gateway Gateway
	// Fleet is asked for a user's tabs at all gateways; nil leaves that call out. A [*gateways.Fleet] is one.
	Fleet Fleet
	// LoginRate is how many tabs a second are sent to the sign-in page at most, where one event ends many. Zero means 500, negative sends all at once.
	LoginRate int
	// OnShown is told of each event whose notice a tab has acknowledged; it may be nil and must not block.
	OnShown func(event string, outcome tab.Outcome)
}

// Gateway is this gateway among others. Its methods are called from many goroutines at once, and mustn't block. Tenants are never empty.
type Gateway interface {
	// Up says that a conn of the user is ready, and Down that one that was is gone.
	Up(tenant, user string)
	Down(tenant, user string)
	// Acked tells what a tab has done with the notice of an event.
	Acked(gateways.Ack)
	// PassOn tells all gateways of an acknowledgement for a stream that isn't held here.
	PassOn(gateways.PassedAck) error
}

// Fleet is all gateways. It is asked by many goroutines at once.
type Fleet interface {
	// Tabs returns what gateways have told of a user's tabs until ctx ends. Who hasn't answered is no error.
	Tabs(ctx context.Context, tenant, user string) (gateways.Answer, error)
}

// Replica is what the gateway asks; a [*revocation.Replica] is one.
type Replica interface {
	Check(revocation.Session) revocation.Decision
	WaitFor(ctx context.Context, position uint64) error
	OnApplied(func(revocation.Applied)) (stop func())
	MaxAge() time.Duration
	Status() revocation.Status
}

var _ Replica = (*revocation.Replica)(nil)

// Service is the gateway. Make it with New, run it with Run, and drain it before it ends.
type Service struct {
	cfg     Config
	tickets tickets
	hub     revocation.Live[*conn]
	// recent is what has happened lately, for tabs that were away meanwhile.
	recent *recent
	// shown is what became of the notices of the latest events.
	shown *shownNotices
	// began is where clock begins.
	began time.Time
	// ctx ends when Run does, and so does watching the replica.
	ctx     context.Context
	stop    context.CancelFunc
	unwatch func()
	masses  masses
	wheel   *wheel
	// handshakes holds buffers that a handshake needs for a moment, and crew does them.
	handshakes *sync.Pool
	crew       crew
	poller     poller
	// lingering counts refused handshakes whose peers are given a moment to read why.
	lingering atomic.Int64
	// entering is held by who is put into the hub.
	entering sync.Mutex
	// seed is that of peerKeys.
	seed maphash.Seed
	// process is a number that no other process has, probably; it makes the names of streams unique.
	process uint64
	// latest is the latest conn's number.
	latest atomic.Uint64
	// work counts places; it grows only while draining is false.
	work sync.WaitGroup

	mu sync.Mutex
	// conns holds every conn that has been upgraded, also before hello, when the hub doesn't know it.
	conns map[*conn]struct{}
	// tabs counts conns that have a seat; waiting counts those before, and upgrades under way, and waitingFrom the same by peer.
	tabs, waiting int
	waitingFrom   map[peerKey]int
	draining      bool
	// streams: number → the conn of server-sent events that bears it.
	streams map[uint64]*conn
}

// New returns a service, which takes conns and tells them of events from now on. It reports every missing part at once.
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
		cfg.Heartbeat = 45 * time.Second
	}
	if cfg.HelloTimeout <= 0 {
		cfg.HelloTimeout = tab.HelloTimeout
	}
	if cfg.MaxConns <= 0 {
		cfg.MaxConns = 19_000
	}
	if cfg.MaxHandshakes <= 0 {
		cfg.MaxHandshakes = min(max(cfg.MaxConns/10, 16), 450, cfg.MaxConns)
	}
	if cfg.MaxHandshakesPerIP == 0 {
		cfg.MaxHandshakesPerIP = max(cfg.MaxHandshakes/2, 1)
	}
	if cfg.MaxConnsPerUser == 0 {
		cfg.MaxConnsPerUser = 256
	}
	if cfg.MaxConnAge == 0 {
		cfg.MaxConnAge = 24 * time.Hour
	}
	if cfg.DrainWindow == 0 {
		cfg.DrainWindow = 2 * time.Second
	}
	cfg.DrainWindow = max(cfg.DrainWindow, 0)
	if cfg.LoginRate == 0 {
		cfg.LoginRate = 500
	}
	cfg.AllowedOrigins = slices.Clone(cfg.AllowedOrigins)
	s := &Service{
		cfg: cfg, tickets: newTickets(slices.Clone(cfg.TicketKey), cfg.UsedTickets, cfg.UsedSince), recent: newRecent(maxRecent), shown: newShownNotices(maxShown), began: time.Now(),
		conns: map[*conn]struct{}{}, waitingFrom: map[peerKey]int{}, masses: newMasses(), streams: map[uint64]*conn{}, process: rand.Uint64(), seed: maphash.MakeSeed(), handshakes: newHandshakes(),
		wheel: newWheel(cfg.Heartbeat.Milliseconds() * 11 / 10),
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.crew = newCrew(s.ctx)
	// Not in Run: a conn may come before Run has begun, and its session be revoked.
	s.unwatch = cfg.Replica.OnApplied(s.applied)
	s.shown.start(cfg.Replica.Status().Position)
	return s, nil
}

// Run keeps conns alive until ctx ends; then it closes what is still open and waits for it. It is called once.
func (s *Service) Run(ctx context.Context) error {
	defer s.unwatch()
	var telling sync.WaitGroup
	telling.Go(func() { s.tellMasses(ctx) })
	telling.Go(func() { s.audit(ctx) })
	telling.Go(func() { s.settleDown(ctx) })
	defer telling.Wait()
	s.heartbeat(ctx)
	for _, c := range s.seal() {
		c.drain(s.comeBack())
	}
	s.stop()
	s.work.Wait()
	s.crew.wait()
	s.poller.close()
	return nil
}

// notice is an encoded logout notice and its id, which the tab acknowledges.
type notice struct {
	id      string
	message *message
}

const (
	// noticeMaxAge is the id of the notice that a session has reached max age, or the absolute end that its ticket tells, which no event does.
	noticeMaxAge = "max_age"
	// noticeNoEvent is the id of a notice whose event isn't at hand.
	noticeNoEvent = "unknown"
)

// logoutBy returns what tells of an event.
func logoutBy(e events.Event) tab.Logout {
	c := e.Meta()
	return tab.Logout{ID: c.ID, Scope: string(e.Kind()), Reason: string(c.Reason), Message: c.ReasonUser, At: instant(c.Time)}
}

// logoutOf returns what tells of a decision alone: of max age, or of an event that isn't at hand, about which it tells no more than the decision.
func (s *Service) logoutOf(session revocation.Session, d revocation.Decision) tab.Logout {
	if d.Scope == revocation.ScopeMaxAge {
		return logoutByAge(session.AuthTime.Add(s.cfg.Replica.MaxAge()))
	}
	return tab.Logout{ID: noticeNoEvent, Scope: string(d.Scope), Reason: string(d.Reason), At: instant(time.Now())}
}

// logoutByAge returns what tells that a session has reached max age, or its absolute end. To the tab it is its own session that is over.
func logoutByAge(at time.Time) tab.Logout {
	return tab.Logout{ID: noticeMaxAge, Scope: string(revocation.ScopeSession), Reason: string(events.ReasonMaxAge), At: instant(at)}
}

func instant(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// encode returns a notice without a message if it can't be encoded.
func encode(l tab.Logout) notice {
	frame, err := tab.EncodeLogout(l)
	if err != nil {
		return notice{id: l.ID}
	}
	return notice{id: l.ID, message: newMessage(frame, 0)}
}

// newChanged returns a sessions_changed, which holds nothing that couldn't be encoded.
func newChanged(position uint64) *message {
	frame, _ := tab.EncodeSessionsChanged(tab.SessionsChanged{Position: position})
	return newMessage(frame, position)
}

// show queues the notice, writes it if the conn takes it at once, and reports whether it is the conn's first.
func (s *Service) show(c *conn, n notice) (first bool) {
	c.here(func() { first = s.tell(c, n) })
	return first
}

// tell queues the notice, and reports whether it is the conn's first.
func (s *Service) tell(c *conn, n notice) bool {
	if n.message == nil {
		c.end(tab.CloseSignedOut, "signed out")
		return true
	}
	if !c.signOut(n.id, n.message) {
		return false
	}
	s.shown.told(n.id)
	s.cfg.Metrics.Notices.WithLabelValues(string(tab.TypeLogout)).Inc()
	return true
}

// logoutAt returns what tells of the end of a session earlier, with what its event says if that can be read.
func (s *Service) logoutAt(ctx context.Context, session revocation.Session, d revocation.Decision) tab.Logout {
	if s.cfg.EventAt == nil || d.EventPosition == 0 {
		return s.logoutOf(session, d)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	e, err := s.cfg.EventAt(ctx, d.EventPosition)
	// After the stream was put back another event may lie there, which may be another person's. And browsers aren't told of replays.
	if err != nil || !d.NamedBy(e, session) || e.Meta().Replay != "" {
		return s.logoutOf(session, d)
	}
	return logoutBy(e)
}

// redeem returns a ticket, and uses it up.
func (s *Service) redeem(text, origin string) (ticket, error) {
	ctx, cancel := context.WithTimeout(s.ctx, 2*time.Second)
	defer cancel()
	t, err := s.tickets.redeem(ctx, text, origin)
	if err != nil {
		s.cfg.Metrics.Tickets.WithLabelValues(ticketResult(err)).Inc()
		log := s.cfg.Log.WithError(err)
		if errors.Is(err, errTicketUnknown) {
			log.Warn("used tickets can't be looked up: is NATS up?")
			return ticket{}, err
		}
		// The metric counts; a line for each would let anybody fill the disk.
		log.Debug("ticket refused")
		return ticket{}, err
	}
	s.cfg.Metrics.Tickets.WithLabelValues("used").Inc()
	return t, nil
}

func (s *Service) acked(c *conn, a tab.Ack) {
	s.shown.acked(a.ID, a.Outcome)
	s.cfg.Metrics.Acks.WithLabelValues(string(a.Outcome)).Inc()
	if a.ID == noticeMaxAge || a.ID == noticeNoEvent {
		return
	}
	if s.cfg.Gateway != nil {
		s.cfg.Gateway.Acked(gateways.Ack{Tenant: tenantOf(c.entry.Session), Event: a.ID, Outcome: a.Outcome, At: time.Now(), Conn: c.number})
	}
	if s.cfg.OnShown != nil {
		s.cfg.OnShown(a.ID, a.Outcome)
	}
}

// Shown tells what became of the notice of an event that lies at a position of the ledger.
func (s *Service) Shown(event string, position uint64) gateways.Shown {
	return s.shown.of(event, position, s.masses.busy)
}

// Tabs returns the open tabs of a user at this gateway, oldest first: those that are ready, about to be, or about to be closed.
func (s *Service) Tabs(tenant, user string) []gateways.Tab {
	tabs := []gateways.Tab{}
	for _, e := range s.hub.User(tenant, user) {
		tabs = append(tabs, gateways.Tab{
			Session: e.Session.ID, Device: e.Session.Device, Since: time.UnixMilli(e.Value.opened).UTC(), Transport: gateways.Transport(e.Value.wire.transport()),
		})
	}
	slices.SortFunc(tabs, func(a, b gateways.Tab) int { return a.Since.Compare(b.Since) })
	return tabs
}
