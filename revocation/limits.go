package revocation

import "time"

// MaxAge is the absolute age, from auth time, at which the replica holds every session for over: that of its Config, or the default.
func (r *Replica) MaxAge() time.Duration { return r.cfg.MaxAge }

// StalenessBudget is how old the replica lets its proof become: that of its Config, or the default.
func (r *Replica) StalenessBudget() time.Duration { return r.cfg.StalenessBudget }
