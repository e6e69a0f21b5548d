package revocationgrpc_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationgrpc"
)

// Every answer, to a unary call and to a stream.
func TestAnswers(t *testing.T) {
	far := strconv.Itoa(1 << 40)
	for _, tc := range []struct {
		name     string
		policy   revocationgrpc.Policy
		stale    bool
		token    string
		position []string // values of curfew-position
		passes   bool
		code     codes.Code
		reason   string
		why      string
		retry    time.Duration
		failOpen bool
		told     error // to OnError
	}{
		{name: "active", token: "s1 u1", passes: true},
		{name: "revoked", token: "gone u1", code: codes.Unauthenticated, reason: revocationgrpc.ReasonSessionRevoked, why: "admin"},
		{name: "revoked, stale", stale: true, token: "gone u1", code: codes.Unauthenticated, reason: revocationgrpc.ReasonSessionRevoked, why: "admin"},
		{
			name: "revoked, stale, fail open", stale: true, token: "gone u1", policy: revocationgrpc.Policy{DangerouslyFailOpen: true},
			code: codes.Unauthenticated, reason: revocationgrpc.ReasonSessionRevoked, why: "admin",
		},
		{name: "stale", stale: true, token: "s1 u1", code: codes.Unavailable, reason: revocationgrpc.ReasonSessionUndetermined, retry: 3 * time.Second},
		{name: "stale, fail open", stale: true, token: "s1 u1", policy: revocationgrpc.Policy{DangerouslyFailOpen: true}, passes: true, failOpen: true},
		{name: "missing session", token: " u1", code: codes.Unauthenticated, reason: revocationgrpc.ReasonClaimsMissing},
		{name: "missing user", token: "s1 ", code: codes.Unauthenticated, reason: revocationgrpc.ReasonClaimsMissing},
		{
			name: "missing user, stale, fail open", stale: true, token: "s1 ", policy: revocationgrpc.Policy{DangerouslyFailOpen: true},
			code: codes.Unauthenticated, reason: revocationgrpc.ReasonClaimsMissing,
		},
		{
			name: "missing user, allowed", token: "s1 ", passes: true,
			policy: revocationgrpc.Policy{Require: revocation.Require{DangerouslyAllowMissingUser: true}},
		},
		{name: "no token", code: codes.Unauthenticated, reason: revocationgrpc.ReasonSessionRequired, told: revocationgrpc.ErrNoSession},
		{name: "no token, anonymous", policy: revocationgrpc.Policy{AllowAnonymous: true}, passes: true},
		{
			name: "bad token, anonymous, fail open", token: "bad", policy: revocationgrpc.Policy{AllowAnonymous: true, DangerouslyFailOpen: true},
			code: codes.Unauthenticated, reason: revocationgrpc.ReasonInvalidToken, told: revocationgrpc.ErrInvalidToken,
		},
		{
			name: "unknown, fail open", token: "broken", policy: revocationgrpc.Policy{AllowAnonymous: true, DangerouslyFailOpen: true},
			code: codes.Unavailable, reason: revocationgrpc.ReasonSessionUndetermined, retry: 3 * time.Second, told: errAny,
		},
		{name: "behind", token: "s1 u1", position: []string{far}, code: codes.Unavailable, reason: revocationgrpc.ReasonSessionUndetermined, retry: 3 * time.Second},
		{
			name: "behind, fail open", token: "s1 u1", position: []string{far}, policy: revocationgrpc.Policy{DangerouslyFailOpen: true},
			passes: true, failOpen: true,
		},
		{name: "not behind", token: "s1 u1", position: []string{"1"}, passes: true},
		{name: "position of words", token: "s1 u1", position: []string{"latest"}, code: codes.InvalidArgument, reason: revocationgrpc.ReasonInvalidPosition, told: revocationgrpc.ErrInvalidPosition},
		{name: "two positions", token: "s1 u1", position: []string{"1", "2"}, code: codes.InvalidArgument, reason: revocationgrpc.ReasonInvalidPosition, told: revocationgrpc.ErrInvalidPosition},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := revocationgrpc.Config{Policy: tc.policy, RetryAfter: 3 * time.Second, PositionTimeout: 10 * time.Millisecond}
			if tc.stale {
				cfg.Policy.Require.MaxStaleness = 1 // nanosecond: nothing is so fresh
			}
			g := newRig(t, cfg, usual())
			if err := g.replica.WaitFor(within(t), g.logOut(t, "gone")); err != nil {
				t.Fatal(err)
			}
			var more []string
			for _, p := range tc.position {
				more = append(more, revocationgrpc.PositionKey, p)
			}
			ctx := as(within(t), tc.token, more...)
			calls := map[string]func() error{
				"unary": func() error {
					_, err := g.say(ctx)
					return err
				},
				"stream": func() error {
					cs := g.open(t, ctx, talk, "hello")
					_, err := receive(cs)
					_ = cs.CloseSend()
					return err
				},
			}
			for name, do := range calls {
				before := len(must(g.told.all()))
				err := do()
				if tc.passes {
					if err != nil {
						t.Errorf("%s: %v", name, err)
					}
				} else {
					wantStatus(t, err, tc.code, tc.reason, tc.why, tc.retry)
				}
				decisions, failOpen, _, errs := g.told.all()
				if told := len(decisions) - before; told != 1 && tc.told == nil && tc.token != "" {
					t.Errorf("%s: OnDecision was told %d times", name, told)
				}
				if (len(failOpen) > 0) != tc.failOpen {
					t.Errorf("%s: OnFailOpen was told %v", name, failOpen)
				}
				if tc.told == nil && len(errs) > 0 || tc.told != nil && (len(errs) == 0 || tc.told != errAny && !errors.Is(errs[0], tc.told)) {
					t.Errorf("%s: OnError was told %v, want %v", name, errs, tc.told)
				}
			}
			eventually(t, "no watch is left", func() bool { return g.replica.Watched() == 0 })
		})
	}
}

