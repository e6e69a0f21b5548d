package prefetch

import "testing"

func TestLineIsHarmless(t *testing.T) {
	x := uint64(1)
	Line(&x)
	Line(nil)
	if x != 1 {
		t.Errorf("x = %d", x)
	}
}
