package revocationgrpc_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationgrpc"
)

// A stream ends with its session, whatever its handler is doing and whatever it returns.
func TestStreamsEnd(t *testing.T) {
	for _, tc := range []struct {
		name   string
		method string
		// serve is called when the first message has been answered.
		serve func(ss grpc.ServerStream) error
	}{
		{"waits for its context", ticks, func(ss grpc.ServerStream) error {
			<-ss.Context().Done()
			return ss.Context().Err()
		}},
		{"takes the end for the end of its work", ticks, func(ss grpc.ServerStream) error {
			<-ss.Context().Done()
			return nil
		}},
		{"is blocked in RecvMsg", talk, func(ss grpc.ServerStream) error { return ss.RecvMsg(&text{}) }},
		{"is blocked in RecvMsg of an upload", upload, func(ss grpc.ServerStream) error { return ss.RecvMsg(&text{}) }},
		{"is blocked in SendMsg", talk, func(ss grpc.ServerStream) error {
			for big := wrapperspb.String(strings.Repeat("x", 1<<20)); ; {
				if err := ss.SendMsg(big); err != nil { // the client doesn't read
					return err
				}
			}
		}},
		{"says something else", talk, func(ss grpc.ServerStream) error {
			<-ss.Context().Done()
			return status.Error(codes.Aborted, "interrupted")
		}},
		{"goes on receiving and sending", talk, func(ss grpc.ServerStream) error {
			<-ss.Context().Done()
			for range 2 {
				if err := ss.RecvMsg(&text{}); err == nil {
					return nil
				}
				if err := ss.SendMsg(&text{}); err == nil {
					return nil
				}
			}
			return ss.SendMsg(&text{})
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			type end struct{ err, cause error }
			serving, returned := make(chan struct{}), make(chan end, 1)
			methods := usual()
			methods[tc.method] = method{stream: func(ss grpc.ServerStream) error {
				if err := ss.RecvMsg(&text{}); err != nil {
					return err
				}
				if s, found := revocationgrpc.SessionFrom(ss.Context()); !found || s.ID != "s1" {
					t.Errorf("the session is %v, %v", s, found)
				}
				close(serving)
				err := tc.serve(ss)
				returned <- end{err, context.Cause(ss.Context())}
				return err
			}}
			g := newRig(t, revocationgrpc.Config{}, methods)
			cs := g.open(t, as(within(t), "s1 u1"), tc.method, "hello")
			await(t, "the handler", serving)
			g.logOut(t, "s1")
			got := await(t, "the end of the handler", returned)
			var ended *revocation.EndedError
			if !errors.As(got.cause, &ended) || ended.Decision.Scope != revocation.ScopeSession {
				t.Errorf("the cause is %v", got.cause)
			}
			if strings.HasPrefix(tc.name, "is blocked") || strings.HasPrefix(tc.name, "goes on") {
				wantRevoked(t, got.err, events.ReasonAdmin)
			}
			var err error
			for err == nil { // what was sent before
				_, err = receive(cs)
			}
			wantRevoked(t, err, events.ReasonAdmin)
			eventually(t, "OnEnded is told", func() bool {
				_, _, ended, _ := g.told.all()
				return len(ended) == 1 && ended[0].State == revocation.Revoked
			})
			eventually(t, "no watch is left", func() bool { return g.replica.Watched() == 0 })
		})
	}
}

// Of 1,000 streams those end whose sessions an event ends, and the others live.
func TestAThousandStreams(t *testing.T) {
	const users, perUser = 200, 5
	g := newRig(t, revocationgrpc.Config{}, usual())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	streams := map[string][]grpc.ClientStream{}
	for u := range users {
		user := fmt.Sprintf("u%d", u)
		for i := range perUser {
			cs := g.open(t, as(ctx, fmt.Sprintf("s%d-%d %s", u, i, user)), talk, "hello")
			wantReceived(t, cs, "hello")
			streams[user] = append(streams[user], cs)
		}
	}
	if n := g.replica.Watched(); n != users*perUser {
		t.Fatalf("%d watches, want %d", n, users*perUser)
	}
	// One session of u1, all of u2 but one, and all of u3.
	g.logOut(t, "s1-0")
	g.feed.Publish(&events.UserLoggedOutEverywhere{Common: common(t), User: "u2", Cutoff: common(t).Time, Except: []string{"s2-4"}})
	g.feed.Publish(&events.UserLoggedOutEverywhere{Common: common(t), User: "u3", Cutoff: common(t).Time})
	over := append([]grpc.ClientStream{streams["u1"][0]}, streams["u2"][:4]...)
	over = append(over, streams["u3"]...)
	streams["u1"], streams["u2"], streams["u3"] = streams["u1"][1:], streams["u2"][4:], nil
	for _, cs := range over {
		_, err := receive(cs)
		wantRevoked(t, err, events.ReasonAdmin)
	}
	alive := 0
	for user, list := range streams {
		for _, cs := range list {
			send(t, cs, "still "+user)
			wantReceived(t, cs, "still "+user)
			alive++
		}
	}
	if want := users*perUser - len(over); alive != want || g.replica.Watched() != want {
		t.Errorf("%d streams live and %d are watched, want %d", alive, g.replica.Watched(), want)
	}
	// And then all at once.
	g.feed.Publish(&events.TenantLoggedOut{Common: common(t), Cutoff: common(t).Time})
	for _, list := range streams {
		for _, cs := range list {
			_, err := receive(cs)
			wantRevoked(t, err, events.ReasonAdmin)
		}
	}
	eventually(t, "no watch is left", func() bool { return g.replica.Watched() == 0 })
}

