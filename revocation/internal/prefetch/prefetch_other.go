//go:build !amd64 && !arm64

package prefetch

// Line asks for the cache line at an address, which needn't be one.
func Line(uintptr) {}