var errAny = errors.New("any")

func must(decisions, _, _ []revocation.Decision, _ []error) []revocation.Decision { return decisions }

// The answers to what the table above can't bring about.
func TestAnswerError(t *testing.T) {
	for _, tc := range []struct {
		err    error
		code   codes.Code
		reason string
		retry  time.Duration
	}{
		{nil, codes.Unavailable, revocationgrpc.ReasonSessionUndetermined, time.Second},
		{revocation.ErrNotSynced, codes.Unavailable, revocationgrpc.ReasonSessionUndetermined, time.Second},
		{revocation.ErrClosed, codes.Unavailable, revocationgrpc.ReasonSessionUndetermined, time.Second},
		{revocation.ErrMissingAuthTime, codes.Unauthenticated, revocationgrpc.ReasonClaimsMissing, 0},
		{revocation.ErrAuthTimeInFuture, codes.Unauthenticated, revocationgrpc.ReasonClaimsInvalid, 0},
		{&revocation.EndedError{}, codes.Unavailable, revocationgrpc.ReasonSessionUndetermined, time.Second},
		// What a revocationhttp.JWT says of a token.
		{fmt.Errorf("%w: it has expired", revocation.ErrInvalidToken), codes.Unauthenticated, revocationgrpc.ReasonInvalidToken, 0},
		{revocation.ErrNoSession, codes.Unauthenticated, revocationgrpc.ReasonSessionRequired, 0},
	} {
		wantStatus(t, revocationgrpc.AnswerError(tc.err).Err(), tc.code, tc.reason, "", tc.retry)
	}
	wantRevoked(t, revocationgrpc.AnswerError(&revocation.EndedError{
		Decision: revocation.Decision{State: revocation.Revoked, Reason: events.ReasonMaxAge},
	}).Err(), events.ReasonMaxAge)
	if s := revocationgrpc.Answer(revocation.Decision{State: revocation.Active}); s != nil {
		t.Errorf("the answer to active is %v", s)
	}
	wantStatus(t, revocationgrpc.Answer(revocation.Decision{}).Err(), codes.Unavailable, revocationgrpc.ReasonSessionUndetermined, "", time.Second)
}

