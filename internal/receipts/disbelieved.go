package receipts

import "slices"

// StateSkipped: a replica has read the event, and will never apply it, for its cutoff lies further ahead than a publisher's clock may be ([revocation.MaxCutoffAhead]).
const StateSkipped State = "skipped"

// Disbelieved returns the receipt of an event that no replica believes: who has got there hasn't applied it. r stays as it is.
func (r Receipt) Disbelieved() Receipt {
	r.Complete, r.Replicas.Applied = false, 0
	r.Replicas.Named = slices.Clone(r.Replicas.Named)
	for i := range r.Replicas.Named {
		if one := &r.Replicas.Named[i]; one.State == StateApplied {
			one.State, one.AfterMS = StateSkipped, nil
		}
	}
	return r
}
