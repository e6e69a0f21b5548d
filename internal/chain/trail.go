package chain

import (
	"fmt"
	"slices"
	"time"
)

// Signed is a checkpoint as it was found.
type Signed struct {
	// Number is where it lies in the stream of checkpoints.
	Number uint64 `json:"number"`
	// Token is what was signed, with its signature.
	Token string `json:"token"`
}

// Open returns what a token holds if a key that is trusted has signed it as Type, and the key's id.
type Open func(token string) (payload []byte, key string, err error)

// Trust says how checkpoints are judged.
type Trust struct {
	Open Open
	Now  time.Time
	// MaxGap is how far apart in time two checkpoints may be, and how old the last one. Zero means DefaultMaxGap.
	MaxGap time.Duration
	// From is the number of the first checkpoint that is looked at, and says that what was before is known. 0 looks at all, and at what is missing or was added in front of them.
	From uint64
	// Differ is what Merge has found.
	Differ []Finding
}

// Interval is how often a checkpoint is made, also where nothing has happened.
const Interval = time.Minute

// DefaultMaxGap is longer than a process needs to take another's place.
const DefaultMaxGap = 3 * Interval

// Trail is a row of checkpoints that have been held against each other.
type Trail struct {
	found findings
	good  []Checkpoint
	keys  []string
	now   time.Time
	// whole is whether what lies in front of the first checkpoint is judged.
	whole bool
}

// Merge puts a copy that was kept elsewhere in front of what the stream holds, by number, and tells where the two differ: then the copy counts. Both are in the order of their numbers. stream may go on
// behind the copy.
func Merge(kept, stream []Signed) (merged []Signed, differ []Finding) {
	there := make(map[uint64]string, len(stream))
	for _, s := range stream {
		there[s.Number] = s.Token
	}
	from, last := uint64(0), uint64(0)
	if len(stream) > 0 {
		from, last = stream[0].Number, stream[len(stream)-1].Number
	}
	for _, k := range kept {
		token, ok := there[k.Number]
		switch {
		case ok && token != k.Token:
			differ = append(differ, Finding{Kind: KindForked, Checkpoint: k.Number, Expected: TokenHash(k.Token), Found: TokenHash(token)})
		case !ok && (k.Number >= from || last == 0):
			differ = append(differ, Finding{Kind: KindMissing, Checkpoint: k.Number, Expected: TokenHash(k.Token), Found: "nothing in the stream"})
		}
	}
	merged = slices.Clone(kept)
	end := uint64(0)
	if len(kept) > 0 {
		end = kept[len(kept)-1].Number
	}
	for _, s := range stream {
		if s.Number > end || len(kept) > 0 && s.Number < kept[0].Number {
			merged = append(merged, s)
		}
	}
	slices.SortStableFunc(merged, func(a, b Signed) int { return int(int64(a.Number) - int64(b.Number)) })
	return merged, differ
}

// Judge holds checkpoints, in the order of their numbers, against each other and their signatures.
func Judge(signed []Signed, trust Trust) *Trail {
	if trust.MaxGap == 0 {
		trust.MaxGap = DefaultMaxGap
	}
	t := &Trail{now: trust.Now, whole: trust.From == 0}
	for _, f := range trust.Differ {
		t.found.add(f)
	}
	var before *Signed
	for _, s := range signed {
		if s.Number < trust.From {
			continue
		}
		if before != nil && s.Number != before.Number+1 {
			t.found.add(Finding{Kind: KindMissing, Checkpoint: before.Number + 1, Expected: fmt.Sprintf("number %d", before.Number+1), Found: fmt.Sprintf("number %d", s.Number)})
			before = nil
		}
		t.judge(s, before, trust)
		before = &s
	}
	t.judgeEnds(trust)
	return t
}

// judge takes one checkpoint. before is the one in front of it, good or bad, if it is there.
func (t *Trail) judge(s Signed, before *Signed, trust Trust) {
	payload, key, err := trust.Open(s.Token)
	if err != nil {
		t.found.add(Finding{Kind: KindSignature, Checkpoint: s.Number, Expected: "a signature by a trusted key", Found: err.Error()})
		return
	}
	c, err := Decode(payload)
	if err == nil && c.Number != s.Number {
		err = fmt.Errorf("it calls itself number %d", c.Number)
	}
	if err != nil {
		t.found.add(Finding{Kind: KindForm, Checkpoint: s.Number, Expected: "a checkpoint", Found: err.Error()})
		return
	}
	if before != nil && c.Previous != TokenHash(before.Token) {
		t.found.add(Finding{Kind: KindLink, Checkpoint: s.Number, Expected: c.Previous, Found: TokenHash(before.Token)})
	}
	if !slices.Contains(t.keys, key) {
		t.keys = append(t.keys, key)
	}
	if len(t.good) > 0 {
		t.follow(t.good[len(t.good)-1], c, trust)
	}
	t.good = append(t.good, c)
}

