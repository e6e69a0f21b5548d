//go:build amd64 || arm64

package prefetch

// Line asks for the cache line that p lies in. p needn't be valid to read.
//
//go:noescape
func Line(p *uint64)
