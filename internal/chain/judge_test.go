package chain_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/internal/chain"
)

// written is a book of 5 checkpoints, 2 events each, and a beat in front of each checkpoint.
func written(t *testing.T) *book {
	t.Helper()
	k := newBook()
	for range 5 {
		k.event(t)
		k.event(t)
		k.beat(t)
		k.seal(t)
	}
	return k
}

func (k *book) head() chain.Head { return chain.Head{Made: epoch, First: 1, Last: k.last} }

// edited returns a checkpoint with something else in it.
func edited(t *testing.T, s chain.Signed, change func(*chain.Checkpoint)) chain.Signed {
	t.Helper()
	c, err := chain.Decode([]byte(s.Token))
	if err != nil {
		t.Fatal(err)
	}
	change(&c)
	payload, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return chain.Signed{Number: s.Number, Token: string(payload)}
}

// found are the kinds of a report's findings, with the checkpoints that tell.
func found(r chain.Report) []string {
	out := []string{}
	for _, f := range r.Findings {
		out = append(out, string(f.Kind)+" "+string('0'+rune(f.Checkpoint)))
	}
	return out
}

// TestCheckpointsThatAreNotAsTheyWere: each thing that can be wrong with checkpoints is named, at its number.
func TestCheckpointsThatAreNotAsTheyWere(t *testing.T) {
	forged := errors.New("forged")
	for _, tt := range []struct {
		name string
		// change gets the checkpoints, and may change what is trusted.
		change func(k *book, signed []chain.Signed, trust *chain.Trust) []chain.Signed
		want   []string
	}{
		{"nothing", func(_ *book, s []chain.Signed, _ *chain.Trust) []chain.Signed { return s }, []string{}},
		{"none", func(*book, []chain.Signed, *chain.Trust) []chain.Signed { return nil }, []string{"no_checkpoints 0"}},
		{"one in the middle is gone", func(_ *book, s []chain.Signed, _ *chain.Trust) []chain.Signed { return slices.Delete(s, 2, 3) }, []string{"checkpoints_missing 3"}},
		{"the first are gone, and aren't due", func(_ *book, s []chain.Signed, _ *chain.Trust) []chain.Signed { return s[2:] }, []string{"checkpoints_missing 1"}},
		{"the first are left out", func(_ *book, s []chain.Signed, trust *chain.Trust) []chain.Signed {
			trust.From = 3
			return s
		}, []string{}},
		{"the first are gone, and were due", func(_ *book, s []chain.Signed, trust *chain.Trust) []chain.Signed {
			trust.Now = trust.Now.Add(2 * retention)
			return s[2:]
		}, []string{"removed 3", "removed 4", "removed 5"}},
		{"the last are gone", func(_ *book, s []chain.Signed, trust *chain.Trust) []chain.Signed {
			trust.Now, trust.MaxGap = trust.Now.Add(4*time.Minute), 0
			return s[:3]
		}, []string{"stale 3"}},
		{"a signature that doesn't fit", func(_ *book, s []chain.Signed, trust *chain.Trust) []chain.Signed {
			bad := s[2].Token
			trust.Open = func(token string) ([]byte, string, error) {
				if token == bad {
					return nil, "", forged
				}
				return unsigned(token)
			}
			return s
		}, []string{"signature 3"}},
		{"exchanged by one that doesn't fit", func(_ *book, s []chain.Signed, _ *chain.Trust) []chain.Signed {
			s[2].Token = "{}"
			return s
		}, []string{"form 3", "link 4"}},
		{"another time", func(_ *book, s []chain.Signed, _ *chain.Trust) []chain.Signed {
			s[2] = edited(t, s[2], func(c *chain.Checkpoint) { c.Time = c.Time.Add(time.Millisecond) })
			return s
		}, []string{"link 4"}},
		{"another number", func(_ *book, s []chain.Signed, _ *chain.Trust) []chain.Signed {
			s[4] = edited(t, s[4], func(c *chain.Checkpoint) { c.Number++ })
			return s
		}, []string{"form 5"}},
		{"another hash", func(_ *book, s []chain.Signed, _ *chain.Trust) []chain.Signed {
			s[4] = edited(t, s[4], func(c *chain.Checkpoint) { c.Hash = strings.Repeat("0", 64) })
			return s
		}, []string{"hash 5"}},
		{"fewer events", func(_ *book, s []chain.Signed, _ *chain.Trust) []chain.Signed {
			s[4] = edited(t, s[4], func(c *chain.Checkpoint) { c.Leaves, c.Events = nil, c.Events-2 })
			return s
		}, []string{"added 5", "added 5"}},
		{"an hour without any", func(_ *book, s []chain.Signed, trust *chain.Trust) []chain.Signed {
			s[4] = edited(t, s[4], func(c *chain.Checkpoint) { c.Time = c.Time.Add(time.Hour) })
			trust.MaxGap, trust.Now = 0, trust.Now.Add(time.Hour)
			return s
		}, []string{"gap 5"}},
		{"a shorter retention", func(_ *book, s []chain.Signed, _ *chain.Trust) []chain.Signed {
			s[4] = edited(t, s[4], func(c *chain.Checkpoint) { c.RetentionMS-- })
			return s
		}, []string{"retention_shortened 5"}},
		{"another chain", func(_ *book, s []chain.Signed, _ *chain.Trust) []chain.Signed {
			s[4] = edited(t, s[4], func(c *chain.Checkpoint) { c.Chain, c.Cause = "chain-2", chain.CauseWentBack })
			return s
		}, []string{"new_chain 5", "hash 5"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := written(t)
			trust := chain.Trust{Open: unsigned, Now: k.now, MaxGap: 1000 * time.Hour}
			signed := tt.change(k, k.signed, &trust)
			head := k.head()
			events := k.events
			if strings.HasSuffix(tt.name, "were due") { // what they told of is forgotten, and one event of each of the others was taken away
				events, head.First = []chain.Entry{k.events[4], k.events[6], k.events[8]}, 7
			}
			w := chain.Judge(signed, trust).Walk(head)
			for _, e := range events {
				if err := w.Entry(e); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(tt.want, found(w.Report())); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestACopyKeptElsewhereCounts: where a copy and the stream differ, the copy is believed and the stream is named.
func TestACopyKeptElsewhereCounts(t *testing.T) {
	k, another := written(t), written(t)
	for i := range another.signed {
		another.signed[i] = edited(t, another.signed[i], func(c *chain.Checkpoint) { c.Time = c.Time.Add(time.Second) })
	}
	for _, tt := range []struct {
		name         string
		kept, stream []chain.Signed
		want         []string
		numbers      int
	}{
		{"the same", k.signed[:3], k.signed, nil, 5},
		{"nothing kept", nil, k.signed, nil, 5},
		{"older ones that have expired", k.signed, k.signed[2:], nil, 5},
		{"rewritten", k.signed[:3], another.signed, []string{"forked 1", "forked 2", "forked 3"}, 5},
		{"cut off", k.signed, k.signed[:3], []string{"checkpoints_missing 4", "checkpoints_missing 5"}, 5},
		{"one taken out", k.signed, slices.Concat(k.signed[:1], k.signed[2:]), []string{"checkpoints_missing 2"}, 5},
		{"gone altogether", k.signed, nil, []string{"checkpoints_missing 1", "checkpoints_missing 2", "checkpoints_missing 3", "checkpoints_missing 4", "checkpoints_missing 5"}, 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			merged, differ := chain.Merge(tt.kept, tt.stream)
			got := found(chain.Report{Findings: differ})
			if diff := cmp.Diff(slices.Concat([]string{}, tt.want), got); diff != "" && len(tt.want)+len(got) > 0 {
				t.Error(diff)
			}
			if len(merged) != tt.numbers {
				t.Errorf("%d checkpoints, want %d", len(merged), tt.numbers)
			}
			for i, s := range merged {
				if s.Number != uint64(i)+1 || i < len(tt.kept) && s != tt.kept[i] {
					t.Errorf("checkpoint %d is another one", i+1)
				}
			}
		})
	}
}

// TestTheLedgerItself: cut off behind its last event, made anew, and begun too late.
func TestTheLedgerItself(t *testing.T) {
	k := written(t)
	now := k.now.Add(time.Hour)
	cut := k.head()
	cut.Last = k.events[9].Position // its last beats are gone
	anew := chain.Head{Made: epoch.Add(time.Hour), First: 1, Last: 99}
	late := k.head()
	late.First = k.events[2].Position
	for _, tt := range []struct {
		name   string
		events []chain.Entry
		head   chain.Head
		want   chain.Finding
	}{
		{"cut off", k.events, cut, chain.Finding{Kind: chain.KindCut, Position: 15, Checkpoint: 5}},
		{"made anew", nil, anew, chain.Finding{Kind: chain.KindReplaced, Position: 1, Checkpoint: 5}},
		{"begins too late", k.events[2:], late, chain.Finding{Kind: chain.KindForgotten, Position: 1, Checkpoint: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, _ := verify(t, k.signed, tt.events, tt.head, now).FirstBad()
			got.Expected, got.Found = "", ""
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	if r := verify(t, k.signed, nil, anew, now); r.Elsewhere != 10 {
		t.Errorf("%d events of the old ledger, want 10", r.Elsewhere)
	}
	// When they were due, it isn't too late.
	if r := verify(t, k.signed, k.events[2:], late, k.now.Add(retention)); r.Broken != 0 || r.Forgotten != 2 || r.Events != 8 {
		t.Errorf("%+v", r)
	}
}

// TestAChainOverALedgerThatWasPutBack: the old chain names what isn't there any more, the new one holds.
func TestAChainOverALedgerThatWasPutBack(t *testing.T) {
	k := written(t)
	kept := k.events[:5] // up to position 7
	k.b, k.events, k.last = chain.Begin("chain-2", chain.CauseWentBack, epoch, 1), nil, 0
	for _, e := range kept {
		if err := k.b.Add(e); err != nil {
			t.Fatal(err)
		}
		k.last = e.Position
	}
	k.events = slices.Clone(kept)
	k.event(t)
	k.event(t)
	k.seal(t)
	r := verify(t, k.signed, k.events, k.head(), k.now)
	first, bad := r.FirstBad()
	if !bad || first.Kind != chain.KindNewChain {
		t.Errorf("%+v", first)
	}
	if r.Findings[1].Position != 8 || r.Findings[1].Kind != chain.KindChanged {
		t.Errorf("%+v", r.Findings)
	}
	trail := chain.Judge(k.signed, chain.Trust{Open: unsigned, Now: k.now, From: 6})
	w := trail.Walk(k.head())
	for _, e := range k.events {
		if err := w.Entry(e); err != nil {
			t.Fatal(err)
		}
	}
	if r := w.Report(); r.Broken != 0 || r.Events != 7 {
		t.Errorf("from the new chain on: %+v", r)
	}
}

// TestWhatIsNoCheckpoint is refused.
func TestWhatIsNoCheckpoint(t *testing.T) {
	good := written(t).signed[1]
	for name, change := range map[string]func(map[string]any){
		"another version":     func(m map[string]any) { m["v"] = 2 },
		"no number":           func(m map[string]any) { m["number"] = 0 },
		"backwards":           func(m map[string]any) { m["position"] = 1 },
		"no hash":             func(m map[string]any) { m["hash"] = "00" },
		"before its chain":    func(m map[string]any) { m["first"] = 100 },
		"a list cut off":      func(m map[string]any) { m["leaves"] = "AQ==" },
		"more than it counts": func(m map[string]any) { m["events"] = 1 },
		"events beyond it":    func(m map[string]any) { m["position"] = m["after"].(float64) + 1 },
		"an unknown member":   func(m map[string]any) { m["extra"] = 1 },
	} {
		var m map[string]any
		if err := json.Unmarshal([]byte(good.Token), &m); err != nil {
			t.Fatal(err)
		}
		change(m)
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := chain.Decode(b); !errors.Is(err, chain.ErrForm) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := chain.Decode([]byte(good.Token)); err != nil {
		t.Error(err)
	}
}
