package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/tabclient"
	"github.com/curfewhq/curfew/revocation"
)

const (
	// manyTabs are open at once, over two gateways; some sessions have two of them.
	manyTabs, tabSessions = 5_000, 3_000
	// tabEvents end some of them.
	tabEvents = 250
	// atOnceDialing keeps the test's own machine from being what is tested.
	atOnceDialing = 100
)

// tabs are thousands of them, and the gateways that they connect to.
type tabs struct {
	t      *testing.T
	ctx    context.Context
	key    string
	client *http.Client
	// streams is client without a bound on how long an answer takes.
	streams *http.Client
	model   *model
	all     []*openTab
	dialing chan struct{}

	mu sync.Mutex
	// gateways are the URLs of those that are there.
	gateways []string
}

// openTab is a tab that comes back whenever its conn ends, until its session is over.
type openTab struct {
	session revocation.Session
	// stream is whether it opens a stream of server-sent events instead of a WebSocket.
	stream bool
	// ready is whether it has heard ready on the conn that it has.
	ready atomic.Bool

	mu   sync.Mutex
	conn tabConn
	// told are the ids of the logout notices that it was sent, on whichever conn.
	told []string
	over bool
}

// tabConn is a conn of either transport.
type tabConn interface {
	Next(context.Context) (tab.Frame, error)
	Ack(id string, outcome tab.Outcome) error
	Close() error
}

// tabOrigin is that of the tabs' pages.
const tabOrigin = "https://app.example"

