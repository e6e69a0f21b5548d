// Package latency measures one logout end to end on one machine: publish → acknowledged, → applied by a replica, → shown to a tab, next to a bare
// publish to JetStream with the same storage settings in the same run.
//
// The four kinds of measurement take turns within each round, so that what else the machine does falls on all alike. The clock starts when the
// publish begins. The figures hold for this machine, its disk and its load, and for one publisher at a time.
package latency
