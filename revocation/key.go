package revocation

import "github.com/curfewhq/curfew/events"

// key is a typed id within its tenant. The parts are compared one by one, so no concatenation can collide (trap 28 of
// docs/traps.md).
type key struct {
	tenant string
	kind   events.Kind
	id     string
}