// A unary call whose handler gives up because its session has ended is answered so; one that has done its work is answered with it.
func TestUnaryCallsEnd(t *testing.T) {
	for _, tc := range []struct {
		name    string
		returns func(ctx context.Context) (*text, error)
		ok      bool
	}{
		{"gives up", func(ctx context.Context) (*text, error) { return nil, ctx.Err() }, false},
		{"fails", func(context.Context) (*text, error) { return nil, status.Error(codes.Aborted, "interrupted") }, false},
		{"has done its work", func(context.Context) (*text, error) { return wrapperspb.String("done"), nil }, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			methods, serving := usual(), make(chan struct{})
			methods[say] = method{unary: func(ctx context.Context, _ *text) (*text, error) {
				close(serving)
				<-ctx.Done()
				if !errors.Is(context.Cause(ctx), revocation.ErrSessionEnded) {
					t.Errorf("the cause is %v", context.Cause(ctx))
				}
				return tc.returns(ctx)
			}}
			g := newRig(t, revocationgrpc.Config{}, methods)
			go func() {
				<-serving
				g.logOut(t, "s1")
			}()
			got, err := g.say(as(within(t), "s1 u1"))
			if tc.ok && (got != "done" || err != nil) {
				t.Errorf("got %q, %v", got, err)
			} else if !tc.ok {
				wantRevoked(t, err, events.ReasonAdmin)
			}
		})
	}
}

// An upload whose handler has done its work is answered with it, though its session has ended meanwhile.
func TestUploadThatIsDone(t *testing.T) {
	methods := usual()
	var g *rig
	methods[upload] = method{stream: func(ss grpc.ServerStream) error {
		if err := errors.Join(ss.RecvMsg(&text{}), ss.SendMsg(wrapperspb.String("stored"))); err != nil {
			return err
		}
		g.logOut(t, "s1")
		<-ss.Context().Done()
		return nil
	}}
	g = newRig(t, revocationgrpc.Config{}, methods)
	cs := g.open(t, as(within(t), "s1 u1"), upload, "hello")
	_ = cs.CloseSend()
	wantReceived(t, cs, "stored")
}

// The interleaving that is left: registered, checked active, revoked, and only then served. It must not be served (trap 8).
func TestTrap8RevokedBetweenCheckAndServe(t *testing.T) {
	between := &interposed{}
	methods := usual()
	methods[say] = method{unary: func(context.Context, *text) (*text, error) {
		t.Error("it is served")
		return &text{}, nil
	}}
	g := newRig(t, revocationgrpc.Config{Replica: between}, methods)
	between.after = func() {
		next, stop, _ := g.replica.Watch(context.Background(), revocation.Session{ID: "next", User: "u1"}, revocation.Require{})
		defer stop()
		g.logOut(t, "s1")
		g.logOut(t, "next")
		<-next.Done() // events are applied in order, so the call has ended by now
	}
	_, err := g.say(as(within(t), "s1 u1"))
	wantRevoked(t, err, events.ReasonAdmin)
	if decisions, _, ended, _ := g.told.all(); len(decisions) != 1 || decisions[0].State != revocation.Revoked || len(ended) != 0 {
		t.Errorf("told of %v, and of %v that ended", decisions, ended)
	}
}

// Calls and revocations of their sessions race. Every call is either refused or ended, none lives on (trap 8).
func TestTrap8CallsAndRevocationsRace(t *testing.T) {
	const rounds = 200
	var served atomic.Int64
	methods := usual()
	methods[say] = method{unary: func(ctx context.Context, _ *text) (*text, error) {
		served.Add(1)
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	g := newRig(t, revocationgrpc.Config{}, methods)
	for i := range rounds {
		answers := make(chan error)
		for range 3 {
			go func() {
				_, err := g.say(as(within(t), fmt.Sprintf("s%d u1", i)))
				answers <- err
			}()
		}
		g.logOut(t, fmt.Sprintf("s%d", i))
		for range 3 {
			wantRevoked(t, await(t, "an answer", answers), events.ReasonAdmin)
		}
	}
	t.Logf("%d of %d were served", served.Load(), 3*rounds)
}

// A client that goes away is no revocation, and leaves nothing behind.
func TestClientGoesAway(t *testing.T) {
	causes := make(chan error, 1)
	methods := usual()
	methods[talk] = method{stream: func(ss grpc.ServerStream) error {
		_ = ss.RecvMsg(&text{})
		_ = ss.SendMsg(&text{})
		err := ss.RecvMsg(&text{})
		causes <- context.Cause(ss.Context())
		return err
	}}
	g := newRig(t, revocationgrpc.Config{}, methods)
	ctx, cancel := context.WithCancel(within(t))
	cs := g.open(t, as(ctx, "s1 u1"), talk, "hello")
	wantReceived(t, cs, "")
	cancel()
	if cause := await(t, "the handler", causes); !errors.Is(cause, context.Canceled) || errors.Is(cause, revocation.ErrSessionEnded) {
		t.Errorf("the cause is %v", cause)
	}
	eventually(t, "no watch is left", func() bool { return g.replica.Watched() == 0 })
	if _, _, ended, _ := g.told.all(); len(ended) != 0 {
		t.Errorf("OnEnded was told of %v", ended)
	}
}

// What a message there and back costs, with and without a guard.
func BenchmarkTalk(b *testing.B) {
	guarded := newRig(b, revocationgrpc.Config{}, usual())
	bare := &rig{}
	bare.serve(b, usual())
	for name, g := range map[string]*rig{"guarded": guarded, "bare": bare} {
		b.Run(name, func(b *testing.B) {
			ctx, cancel := context.WithCancel(as(b.Context(), "s1 u1"))
			defer cancel()
			cs := g.open(b, ctx, talk, "hello")
			wantReceived(b, cs, "hello")
			for b.Loop() {
				send(b, cs, "hello")
				wantReceived(b, cs, "hello")
			}
		})
	}
}