// Whoever shows the position of a logout waits for it.
func TestPositionIsWaitedFor(t *testing.T) {
	g := newRig(t, revocationgrpc.Config{PositionTimeout: patience}, usual())
	g.feed.Stall()
	position := g.logOut(t, "s1")
	answers := make(chan error)
	for _, sid := range []string{"s1 u1", "s2 u1"} {
		go func() {
			_, err := g.say(as(within(t), sid, revocationgrpc.PositionKey, strconv.FormatUint(position, 10)))
			answers <- err
		}()
	}
	eventually(t, "both are watched", func() bool { return g.replica.Watched() == 2 })
	g.feed.Resume()
	var refused error
	for range 2 {
		if err := await(t, "an answer", answers); err != nil {
			if refused != nil {
				t.Errorf("both were refused: %v", err)
			}
			refused = err
		}
	}
	wantRevoked(t, refused, events.ReasonAdmin)
}

// When positions that others make up take all places to wait in, who names one that is no nearer is answered at once, as after the timeout.
func TestTooManyWaitForPositions(t *testing.T) {
	g := newRig(t, revocationgrpc.Config{PositionTimeout: time.Hour, RetryAfter: 3 * time.Second}, usual())
	ctx, leave := context.WithCancel(within(t))
	var waiting sync.WaitGroup
	defer waiting.Wait()
	defer leave()
	for range revocation.MaxWaiters {
		waiting.Go(func() { _ = g.replica.WaitFor(ctx, 1<<60) })
	}
	eventually(t, "all places are taken", func() bool {
		look, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		return errors.Is(g.replica.WaitFor(look, 1<<61), revocation.ErrTooManyWaiters)
	})
	_, err := g.say(as(within(t), "s1 u1", revocationgrpc.PositionKey, strconv.FormatUint(1<<61, 10)))
	wantStatus(t, err, codes.Unavailable, revocationgrpc.ReasonSessionUndetermined, "", 3*time.Second)
	if _, err := g.say(as(within(t), "s1 u1", revocationgrpc.PositionKey, strconv.FormatUint(g.logOut(t, "s1"), 10))); err == nil {
		t.Error("whoever shows the position of their logout was let in")
	} else {
		wantRevoked(t, err, events.ReasonAdmin)
	}
}

// A method's own policy counts before its service's, and that before the one of all.
func TestPolicies(t *testing.T) {
	fresh := func(d time.Duration) revocationgrpc.Policy {
		return revocationgrpc.Policy{Require: revocation.Require{MaxStaleness: d}}
	}
	for _, tc := range []struct {
		name    string
		policy  revocationgrpc.Policy
		methods map[string]revocationgrpc.Policy
		say     bool // passes
		talk    bool
	}{
		{"all", fresh(1), nil, false, false},
		{"another service", fresh(0), map[string]revocationgrpc.Policy{"/test.Ech/": fresh(1), "/test.Echo2/": fresh(1), "/Echo/": fresh(1)}, true, true},
		{"service", fresh(0), map[string]revocationgrpc.Policy{"/test.Echo/": fresh(1)}, false, false},
		{"method", fresh(0), map[string]revocationgrpc.Policy{say: fresh(1)}, false, true},
		{"method before service", fresh(1), map[string]revocationgrpc.Policy{"/test.Echo/": fresh(1), talk: fresh(time.Minute)}, false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := newRig(t, revocationgrpc.Config{Policy: tc.policy, Methods: tc.methods}, usual())
			_, err := g.say(as(within(t), "s1 u1"))
			if (err == nil) != tc.say {
				t.Errorf("Say: %v", err)
			}
			cs := g.open(t, as(within(t), "s1 u1"), talk, "hello")
			if _, err := receive(cs); (err == nil) != tc.talk {
				t.Errorf("Talk: %v", err)
			}
			_ = cs.CloseSend()
		})
	}
}

