package server

import (
	"strings"
	"testing"
	"time"

	"github.com/curfewhq/curfew/internal/bus"
)

func TestJudgeClock(t *testing.T) {
	const ms, skew = time.Millisecond, 5 * time.Second
	for _, tt := range []struct {
		clock        bus.Clock
		status, says string
	}{
		{bus.Clock{Ahead: 3 * ms, Margin: ms}, "ok", "0.003 s ahead of the ledger's, give or take 0.001 s"},
		{bus.Clock{Ahead: -3 * ms, Margin: ms}, "ok", "0.003 s behind the ledger's"},
		{bus.Clock{Ahead: skew}, "ok", ""},
		{bus.Clock{Ahead: skew + 400*ms, Margin: 500 * ms}, "ok", ""},
		{bus.Clock{Ahead: skew + 400*ms, Margin: 100 * ms}, "warn", "also end"},
		{bus.Clock{Ahead: -skew - ms}, "warn", "unless the registry"},
		{bus.Clock{Ahead: 5 * time.Minute}, "warn", "also end"},
		{bus.Clock{Ahead: 5*time.Minute + ms, Margin: 2 * ms}, "warn", "also end"},
		{bus.Clock{Ahead: 5*time.Minute + ms}, "fail", "no replica applies"},
		{bus.Clock{Ahead: -5 * time.Minute}, "warn", "unless the registry"},
		{bus.Clock{Ahead: -5*time.Minute - ms}, "fail", "undetermined here"},
	} {
		f := judgeClock(tt.clock, skew)
		if f.Status != tt.status || !strings.Contains(f.Detail+f.Hint, tt.says) || (f.Hint == "") != (tt.status == "ok") {
			t.Errorf("%+v: %+v, want %s and %q", tt.clock, f, tt.status, tt.says)
		}
	}
}
