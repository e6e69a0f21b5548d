package receipts_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/curfewhq/curfew/events/presence"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/gateways"
	"github.com/curfewhq/curfew/internal/ledger"
	"github.com/curfewhq/curfew/internal/logtext"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/internal/receipts"
	"github.com/curfewhq/curfew/internal/replicas"
	"github.com/curfewhq/curfew/internal/signing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const stream = "CURFEW@1"

// fleet answers what it is told to.
type fleet struct {
	mu       sync.Mutex
	progress replicas.Progress
	shown    []gateways.ShownAnswer
	asked    int
	err      error
}

func (f *fleet) Await(context.Context, replicas.Wanted) (replicas.Progress, error) {
	return f.progress, f.err
}

func (f *fleet) Shown(context.Context, string, uint64) (gateways.ShownAnswer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return gateways.ShownAnswer{}, f.err
	}
	a := f.shown[min(f.asked, len(f.shown)-1)]
	f.asked++
	return a, nil
}

type rig struct {
	*receipts.Desk
	fleet *fleet
	kv    jetstream.KeyValue
	keys  *signing.Keys
	log   *logtext.Buffer
	lost  int
	// stop closes the connection.
	stop func() error
}

func newRig(t *testing.T) *rig {
	t.Helper()
	b := natstest.Bus(t)
	g := &rig{fleet: &fleet{}, log: &logtext.Buffer{}, stop: b.Close}
	secrets, err := b.KeyValue(t.Context(), bus.SecretsBucket())
	if err != nil {
		t.Fatal(err)
	}
	if g.keys, err = signing.Open(t.Context(), secrets); err != nil {
		t.Fatal(err)
	}
	if g.kv, err = b.KeyValue(t.Context(), bus.ReceiptsBucket()); err != nil {
		t.Fatal(err)
	}
	g.Desk, err = receipts.New(receipts.Config{
		Replicas: g.fleet, Gateways: g.fleet, Stream: func() string { return stream }, Bucket: g.kv, Kept: ledger.NewReader(b.JetStream(), "KV_CURFEW_RECEIPTS"), Keys: g.keys,
		Lost: func() { g.lost++ }, Log: g.log.Logger(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func member(name string, position uint64, heard time.Time) replicas.Member {
	return replicas.Member{Report: presence.Report{ID: "ID" + name, Name: name, Group: "billing", Version: "1", Position: position, Stream: stream, BudgetMS: 15_000}, Heard: heard}
}

func event(position uint64) receipts.Event {
	id, _ := uuid.NewV7()
	return receipts.Event{ID: id.String(), Tenant: "acme", Position: position, Stored: time.Now()}
}

func TestWaitAndSay(t *testing.T) {
	g := newRig(t)
	now := time.Now()
	applied := func(name string, after time.Duration) replicas.Applied {
		return replicas.Applied{Member: member(name, 9, now), After: after}
	}
	told := func(s gateways.Shown) gateways.ShownAnswer {
		return gateways.ShownAnswer{Gateways: []gateways.GatewayShown{{ID: "1", Name: "gw-1", Shown: s}}}
	}
	ended := member("billing-3", 3, now.Add(-time.Minute))
	for _, tt := range []struct {
		name     string
		aim      receipts.Aim
		progress replicas.Progress
		shown    []gateways.ShownAnswer
		complete bool
		want     string
	}{
		{"all", receipts.Applied, replicas.Progress{Applied: []replicas.Applied{applied("billing-1", -time.Second), applied("billing-7", 7_200*time.Microsecond)}, Certain: true}, nil, true, "applied by 2/2 replicas in 7.2 ms, slowest billing-7"},
		{
			"late", receipts.Applied,
			replicas.Progress{Applied: []replicas.Applied{applied("billing-1", 12_700*time.Microsecond)}, Late: []replicas.Member{member("billing-7", 4711, now.Add(-3*time.Second))}, Certain: true},
			nil, false, "applied by 1/2 replicas; late: billing-7 (at 4711, last heard 3s before)",
		},
		{
			"lease ended", receipts.Applied, replicas.Progress{Applied: []replicas.Applied{applied("billing-1", 12_700*time.Microsecond)}, Ended: []replicas.Member{ended}, Certain: true}, nil, true,
			"applied by 1/1 replicas in 13 ms, slowest billing-1; not heard any more, and failing closed: billing-3 (since " + ended.FailsClosedSince().UTC().Format("2006-01-02T15:04:05Z") + ")",
		},
		{"nobody", receipts.Applied, replicas.Progress{}, nil, false, "applied by 0/0 replicas; who else there is isn't certain yet: whoever found this out hasn't listened for a whole lease"},
		{
			"shown", receipts.Shown, replicas.Progress{Applied: []replicas.Applied{applied("billing-1", time.Millisecond)}, Certain: true},
			[]gateways.ShownAnswer{told(gateways.Shown{Behind: true}), told(gateways.Shown{Told: 3, SignedOut: 1}), told(gateways.Shown{Told: 3, SignedOut: 1, Already: 1, Gone: 1})}, true,
			"applied by 1/1 replicas in 1.0 ms, slowest billing-1; shown to 2/3 tabs, 1 left without an answer",
		},
		{
			"tabs that don't answer", receipts.Shown, replicas.Progress{Applied: []replicas.Applied{applied("billing-1", time.Millisecond)}, Certain: true},
			[]gateways.ShownAnswer{{Gateways: told(gateways.Shown{Told: 3, SignedOut: 1}).Gateways, Missing: []gateways.Member{{ID: "2", Name: "gw-2"}}}}, false,
			"applied by 1/1 replicas in 1.0 ms, slowest billing-1; shown to 1/3 tabs, 2 haven't answered; gateway gw-2 hasn't answered",
		},
		{
			"a gateway that began after it", receipts.Shown, replicas.Progress{Applied: []replicas.Applied{applied("billing-1", time.Millisecond)}, Certain: true},
			[]gateways.ShownAnswer{told(gateways.Shown{Forgotten: true})}, false,
			"applied by 1/1 replicas in 1.0 ms, slowest billing-1; shown to 0/0 tabs; gateway gw-1 doesn't know any more whom it has told",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g.fleet.progress, g.fleet.shown, g.fleet.asked = tt.progress, tt.shown, 0
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			r := g.Wait(ctx, event(9), tt.aim)
			if r.Complete != tt.complete || r.Sentence() != tt.want {
				t.Errorf("complete %t: %s\nwant     %t: %s", r.Complete, r.Sentence(), tt.complete, tt.want)
			}
			if n := r.Nameless().Sentence(); strings.Contains(n, "billing") || strings.Contains(n, "gw-") {
				t.Errorf("nameless: %s", n)
			}
			if diff := cmp.Diff(tt.want, r.Sentence()); diff != "" {
				t.Errorf("the receipt itself lost its names: %s", diff)
			}
		})
	}
}

func TestKeepAndFind(t *testing.T) {
	g := newRig(t)
	g.fleet.progress = replicas.Progress{Applied: []replicas.Applied{{Member: member("billing-1", 9, time.Now()), After: time.Millisecond}}}
	var made []receipts.Receipt
	for i := range 5 {
		made = append(made, g.Wait(t.Context(), event(uint64(i+1)), receipts.Applied))
	}
	other := made[0]
	other.Tenant = "default"
	for _, r := range append(made, other) {
		g.Keep(t.Context(), r)
	}
	k, err := g.Find(t.Context(), "acme", made[2].Event)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(made[2], k.Receipt); diff != "" {
		t.Errorf("(-made +kept):\n%s", diff)
	}
	payload, _, err := signing.Verify(g.keys.Public(), receipts.Type, k.Token)
	var signed receipts.Receipt
	if err != nil || json.Unmarshal(payload, &signed) != nil || !cmp.Equal(made[2], signed) {
		t.Errorf("signed is %s: %v", payload, err)
	}
	for _, tenant := range []string{"default", "nobody"} {
		if _, err := g.Find(t.Context(), tenant, made[2].Event); !errors.Is(err, receipts.ErrNone) {
			t.Errorf("of %s: %v", tenant, err)
		}
	}
	if _, err := g.Find(t.Context(), "acme", "no > id"); !errors.Is(err, receipts.ErrNone) {
		t.Errorf("of no id: %v", err)
	}

	// A later one takes the place of the first, and is the newest.
	later := made[0]
	later.Made = later.Made.Add(time.Second)
	g.Keep(t.Context(), later)
	if k, err = g.Find(t.Context(), "acme", later.Event); err != nil || !k.Made.Equal(later.Made) {
		t.Errorf("%+v, %v", k.Receipt, err)
	}
	// What somebody else has put there is none of ours.
	if _, err := g.kv.Put(t.Context(), "acme.forged", []byte(strings.Replace(k.Token, ".", ".A", 1))); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Find(t.Context(), "acme", "forged"); err == nil || errors.Is(err, receipts.ErrNone) {
		t.Errorf("a forged one: %v", err)
	}
	first, err := g.List(t.Context(), "acme", 0, 3)
	if err != nil || len(first) != 3 {
		t.Fatalf("%d, %v", len(first), err)
	}
	rest, err := g.List(t.Context(), "acme", first[2].Entry, 3)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, k := range append(first, rest...) {
		got = append(got, k.Event)
	}
	if diff := cmp.Diff([]string{made[0].Event, made[4].Event, made[3].Event, made[2].Event, made[1].Event}, got); diff != "" {
		t.Errorf("the newest first (-want +got):\n%s", diff)
	}
}

// An answer names those that are late, and the slowest; what is kept names all, up to a thousand.
func TestManyReplicas(t *testing.T) {
	g := newRig(t)
	for i := range 1100 {
		g.fleet.progress.Applied = append(g.fleet.progress.Applied, replicas.Applied{Member: member(fmt.Sprint("billing-", i), 9, time.Now()), After: time.Duration(i) * time.Microsecond})
	}
	g.fleet.progress.Late = []replicas.Member{member("late", 3, time.Now())}
	r := g.Wait(t.Context(), event(9), receipts.Applied)
	if len(r.Replicas.Named) != 1000 || r.Replicas.More != 101 || r.Replicas.Expected != 1101 || r.Replicas.Applied != 1100 {
		t.Errorf("%d named, %d more of %d", len(r.Replicas.Named), r.Replicas.More, r.Replicas.Expected)
	}
	brief := receipts.AnswerOf(r).Brief()
	named := brief.Replicas.Named
	if len(named) != 20 || brief.Replicas.More != 1081 || named[0].Name != "late" || named[19].Name != "billing-1099" {
		t.Errorf("%d named from %s to %s, %d more", len(named), named[0].Name, named[len(named)-1].Name, brief.Replicas.More)
	}
	if slowest, _ := r.Slowest(); slowest.Name != "billing-1099" || len(r.Replicas.Named) != 1000 {
		t.Errorf("the slowest is %s", slowest.Name)
	}
}

// Nobody waits for a large receipt's being kept but who asks for it, and the process doesn't gather many.
func TestLargeReceiptsAreKeptBehind(t *testing.T) {
	g := newRig(t)
	for i := range 300 {
		g.fleet.progress.Applied = append(g.fleet.progress.Applied, replicas.Applied{Member: member(fmt.Sprint("billing-", i), 9, time.Now())})
	}
	var list []receipts.Receipt
	for range 17 {
		r := g.Wait(t.Context(), event(9), receipts.Applied)
		list = append(list, r)
		g.Keep(t.Context(), r)
	}
	kept := 0
	for i, r := range list {
		if _, err := g.kv.Get(t.Context(), r.Tenant+"."+r.Event); err == nil {
			kept += i
		}
	}
	if kept != 16 {
		t.Errorf("without Run another is kept than the seventeenth: %d", kept)
	}
	running, stop := context.WithCancel(t.Context())
	var work sync.WaitGroup
	work.Go(func() { _ = g.Run(running) }) // has no error
	defer work.Wait()
	defer stop()
	// A busy machine may take longer than Find waits, but not again and again.
	inARow := 0
	for range 10 {
		if inARow++; !foundAtOnce(t, g, list) {
			inARow = 0
		} else if inARow == 2 {
			return
		}
		list = list[:0]
		for range 17 {
			list = append(list, g.Wait(t.Context(), event(9), receipts.Applied))
			g.Keep(t.Context(), list[len(list)-1])
		}
	}
	t.Error("Find doesn't wait for what is being kept")
}

// foundAtOnce is whether all receipts are found, the last first.
func foundAtOnce(t *testing.T, g *rig, list []receipts.Receipt) bool {
	t.Helper()
	for _, r := range slices.Backward(list) {
		k, err := g.Find(t.Context(), r.Tenant, r.Event)
		if err != nil {
			t.Log(err)
			return false
		}
		if diff := cmp.Diff(r, k.Receipt); diff != "" {
			t.Errorf("(-made +kept):\n%s", diff)
		}
	}
	return true
}

// What is proved isn't given up for what somebody finds out later and in a hurry.
func TestKeepKeepsWhatSaysMore(t *testing.T) {
	g := newRig(t)
	e := event(9)
	g.fleet.progress = replicas.Progress{Applied: []replicas.Applied{{Member: member("billing-1", 9, time.Now()), After: time.Millisecond}}, Certain: true}
	g.fleet.shown = []gateways.ShownAnswer{{Gateways: []gateways.GatewayShown{{ID: "1", Name: "gw-1", Shown: gateways.Shown{Told: 1, SignedOut: 1}}}}}
	proved := g.Wait(t.Context(), e, receipts.Shown)
	g.Keep(t.Context(), proved)
	nothing, applied, late, untimed := proved, proved, proved, g.Wait(t.Context(), receipts.Event{ID: e.ID, Tenant: e.Tenant, Position: e.Position}, receipts.Shown)
	nothing.Replicas, nothing.Complete = receipts.Replicas{Named: []receipts.Replica{}}, false
	applied.Aim, applied.Tabs = receipts.Applied, nil
	late.Complete = false
	for name, less := range map[string]receipts.Receipt{"of nobody": nothing, "of replicas alone": applied, "not complete": late, "without times": untimed} {
		g.Keep(t.Context(), less)
		k, err := g.Find(t.Context(), e.Tenant, e.ID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(proved, k.Receipt); diff != "" {
			t.Errorf("%s (-proved +kept):\n%s", name, diff)
		}
		if !less.SaysLess(proved) || proved.SaysLess(less) {
			t.Errorf("%s doesn't say less", name)
		}
	}
}

// A call's events share its time, whoever doesn't answer.
func TestWaitAllSharesTheTime(t *testing.T) {
	g := newRig(t)
	g.fleet.progress = replicas.Progress{Applied: []replicas.Applied{{Member: member("billing-1", 9, time.Now())}}, Certain: true}
	g.fleet.shown = []gateways.ShownAnswer{{Missing: []gateways.Member{{ID: "2", Name: "gw-2"}}}}
	var list []receipts.Event
	for i := range 100 {
		list = append(list, event(uint64(i+1)))
	}
	list[7].Asked, list[7].Stored = time.Time{}, time.Time{}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	began := time.Now()
	all := g.WaitAll(ctx, list, receipts.Shown)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("a hundred took %v of half a second", took)
	}
	for i, r := range all {
		if _, timed := r.Slowest(); r.Complete || r.Tabs == nil || timed != (i != 7) {
			t.Errorf("%d: %+v", i, r)
		}
	}
}

// Whoever can't be asked makes no receipt complete, and no error of what is stored.
func TestNobodyCanBeAsked(t *testing.T) {
	g := newRig(t)
	g.fleet.err = replicas.ErrTooManyWaits
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	r := g.Wait(ctx, event(9), receipts.Shown)
	if r.Complete || r.Certain || r.Replicas.Expected != 0 || r.Tabs == nil || r.Tabs.Told != 0 {
		t.Errorf("got %+v", r)
	}
	if log := g.log.String(); !strings.Contains(log, "too many wait") || !strings.Contains(log, "gateways can't be asked") {
		t.Error(log)
	}
}

// What can't be kept at once is kept later; what can't be kept at all is counted and logged, with the next command.
func TestWhatIsNotKept(t *testing.T) {
	g := newRig(t)
	nc := g.stop()
	began := time.Now()
	r := receipts.Receipt{Event: event(1).ID, Tenant: "acme"}
	g.Keep(t.Context(), r)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("who waits waited %v for its being kept", took)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.Run(ended); err != nil {
		t.Fatal(err)
	}
	if g.lost != 1 || !strings.Contains(g.log.String(), "curfew receipt show") || !strings.Contains(g.log.String(), r.Event) {
		t.Errorf("%d lost without NATS (%v): %s", g.lost, nc, g.log)
	}
}