// The handler finds the session; an anonymous call has none.
func TestSessionFrom(t *testing.T) {
	g := newRig(t, revocationgrpc.Config{Policy: revocationgrpc.Policy{AllowAnonymous: true}}, usual())
	for token, want := range map[string]string{"s1 u1": "s1 says hello", "": "nobody says hello"} {
		if got, err := g.say(as(within(t), token)); got != want || err != nil {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	if _, found := revocationgrpc.SessionFrom(context.Background()); found {
		t.Error("a context that no guard has seen has a session")
	}
}

func TestBearer(t *testing.T) {
	for _, tc := range []struct {
		name   string
		values []string
		want   error
	}{
		{"none", nil, revocationgrpc.ErrNoSession},
		{"one", []string{"bearer s1 u1"}, nil},
		{"two", []string{"Bearer s1 u1", "Bearer s1 u1"}, revocationgrpc.ErrInvalidToken},
		{"another scheme", []string{"Basic s1"}, revocationgrpc.ErrInvalidToken},
		{"empty", []string{"Bearer "}, revocationgrpc.ErrInvalidToken},
		{"no scheme", []string{"s1"}, revocationgrpc.ErrInvalidToken},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := newRig(t, revocationgrpc.Config{}, usual())
			var more []string
			for _, v := range tc.values {
				more = append(more, "authorization", v)
			}
			_, err := g.say(as(within(t), "", more...))
			_, _, _, errs := g.told.all()
			if tc.want == nil && err != nil || tc.want != nil && (len(errs) != 1 || !errors.Is(errs[0], tc.want)) {
				t.Errorf("got %v, told %v, want %v", err, errs, tc.want)
			}
		})
	}
}

func TestConfigFaults(t *testing.T) {
	var replica *revocation.Replica
	_, err := revocationgrpc.New(revocationgrpc.Config{
		Replica: replica, RetryAfter: -1, Policy: revocationgrpc.Policy{Require: revocation.Require{MaxStaleness: -1}},
		Methods: map[string]revocationgrpc.Policy{"test.Echo/Say": {}, "/Say": {}, "//Say": {}, say: {Require: revocation.Require{MaxStaleness: -1}}},
	})
	if err == nil {
		t.Fatal("no fault was found")
	}
	for _, want := range []string{
		"nil *revocation.Replica", "Session is required", "RetryAfter can't be negative", "Policy: MaxStaleness can't be negative",
		`"test.Echo/Say" isn't a method`, `"/Say" isn't a method`, `"//Say" isn't a method`, say + ": MaxStaleness can't be negative",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q isn't in:\n%v", want, err)
		}
	}
	if got := strings.Count(err.Error(), "\n") + 1; got != 8 {
		t.Errorf("%d faults, want 8:\n%v", got, err)
	}
	if _, err := revocationgrpc.New(revocationgrpc.Config{}); err == nil || !strings.Contains(err.Error(), "Replica is required") {
		t.Errorf("without anything: %v", err)
	}
}

// A method that is misspelt is found once the services are known.
func TestCovers(t *testing.T) {
	g := newRig(t, revocationgrpc.Config{}, usual())
	server := grpc.NewServer()
	server.RegisterService(usual().desc(), nil)
	for _, tc := range []struct {
		name string
		ok   bool
	}{{say, true}, {talk, true}, {"/test.Echo/", true}, {"/test.Echo/say", false}, {"/test.Eco/Say", false}, {"/test.Eco/", false}} {
		guard, err := revocationgrpc.New(revocationgrpc.Config{Replica: g.replica, Session: fromMetadata, Methods: map[string]revocationgrpc.Policy{tc.name: {}}})
		if err != nil {
			t.Fatal(err)
		}
		if err := guard.Covers(server.GetServiceInfo()); (err == nil) != tc.ok || err != nil && !strings.Contains(err.Error(), tc.name) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}
