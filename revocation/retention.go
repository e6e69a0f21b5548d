package revocation

import (
	"fmt"
	"time"
)

// keepsEnough returns ErrRetention if the stream forgets events while the replica needs them. known is whether the replica is synced with
// the stream and has missed nothing of it: then it holds what the stream may have forgotten, hears what is new as before, and must not refuse
// everybody because of somebody's edit. Whoever begins anew, in this process or another, couldn't know what is gone already. So a stream that
// forgets too early is told to the hook in any case, once until it keeps enough again.
//
//  1. an operator shortens the stream's retention to an hour; 2. revocations older than that are removed; 3. this replica still refuses their
//     sessions; 4. it restarts, and would call them active.
//
// What is removed doesn't come back when retention is lengthened again. Head.WholeSince tells, and makes such sessions pass max age.
func (r *Replica) keepsEnough(have time.Duration, known bool) error {
	need := r.cfg.MaxAge + r.cfg.Leeway
	short := have > 0 && have < need
	if was := r.retentionShort.Swap(short); short && !was && r.cfg.Hooks.RetentionShort != nil {
		r.cfg.Hooks.RetentionShort(have, need)
	}
	if !short || known {
		return nil
	}
	return fmt.Errorf("%w: the stream keeps events for %v, but max age is %v and leeway %v: lengthen the stream's retention to %v or shorten max age; "+
		"if it is lengthened, sessions that began before what is still there must sign in again", ErrRetention, have, r.cfg.MaxAge, r.cfg.Leeway, need)
}
