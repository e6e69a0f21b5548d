// Package prefetch asks the memory for a cache line without waiting for it. A load does that too, but what follows a load that misses all caches
// runs only as far as the processor can look ahead, about 250 instructions; what follows a prefetch runs on.
//
// It is a hint and changes nothing. Where there is no instruction for it that we know, it does nothing.
package prefetch
