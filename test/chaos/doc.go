// Package chaos breaks real processes in the ways in which processes and networks break, and holds the replica to its promises meanwhile:
// stale within its budget, revoked for good, fresh again after healing, and no acknowledged revocation missed. It holds tests only.
//
// SOAK is how long the soak test runs, as Go writes durations; 20 s if it isn't set.
package chaos
