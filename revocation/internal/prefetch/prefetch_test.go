package prefetch

import (
	"testing"
	"unsafe"
)

func TestLineIsHarmless(t *testing.T) {
	x := uint64(1)
	Line(uintptr(unsafe.Pointer(&x)))
	Line(0)
	Line(^uintptr(0))
	if x != 1 {
		t.Errorf("x = %d", x)
	}
}
