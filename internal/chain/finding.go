package chain

import (
	"cmp"
	"slices"
	"time"
)

// Kind is what was found.
type Kind string

// The kinds. The first ones tell of one position of the ledger.
const (
	// KindChanged: another event lies at the position than the one that was hashed.
	KindChanged Kind = "changed"
	// KindRemoved: an event that was hashed isn't there.
	KindRemoved Kind = "removed"
	// KindAdded: an event is there that wasn't when the ledger was hashed.
	KindAdded Kind = "added"
	// KindForgotten: the ledger begins behind events that it should still keep.
	KindForgotten Kind = "forgotten_early"
	// KindHash: no event tells by itself, but the running hash is another one.
	KindHash Kind = "hash"
	// KindCut: the ledger ends before a checkpoint.
	KindCut Kind = "ledger_cut"
	// KindReplaced: the ledger was made anew after the last checkpoint.
	KindReplaced Kind = "ledger_replaced"
	// KindNewChain: a chain ends and another begins.
	KindNewChain Kind = "new_chain"

	// KindSignature: a checkpoint isn't signed by a key that is trusted.
	KindSignature Kind = "signature"
	// KindForm: a checkpoint can't be read, or doesn't go on from the one before it.
	KindForm Kind = "form"
	// KindLink: a checkpoint names another one before it than the one that is there.
	KindLink Kind = "link"
	// KindMissing: checkpoints are missing.
	KindMissing Kind = "checkpoints_missing"
	// KindForked: the copy that was kept elsewhere has another checkpoint of the same number.
	KindForked Kind = "forked"
	// KindNone: there is no checkpoint that counts.
	KindNone Kind = "no_checkpoints"

	// KindGap: for some time no checkpoint was made.
	KindGap Kind = "gap"
	// KindStale: no checkpoint has been made for some time.
	KindStale Kind = "stale"
	// KindRetention: the ledger was told to keep events for a shorter time.
	KindRetention Kind = "retention_shortened"
)

// Finding is one thing that isn't as it should be.
type Finding struct {
	Kind Kind `json:"kind"`
	// Position is that of the ledger, and Until, where it isn't 0, the last one that is meant; 0 where no position is.
	Position uint64 `json:"position,omitempty"`
	Until    uint64 `json:"until,omitempty"`
	// Checkpoint is the number of the checkpoint that tells; 0 where none does.
	Checkpoint uint64 `json:"checkpoint,omitempty"`
	Expected   string `json:"expected,omitempty"`
	Found      string `json:"found,omitempty"`
	// From and To are when, for gaps.
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
}

// Doubt reports whether a finding only means that something can't be known: nothing contradicts a checkpoint.
func (f Finding) Doubt() bool {
	return f.Kind == KindGap || f.Kind == KindStale || f.Kind == KindRetention
}

// maxFindings bounds those of a kind that are kept. The others are counted.
const maxFindings = 100

// findings keeps the first of each kind.
type findings struct {
	kept           []Finding
	kinds          map[Kind]int
	broken, doubts uint64
}

func (l *findings) add(f Finding) {
	if f.Doubt() {
		l.doubts++
	} else {
		l.broken++
	}
	if l.kinds == nil {
		l.kinds = map[Kind]int{}
	}
	if l.kinds[f.Kind]++; l.kinds[f.Kind] <= maxFindings {
		l.kept = append(l.kept, f)
	}
}

// Report is the outcome of a verification.
type Report struct {
	// Broken counts findings that contradict a checkpoint, Doubts those that say that something can't be known. Findings are the first of both, by position.
	Broken   uint64    `json:"broken"`
	Doubts   uint64    `json:"doubts"`
	Findings []Finding `json:"findings"`
	// Checkpoints counts those that count, and First and Last are the numbers of the first and the last.
	Checkpoints uint64 `json:"checkpoints"`
	First       uint64 `json:"first_checkpoint,omitempty"`
	Last        uint64 `json:"last_checkpoint,omitempty"`
	// LastTime is when the last one was made. Keys are the ids of the keys that have signed them.
	LastTime time.Time `json:"last_checkpoint_time,omitzero"`
	Keys     []string  `json:"keys"`
	// Events counts those that are in the ledger as they were hashed; Forgotten those that retention has removed since; Unsigned those behind the last checkpoint; Elsewhere those of
	// ledgers that aren't there any more.
	Events    uint64 `json:"events"`
	Forgotten uint64 `json:"forgotten"`
	Unsigned  uint64 `json:"unsigned"`
	Elsewhere uint64 `json:"elsewhere"`
	// Position is up to where checkpoints go.
	Position uint64 `json:"position"`
}

// FirstBad returns the finding at the lowest position of the ledger that contradicts a checkpoint.
func (r Report) FirstBad() (Finding, bool) {
	i := slices.IndexFunc(r.Findings, func(f Finding) bool { return !f.Doubt() && f.Position > 0 })
	if i < 0 {
		return Finding{}, false
	}
	return r.Findings[i], true
}

func (l *findings) sorted() []Finding {
	out := slices.Clone(l.kept)
	slices.SortStableFunc(out, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Position, b.Position), cmp.Compare(a.Checkpoint, b.Checkpoint))
	})
	if out == nil {
		out = []Finding{}
	}
	return out
}
