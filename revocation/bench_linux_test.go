package revocation

import "syscall"

// interruptions returns how often the scheduler has taken the calling thread off its processor.
func interruptions() int64 {
	const thread = 1 // RUSAGE_THREAD
	var u syscall.Rusage
	_ = syscall.Getrusage(thread, &u) // fails for no thread that asks about itself
	return int64(u.Nivcsw)
}
