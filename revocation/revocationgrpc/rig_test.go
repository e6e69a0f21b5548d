package revocationgrpc_test

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationgrpc"
	"github.com/curfewhq/curfew/revocation/revocationtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds waits that succeed in a moment unless something is broken.
const patience = 20 * time.Second

// The methods of the service of the tests, as a generated package would register them.
const (
	say    = "/test.Echo/Say"    // unary
	ticks  = "/test.Echo/Ticks"  // server-streaming
	upload = "/test.Echo/Upload" // client-streaming
	talk   = "/test.Echo/Talk"   // both
)

type (
	text   = wrapperspb.StringValue
	method struct {
		unary  func(ctx context.Context, in *text) (*text, error)
		stream func(ss grpc.ServerStream) error
	}
	// echo is how the service answers: method → handler.
	echo map[string]method
)

// usual answers every call with the session that it finds, and with what it was sent.
func usual() echo {
	each := func(ss grpc.ServerStream) error {
		for {
			var in text
			if err := ss.RecvMsg(&in); err != nil {
				return err
			}
			if err := ss.SendMsg(wrapperspb.String(in.Value)); err != nil {
				return err
			}
		}
	}
	return echo{
		say: {unary: func(ctx context.Context, in *text) (*text, error) {
			s, found := revocationgrpc.SessionFrom(ctx)
			if !found {
				return wrapperspb.String("nobody says " + in.Value), nil
			}
			return wrapperspb.String(s.ID + " says " + in.Value), nil
		}},
		ticks: {stream: func(ss grpc.ServerStream) error {
			var in text
			if err := ss.RecvMsg(&in); err != nil {
				return err
			}
			if err := ss.SendMsg(&in); err != nil {
				return err
			}
			<-ss.Context().Done()
			return ss.Context().Err()
		}},
		upload: {stream: each},
		talk:   {stream: each},
	}
}

func (e echo) desc() *grpc.ServiceDesc {
	name := func(full string) string { return full[strings.LastIndexByte(full, '/')+1:] }
	stream := func(full string, server, client bool) grpc.StreamDesc {
		return grpc.StreamDesc{
			StreamName: name(full), ServerStreams: server, ClientStreams: client,
			Handler: func(_ any, ss grpc.ServerStream) error { return e[full].stream(ss) },
		}
	}
	return &grpc.ServiceDesc{
		ServiceName: "test.Echo", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: name(say), Handler: func(srv any, ctx context.Context, dec func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
			in := &text{}
			if err := dec(in); err != nil {
				return nil, err
			}
			h := func(ctx context.Context, in any) (any, error) { return e[say].unary(ctx, in.(*text)) }
			if interceptor == nil {
				return h(ctx, in)
			}
			return interceptor(ctx, in, &grpc.UnaryServerInfo{Server: srv, FullMethod: say}, h)
		}}},
		Streams: []grpc.StreamDesc{stream(ticks, true, false), stream(upload, false, true), stream(talk, true, true)},
	}
}

var streamDescs = map[string]*grpc.StreamDesc{
	ticks: {StreamName: "Ticks", ServerStreams: true}, upload: {StreamName: "Upload", ClientStreams: true},
	talk: {StreamName: "Talk", ServerStreams: true, ClientStreams: true},
}

// rig is a server behind a guard over a replica over a fake feed, and a client of it.
type rig struct {
	feed    *revocationtest.Feed
	replica *revocation.Replica
	conn    *grpc.ClientConn
	told    *told
}

// told records what the hooks were told.
type told struct {
	mu                         sync.Mutex
	decisions, failOpen, ended []revocation.Decision
	errs                       []error
}

func (h *told) into(list *[]revocation.Decision) func(context.Context, string, revocation.Decision) {
	return func(_ context.Context, _ string, d revocation.Decision) {
		h.mu.Lock()
		defer h.mu.Unlock()
		*list = append(*list, d)
	}
}

func (h *told) all() (decisions, failOpen, ended []revocation.Decision, errs []error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.decisions), slices.Clone(h.failOpen), slices.Clone(h.ended), slices.Clone(h.errs)
}

// newRig serves methods over a listener of the machine's own. Sessions come from metadata (see fromMetadata), and cfg.Replica is opened unless it
// is there. Everything is closed with the test.
func newRig(t testing.TB, cfg revocationgrpc.Config, methods echo) *rig {
	t.Helper()
	g := &rig{feed: revocationtest.New(), told: &told{}}
	g.feed.AutoBeat(time.Second)
	replica, err := revocation.Open(t.Context(), revocation.Config{Feed: g.feed})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = replica.Close() })
	g.replica = replica
	if wrap, ok := cfg.Replica.(*interposed); ok {
		wrap.Replica = replica
	} else {
		cfg.Replica = replica
	}
	if cfg.Session == nil {
		cfg.Session = fromMetadata
	}
	cfg.OnDecision, cfg.OnFailOpen, cfg.OnEnded = g.told.into(&g.told.decisions), g.told.into(&g.told.failOpen), g.told.into(&g.told.ended)
	cfg.OnError = func(_ context.Context, _ string, err error) {
		g.told.mu.Lock()
		defer g.told.mu.Unlock()
		g.told.errs = append(g.told.errs, err)
	}
	guard, err := revocationgrpc.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	g.serve(t, methods, grpc.ChainUnaryInterceptor(guard.Unary), grpc.ChainStreamInterceptor(guard.Stream))
	return g
}

