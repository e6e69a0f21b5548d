package receipts

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// fewNames is how many names a sentence has for each state.
const fewNames = 3

// Sentence says what the receipt does, as "applied by 12/12 replicas in 7 ms, slowest billing-7".
func (r Receipt) Sentence() string {
	var b strings.Builder
	fmt.Fprintf(&b, "applied by %d/%d replicas", r.Replicas.Applied, r.Replicas.Expected)
	if slowest, ok := r.Slowest(); ok && r.Replicas.Applied == r.Replicas.Expected {
		fmt.Fprintf(&b, " in %s ms, slowest %s", milliseconds(*slowest.AfterMS), slowest.Name)
	}
	r.list(&b, StateLate, "late: ", func(one Replica) string {
		return fmt.Sprintf("%s (at %d, last heard %s before)", one.Name, one.Position, before(one.Heard, r.Made))
	})
	r.list(&b, StateSkipped, "not believed, and never applied, for its cutoff lies too far ahead (set the publisher's clock, and revoke again): ", func(one Replica) string { return one.Name })
	r.list(&b, StateLeaseEnded, "not heard any more, and failing closed: ", func(one Replica) string {
		return fmt.Sprintf("%s (since %s)", one.Name, one.FailsClosedSince.UTC().Format("2006-01-02T15:04:05Z"))
	})
	if t := r.Tabs; t != nil {
		fmt.Fprintf(&b, "; shown to %d/%d tabs", t.SignedOut+t.Already+t.Ignored, t.Told)
		for _, more := range []struct {
			n    int
			what string
		}{{t.Gone, "left without an answer"}, {t.Waiting, "haven't answered"}} {
			if more.n > 0 {
				fmt.Fprintf(&b, ", %d %s", more.n, more.what)
			}
		}
		for _, g := range t.Gateways {
			switch g.State {
			case StateBehind:
				fmt.Fprintf(&b, "; gateway %s hasn't told its tabs yet", g.Name)
			case StateForgotten:
				fmt.Fprintf(&b, "; gateway %s doesn't know any more whom it has told", g.Name)
			case StateMissing:
				fmt.Fprintf(&b, "; gateway %s hasn't answered", g.Name)
			}
		}
	}
	if !r.Certain {
		b.WriteString("; who else there is isn't certain yet: whoever found this out hasn't listened for a whole lease")
	}
	return b.String()
}

// list writes the replicas of a state, if there are any.
func (r Receipt) list(b *strings.Builder, state State, head string, say func(Replica) string) {
	n := 0
	for _, one := range r.Replicas.Named {
		if one.State != state {
			continue
		}
		if n++; n > fewNames {
			continue
		}
		if n == 1 {
			b.WriteString("; " + head)
		} else {
			b.WriteString(", ")
		}
		b.WriteString(say(one))
	}
	if n > fewNames {
		fmt.Fprintf(b, " and %d more", n-fewNames)
	}
}

func milliseconds(ms float64) string {
	if ms < 10 {
		return fmt.Sprintf("%.1f", ms)
	}
	return fmt.Sprintf("%.0f", ms)
}

func before(t, than time.Time) time.Duration {
	return max(than.Sub(t), 0).Round(100 * time.Millisecond)
}

// Answer is a receipt as calls answer it.
type Answer struct {
	Receipt
	Sentence string `json:"sentence"`
	// Token is the signed form, where it is asked for.
	Token string `json:"token,omitempty"`
}

// AnswerOf returns the answer without a token.
func AnswerOf(r Receipt) Answer { return Answer{Receipt: r, Sentence: r.Sentence()} }

// briefNames is how many replicas a brief answer names.
const briefNames = 20

// Brief names few replicas: those first that haven't applied the event, and last the slowest. What is kept names all.
func (a Answer) Brief() Answer {
	named := a.Replicas.Named
	if len(named) <= briefNames {
		return a
	}
	few := append(slices.Clone(named[:briefNames-1]), named[len(named)-1])
	a.Replicas.More += len(named) - len(few)
	a.Replicas.Named = few
	return a
}
