package fingerprint

import "golang.org/x/sys/cpu"

// assembled reports whether chain and finish can be used.
func assembled() bool { return cpu.ARM64.HasAES }
