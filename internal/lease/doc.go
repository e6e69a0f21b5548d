// Package lease elects one process of several, by a key in a JetStream bucket.
//
//	err := lease.Run(ctx, nc, kv, lease.Config{Key: "snapshots", Holder: "curfew@host"}, func(ctx context.Context) error {
//		// We alone are here, until ctx ends.
//	})
//
// # Promises
//
// One at a time: the context of the func ends before the func of another process is called, by a quarter of the TTL. That is how long the func has to
// come to its end, and how late a timer may fire.
//
// No clock has to be right, and none has to agree with another; they only have to run at about the same speed. The argument:
//
//  1. A holder counts from the moment before it sent its last write that was acknowledged, and gives up after ¾ of the TTL, on its own clocks: the larger
//     of what the monotonic one and the wall clock say, because the first stands still while a machine sleeps.
//  2. A contender counts from the moment after it first read that write, which is later, and waits for the whole TTL, by the monotonic clock.
//  3. It then writes only if the entry is still the one that it has read, and the server compares. So a holder that was faster keeps the lease, and a
//     contender that slept meanwhile finds another entry and counts anew.
//
// The server's clock and its expiry of entries play no part, so the bucket needs no TTL, no TTLs per key and no markers. An entry that isn't there may
// have been held before the bucket was made anew, so it is waited for like any other. Only a released one is taken at once.
//
// What the lease protects must bear a holder that is stopped in the middle of an act and goes on much later, before it can notice anything: no lease can
// prevent that. Snapshots do, because an entry is replaced only where it is the one that was seen at the start.
//
// # What it doesn't do
//
// It isn't fair, and it promises no liveness: while the bucket can't be reached, nobody holds the lease for longer than ¾ of the TTL.
package lease
