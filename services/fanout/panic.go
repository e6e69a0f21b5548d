package fanout

import (
	"fmt"
	"runtime/debug"

	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/telemetry"
)

// survive is deferred by what hears a conn: one that has panicked is given up.
func (c *conn) survive() {
	if c.svc.panicked(recover()) {
		c.fail(tab.CloseOverloaded)
	}
}

// panicked logs what recover has returned, if that is a panic. As with the HTTP server, one request or conn mustn't end them all.
func (s *Service) panicked(r any) bool {
	if r == nil {
		return false
	}
	s.cfg.Log.WithField(telemetry.FieldPanic, fmt.Sprint(r)).WithField(telemetry.FieldStack, string(debug.Stack())).Error("a conn has panicked: please report it")
	return true
}