// TestTabs has thousands of tabs at two gateways, ends sessions in every way, breaks conns, and kills one gateway. Whatever happens, each tab whose session is over is
// told so once, by an event that ended it, and no other tab is.
func TestTabs(t *testing.T) {
	nats := newNode(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	first := serve(t, nats.url(), "--allowed-origins", tabOrigin)
	second := serve(t, nats.url(), "--allowed-origins", tabOrigin)
	transport := &http.Transport{MaxIdleConnsPerHost: atOnceDialing}
	s := &tabs{
		t: t, ctx: ctx, key: first.key, model: newModel(), dialing: make(chan struct{}, atOnceDialing), gateways: []string{first.api, second.api},
		client: &http.Client{Transport: transport, Timeout: patience}, streams: &http.Client{Transport: transport},
	}
	var running sync.WaitGroup
	defer running.Wait()
	defer s.client.CloseIdleConnections()
	defer cancel()
	for i := range manyTabs {
		o := &openTab{session: tabSession(i % tabSessions), stream: i%4 == 0}
		s.all = append(s.all, o)
		running.Go(func() { s.live(o) })
	}
	began := time.Now()
	s.settle("after opening")
	t.Logf("%d tabs were open after %v", manyTabs, time.Since(began))

	js := connect(t, nats.url())
	for i := range tabEvents {
		e := tabEvent()
		r := s.model.sent(e)
		s.model.acknowledged(r, storeAs(t, js, e, e.Meta().ID))
		s.breakConns(rand.N(10))
		switch i {
		case tabEvents / 3:
			s.setGateways(second.api)
			second, first = first, second
			second.kill()
		case tabEvents * 2 / 3:
			second = second.successor()
			s.setGateways(first.api, second.api)
		}
	}
	s.settle("after all events")
	s.judge()
}

func tabSession(i int) revocation.Session {
	return revocation.Session{
		Tenant: events.DefaultTenant, ID: fmt.Sprintf("s%d", i), User: fmt.Sprintf("u%d", i/3), Device: fmt.Sprintf("d%d", i), Client: fmt.Sprintf("c%d", i%40),
		AuthTime: time.UnixMilli(time.Now().Add(-time.Duration(1+i%60) * time.Minute).UnixMilli()),
	}
}

// tabEvent ends one session, those of a user but for one, of a device, or a few of a client or of the tenant.
func tabEvent() events.Event {
	s := tabSession(rand.N(tabSessions))
	c := events.Common{
		ID: uuid.Must(uuid.NewV7()).String(), Time: time.Now(), Source: "test", Tenant: s.Tenant,
		Reason: events.ReasonUserLogout, Initiator: events.Initiator{Type: events.InitiatorUser},
	}
	switch rand.N(8) {
	case 0:
		return &events.ClientLoggedOut{Common: c, Client: s.Client, Cutoff: time.Now().Add(-58 * time.Minute)}
	case 1, 2:
		return &events.DeviceLoggedOut{Common: c, Device: s.Device, Cutoff: time.Now()}
	case 3, 4:
		return &events.UserLoggedOutEverywhere{Common: c, User: s.User, Cutoff: time.Now(), Except: []string{s.ID}}
	case 5:
		return &events.UserLoggedOutEverywhere{Common: c, User: s.User, Cutoff: time.Now(), KnownSessions: []string{s.ID}}
	}
	if rand.N(16) == 0 {
		return &events.TenantLoggedOut{Common: c, Cutoff: time.Now().Add(-59*time.Minute - 30*time.Second)}
	}
	return &events.SessionRevoked{Common: c, Session: s.ID, User: s.User}
}

// live keeps a tab open.
func (s *tabs) live(o *openTab) {
	known := uint64(0)
	for s.ctx.Err() == nil && !o.isOver() {
		c, err := s.dial(o, known)
		if err != nil {
			pause(s.ctx, 20*time.Millisecond+rand.N(200*time.Millisecond))
			continue
		}
		o.setConn(c)
		known = max(known, s.listen(o, c))
		o.ready.Store(false)
		_ = c.Close()
	}
}

// listen reads a conn to its end, and returns the greatest position that it told.
func (s *tabs) listen(o *openTab, c tabConn) (known uint64) {
	for {
		f, err := c.Next(s.ctx)
		if err != nil {
			return known
		}
		known = max(known, f.Position)
		switch f.Type {
		case tab.TypeReady:
			o.ready.Store(true)
		case tab.TypeLogout:
			o.mu.Lock()
			o.told = append(o.told, f.ID)
			o.over = true
			o.mu.Unlock()
			_ = c.Ack(f.ID, tab.OutcomeSignedOut)
		}
	}
}

func (s *tabs) dial(o *openTab, known uint64) (tabConn, error) {
	select {
	case s.dialing <- struct{}{}:
		defer func() { <-s.dialing }()
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
	s.mu.Lock()
	gateway := s.gateways[rand.N(len(s.gateways))]
	s.mu.Unlock()
	ticket, err := s.ticket(gateway, o.session)
	if err != nil {
		return nil, err
	}
	if o.stream {
		heard := ""
		if known > 0 {
			heard = strconv.FormatUint(known, 10)
		}
		c, err := tabclient.DialStream(s.ctx, s.streams, gateway, tabOrigin, ticket, heard)
		if err != nil {
			return nil, err // and no interface over nothing
		}
		return c, nil
	}
	c, err := tabclient.DialWith(s.ctx, strings.Replace(gateway, "http", "ws", 1), http.Header{})
	if err != nil {
		return nil, err
	}
	hello, err := tab.EncodeHello(tab.Hello{Ticket: ticket, Position: known})
	if err == nil {
		err = c.Send(hello)
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

func (s *tabs) ticket(gateway string, session revocation.Session) (string, error) {
	body, err := json.Marshal(map[string]any{"user": session.User, "session": session.ID, "device": session.Device, "client": session.Client, "auth_time": session.AuthTime})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(s.ctx, http.MethodPost, gateway+"/v1/tickets", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+s.key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var answer struct{ Ticket string }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Ticket == "" {
		return "", errors.Join(err, errors.New(resp.Status))
	}
	return answer.Ticket, nil
}

// breakConns breaks n conns, half of them without an orderly end.
func (s *tabs) breakConns(n int) {
	for i := range n {
		o := s.all[rand.N(len(s.all))]
		o.mu.Lock()
		c := o.conn
		o.mu.Unlock()
		if c == nil {
			continue
		}
		if ws, ok := c.(*tabclient.Conn); ok && i%2 == 0 {
			if tcp, ok := ws.NetConn().(*net.TCPConn); ok {
				_ = tcp.SetLinger(0)
			}
		}
		_ = c.Close()
	}
}

func (s *tabs) setGateways(urls ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gateways = urls
}

// settle waits until each tab is where it belongs: told, or ready.
func (s *tabs) settle(when string) {
	s.t.Helper()
	for deadline := time.Now().Add(2 * patience); ; {
		var left []string
		for _, o := range s.all {
			if over, ended, ready := o.isOver(), s.ended(o.session), o.ready.Load(); over != ended || !over && !ready {
				left = append(left, fmt.Sprintf("%+v: over %t, told %t, ready %t", o.session, ended, over, ready))
			}
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s, %d tabs aren't where they belong, such as %s", when, len(left), left[:min(len(left), 5)])
		}
		pause(s.ctx, 50*time.Millisecond)
	}
}

func (s *tabs) ended(session revocation.Session) bool {
	return s.model.anyOf(session, func(*record) bool { return true })
}

// judge holds what each tab was told against the model.
func (s *tabs) judge() {
	over := 0
	for _, o := range s.all {
		o.mu.Lock()
		told := o.told
		o.mu.Unlock()
		if !s.ended(o.session) {
			if len(told) > 0 {
				s.t.Errorf("%s is alive, and its tab was told %v", o.session.ID, told)
			}
			continue
		}
		over++
		if len(told) != 1 {
			s.t.Errorf("%s: its tab was told %v, want one notice", o.session.ID, told)
			continue
		}
		if !s.model.anyOf(o.session, func(r *record) bool { return r.event.Meta().ID == told[0] }) {
			s.t.Errorf("%s: its tab was told of %s, which hasn't ended it", o.session.ID, told[0])
		}
	}
	if over < tabEvents || over > manyTabs/2 {
		s.t.Errorf("%d of %d tabs are over: the test shows little", over, manyTabs)
	}
	s.t.Logf("%d of %d tabs were told", over, manyTabs)
}

func (o *openTab) isOver() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.over
}

func (o *openTab) setConn(c tabConn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.conn = c
}

// pause lets some time go by.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