func (g *rig) serve(t testing.TB, methods echo, opts ...grpc.ServerOption) {
	t.Helper()
	server := grpc.NewServer(opts...)
	server.RegisterService(methods.desc(), nil)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() {
		server.Stop()
		serving.Wait()
	})
	g.conn, err = grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.conn.Close() })
}

// interposed is a Checker that does something right after the check in Watch.
type interposed struct {
	*revocation.Replica
	after func()
}

func (i *interposed) Watch(ctx context.Context, s revocation.Session, q revocation.Require) (context.Context, context.CancelFunc, revocation.Decision) {
	watched, stop, d := i.Replica.Watch(ctx, s, q)
	i.after()
	return watched, stop, d
}

// fromMetadata is the session function of the tests: the token is "sid user".
func fromMetadata(ctx context.Context, _ string) (revocation.Session, error) {
	token, err := revocationgrpc.Bearer(ctx)
	if err != nil {
		return revocation.Session{}, err
	}
	switch token {
	case "bad":
		return revocation.Session{}, errors.Join(revocationgrpc.ErrInvalidToken, errors.New("secret: expired"))
	case "broken":
		return revocation.Session{}, status.Error(codes.NotFound, "secret: the database says 42")
	}
	sid, user, _ := strings.Cut(token, " ")
	return revocation.Session{ID: sid, User: user, Client: "app", AuthTime: time.Now().Add(-time.Hour)}, nil
}

// as returns a context that calls with a token; without one if that is empty.
func as(ctx context.Context, token string, more ...string) context.Context {
	if token != "" {
		more = append(more, "authorization", "Bearer "+token)
	}
	return metadata.AppendToOutgoingContext(ctx, more...)
}

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func (g *rig) say(ctx context.Context) (string, error) {
	out := &text{}
	err := g.conn.Invoke(ctx, say, wrapperspb.String("hello"), out)
	return out.Value, err
}

// open begins a stream and sends its first message.
func (g *rig) open(t testing.TB, ctx context.Context, method, first string) grpc.ClientStream {
	t.Helper()
	cs, err := g.conn.NewStream(ctx, streamDescs[method], method)
	if err != nil {
		t.Fatal(err)
	}
	// A stream that has been refused by now says EOF, and why to who receives.
	if err := cs.SendMsg(wrapperspb.String(first)); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if !streamDescs[method].ClientStreams {
		_ = cs.CloseSend()
	}
	return cs
}

func send(t testing.TB, cs grpc.ClientStream, what string) {
	t.Helper()
	if err := cs.SendMsg(wrapperspb.String(what)); err != nil {
		t.Errorf("send: %v", err)
	}
}

// receive receives a message.
func receive(cs grpc.ClientStream) (string, error) {
	in := &text{}
	err := cs.RecvMsg(in)
	return in.Value, err
}

func wantReceived(t testing.TB, cs grpc.ClientStream, want string) {
	t.Helper()
	if got, err := receive(cs); got != want || err != nil {
		t.Fatalf("received %q, %v, want %q", got, err, want)
	}
}

// wantStatus checks a call's error: its code, the ErrorInfo, and whether there is a RetryInfo.
func wantStatus(t testing.TB, err error, code codes.Code, reason, why string, retry time.Duration) {
	t.Helper()
	s, _ := status.FromError(err)
	var info *errdetails.ErrorInfo
	var delay time.Duration
	for _, detail := range s.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			info = detail
		case *errdetails.RetryInfo:
			delay = detail.RetryDelay.AsDuration()
		}
	}
	if s.Code() != code || info.GetReason() != reason || info.GetMetadata()["reason"] != why || delay != retry || info.GetDomain() != "curfew" {
		t.Errorf("got %v, %v, retry in %v; want %v, %s (%s), retry in %v", err, info, delay, code, reason, why, retry)
	}
	if strings.Contains(s.String(), "secret") {
		t.Errorf("%v says what operators wrote", s)
	}
}

func wantRevoked(t testing.TB, err error, why events.Reason) {
	t.Helper()
	wantStatus(t, err, codes.Unauthenticated, revocationgrpc.ReasonSessionRevoked, string(why), 0)
}

// common returns the common fields of an event that happens now.
func common(t testing.TB) events.Common {
	t.Helper()
	id, err := events.NewID()
	if err != nil {
		t.Fatal(err)
	}
	return events.Common{
		ID: id, Time: time.Now(), Source: "test", Tenant: events.DefaultTenant, Reason: events.ReasonAdmin,
		ReasonAdmin: "secret-admin-note", ReasonUser: "secret-user-note", Initiator: events.Initiator{Type: events.InitiatorAdmin},
	}
}

// logOut revokes a session and returns the position.
func (g *rig) logOut(t testing.TB, sid string) uint64 {
	return g.feed.Publish(&events.SessionRevoked{Common: common(t), Session: sid})
}

// eventually waits until something is so.
func eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	for began := time.Now(); !so(); time.Sleep(time.Millisecond) {
		if time.Since(began) > patience {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func await[T any](t testing.TB, what string, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}