// follow holds a checkpoint against the last good one.
func (t *Trail) follow(last, c Checkpoint, trust Trust) {
	if c.Chain != last.Chain {
		t.found.add(Finding{Kind: KindNewChain, Position: c.First, Checkpoint: c.Number, Expected: "the chain " + last.Chain, Found: fmt.Sprintf("the chain %s, begun because: %s", c.Chain, c.Cause)})
	} else if c.Number == last.Number+1 && (c.After != last.Position || c.Events != last.Events+c.count()) || c.Position < last.Position || c.Events < last.Events ||
		!c.Ledger.Equal(last.Ledger) || c.First != last.First {
		t.found.add(Finding{Kind: KindForm, Checkpoint: c.Number, Expected: fmt.Sprintf("one that goes on from number %d at position %d", last.Number, last.Position), Found: fmt.Sprintf("one from %d to %d", c.After, c.Position)})
	}
	if gap := c.Time.Sub(last.Time); gap > trust.MaxGap {
		t.found.add(Finding{Kind: KindGap, Checkpoint: c.Number, From: last.Time, To: c.Time, Expected: "a checkpoint each " + Interval.String(), Found: "none for " + gap.Round(time.Second).String()})
	}
	if c.RetentionMS > 0 && (last.RetentionMS == 0 || c.RetentionMS < last.RetentionMS) {
		t.found.add(Finding{Kind: KindRetention, Checkpoint: c.Number, Expected: keeps(last.RetentionMS), Found: keeps(c.RetentionMS)})
	}
}

func keeps(ms int64) string {
	if ms == 0 {
		return "events are kept for ever"
	}
	return "events are kept for " + (time.Duration(ms) * time.Millisecond).String()
}

// judgeEnds looks at what should lie before the first checkpoint, and behind the last.
func (t *Trail) judgeEnds(trust Trust) {
	if len(t.good) == 0 {
		t.found.add(Finding{Kind: KindNone, Expected: "checkpoints", Found: "none that counts"})
		return
	}
	first, last := t.good[0], t.good[len(t.good)-1]
	// Checkpoints are kept for longer than the ledger keeps events.
	if young := first.RetentionMS == 0 || t.now.Sub(first.Time) < time.Duration(first.RetentionMS)*time.Millisecond; first.Number > max(1, trust.From) && young {
		t.found.add(Finding{Kind: KindMissing, Checkpoint: max(1, trust.From), Expected: "checkpoints before number " + fmt.Sprint(first.Number), Found: "none, though they aren't due to be forgotten"})
	}
	// The first one of all is made as soon as there is a ledger: without it, whoever takes all checkpoints away has the process sign what it finds.
	if gap := first.Time.Sub(first.Ledger); t.whole && first.Number == 1 && first.Cause == CauseFirst && gap > trust.MaxGap {
		t.found.add(Finding{Kind: KindGap, Checkpoint: first.Number, From: first.Ledger, To: first.Time, Expected: "the first checkpoint soon after the ledger was made", Found: "none for " + gap.Round(time.Second).String()})
	}
	if age := t.now.Sub(last.Time); age > trust.MaxGap {
		t.found.add(Finding{Kind: KindStale, Checkpoint: last.Number, From: last.Time, To: t.now, Expected: "a checkpoint each " + Interval.String(), Found: "none for " + age.Round(time.Second).String()})
	}
}

// Begin returns behind which position the ledger must be read to verify it: 0 unless Trust.From leaves something out, for what lies before the first chain was added. With it, what lies
// before the first checkpoint isn't judged.
func (t *Trail) Begin(made time.Time) uint64 {
	if t.whole {
		return 0
	}
	return t.told(made)
}

// told returns behind which position checkpoints tell of events.
func (t *Trail) told(made time.Time) uint64 {
	begin, found := uint64(0), false
	for _, c := range t.good {
		if c.Ledger.Equal(made) && (!found || c.After < begin) {
			begin, found = c.After, true
		}
	}
	return begin
}
