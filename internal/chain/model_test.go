package chain_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/curfewhq/curfew/internal/chain"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// retention of the ledgers here.
const retention = 24 * time.Hour

// book is a ledger with its checkpoints, made second by second: an event lies at each position where there is one, and a beat elsewhere.
type book struct {
	events []chain.Entry
	signed []chain.Signed
	// covered is up to where checkpoints go.
	covered, last uint64
	now           time.Time
	b             *chain.Builder
}

func newBook() *book {
	return &book{now: epoch, b: chain.Begin("chain-1", chain.CauseFirst, epoch, 1)}
}

// fataler is a test, a benchmark, a model or a fuzzer.
type fataler interface{ Fatal(args ...any) }

// unsigned takes a token for what it holds: what signatures do is shown with real ones.
func unsigned(token string) ([]byte, string, error) { return []byte(token), "key", nil }

func entry(position uint64, stored time.Time, text string) chain.Entry {
	return chain.Entry{
		Position: position, Stored: stored, Topic: "curfew.v1.acme.0a.session", Data: []byte(text),
		Header: map[string][]string{"Nats-Msg-Id": {fmt.Sprint("id-", position)}, "Content-Type": {"application/cloudevents+json"}},
	}
}

func (k *book) event(t fataler) {
	k.last++
	k.now = k.now.Add(time.Second)
	e := entry(k.last, k.now, fmt.Sprint("event ", k.last))
	if err := k.b.Add(e); err != nil {
		t.Fatal(err)
	}
	k.events = append(k.events, e)
}

func (k *book) beat(t fataler) {
	k.last++
	k.now = k.now.Add(time.Second)
	if err := k.b.Pass(k.last); err != nil {
		t.Fatal(err)
	}
}

func (k *book) seal(t fataler) {
	s := chain.Seal{Number: uint64(len(k.signed)) + 1, Time: k.now, Retention: retention}
	if n := len(k.signed); n > 0 {
		s.Previous = chain.TokenHash(k.signed[n-1].Token)
	}
	c := k.b.Checkpoint(s)
	payload, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	k.b.Sealed(c)
	k.signed = append(k.signed, chain.Signed{Number: c.Number, Token: string(payload)})
	k.covered = k.last
	// A process that was started anew goes on in the same way.
	if read, err := chain.Decode(payload); err != nil {
		t.Fatal(err)
	} else if len(k.signed)%3 == 0 {
		k.b = chain.Resume(read)
	}
}

// verify holds events against checkpoints.
func verify(t rapid.TB, signed []chain.Signed, events []chain.Entry, head chain.Head, now time.Time) chain.Report {
	trail := chain.Judge(signed, chain.Trust{Open: unsigned, Now: now, MaxGap: 1000 * time.Hour})
	begin := trail.Begin(head.Made)
	w := trail.Walk(head)
	for _, e := range events {
		if e.Position > begin {
			if err := w.Entry(e); err != nil {
				t.Fatal(err)
			}
		}
	}
	return w.Report()
}

// TestModel changes a ledger at random, and compares what verification names with the first position at which the two ledgers differ.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := newBook()
		k.seal(t)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0, 1, 2:
				k.event(t)
			case 3, 4:
				k.beat(t)
			case 5:
				k.seal(t)
			}
		}
		events, now := slices.Clone(k.events), k.now
		head := chain.Head{Made: epoch, First: 1, Last: k.last}
		// Forgotten by retention: checkpoints of before may be gone, too.
		forgotten := 0
		if len(events) > 0 && rapid.Bool().Draw(t, "old") {
			forgotten = rapid.IntRange(0, len(events)).Draw(t, "forgotten")
			now = now.Add(retention)
			events = events[forgotten:]
			if head.First = k.last + 1; len(events) > 0 {
				head.First = events[0].Position
			}
		}
		gone := 0
		for gone+1 < len(k.signed) && rapid.IntRange(0, 3).Draw(t, "checkpoint gone") == 0 && forgotten > 0 {
			gone++
		}
		signed := k.signed[gone:]
		kept := slices.Clone(events)
		change := rapid.SampledFrom([]string{"nothing", "data", "topic", "header", "stored", "remove", "add", "swap"}).Draw(t, "change")
		events = tamper(t, events, change, head)
		got := verify(t, signed, events, head, now)
		// Behind what nothing tells of: what an earlier checkpoint told of isn't judged.
		begin := chain.Judge(signed, chain.Trust{Open: unsigned, Now: now, From: 1}).Begin(epoch)
		want := differ(kept, events, begin, k.covered)
		first, bad := got.FirstBad()
		if bad != (want > 0) || bad && first.Position != want {
			// At the front of what an old ledger has kept, what was removed looks like what was forgotten: nobody could tell.
			if front := len(kept) > 0 && want == kept[0].Position && now.Sub(kept[0].Stored)+5*time.Minute >= retention && change == "remove"; !front {
				t.Fatalf("%s: named %+v, %v; the first position that differs is %d (%d forgotten, checkpoints from %d, up to %d)\n%+v", change, first, bad, want, forgotten, gone+1, k.covered, got.Findings)
			}
		}
	})
}

// tamper changes something in one place.
func tamper(t *rapid.T, events []chain.Entry, change string, head chain.Head) []chain.Entry {
	if len(events) == 0 {
		return events
	}
	events = slices.Clone(events)
	i := rapid.IntRange(0, len(events)-1).Draw(t, "at")
	e := &events[i]
	switch change {
	case "data":
		e.Data = []byte(string(e.Data) + ".")
	case "topic":
		e.Topic = "curfew.v1.globex.0a.session"
	case "header":
		e.Header = map[string][]string{"Nats-Msg-Id": {"another"}, "Content-Type": e.Header["Content-Type"]}
	case "stored":
		e.Stored = e.Stored.Add(time.Nanosecond)
	case "remove":
		events = slices.Delete(events, i, i+1)
	case "swap":
		j := rapid.IntRange(0, len(events)-1).Draw(t, "with")
		a, b := events[i], events[j]
		a.Position, b.Position = b.Position, a.Position
		events[i], events[j] = b, a
	case "add": // where a beat lay, as far as there is one
		for p := head.First; p <= head.Last; p++ {
			if !slices.ContainsFunc(events, func(e chain.Entry) bool { return e.Position == p }) {
				events = append(events, entry(p, epoch, "added"))
				slices.SortFunc(events, func(a, b chain.Entry) int { return int(int64(a.Position) - int64(b.Position)) })
				break
			}
		}
	}
	return events
}

// differ returns the first position of (begin, end] at which two ledgers differ; 0 for none.
func differ(a, b []chain.Entry, begin, end uint64) uint64 {
	var hasher chain.Hasher
	leaves := func(events []chain.Entry) map[uint64]chain.Hash {
		m := map[uint64]chain.Hash{}
		for _, e := range events {
			m[e.Position] = hasher.Leaf(e)
		}
		return m
	}
	x, y := leaves(a), leaves(b)
	for p := begin + 1; p <= end; p++ {
		l, inA := x[p]
		if m, inB := y[p]; inA != inB || l != m {
			return p
		}
	}
	return 0
}
