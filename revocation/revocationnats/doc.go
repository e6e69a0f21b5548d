// Package revocationnats is the feed of a [revocation.Replica] over NATS JetStream.
//
//	nc, err := nats.Connect(url, revocationnats.Options("billing")...)
//	...
//	js, err := jetstream.New(nc)
//	...
//	replica, err := revocation.Open(ctx, revocation.Config{Feed: revocationnats.NewFeed(js, revocationnats.Config{})})
//
// # Order and delivery
//
// The feed reads the stream itself, beats included, with one ephemeral consumer and no acknowledgements. Its consumer belongs to one
// incarnation of the stream. Whatever breaks the order (a gap in the consumer's own count, a consumer or stream that is gone, a beat
// that doesn't come) ends the consumer, and the replica begins another after the last position that it applied.
//
// # A leader that was lost
//
// A cluster that loses the stream's leader takes some seconds to elect another. The feed asks for it again and again meanwhile, without giving
// the earlier requests up, and so hears within a fraction of a second of when there is one. Where nobody makes consumers yet, it asks the leader for
// message after message until somebody does.
//
// # A stream that was put back, purged, or that keeps less
//
// A stream that is restored from a backup, or loses its end in a power failure, keeps its identity and gives positions out anew. So the
// feed remembers when the last message that it delivered was stored, and asks the stream's leader whether it still lies there: whenever it
// begins to follow, and now and then. If another message does, the stream counts as another incarnation ([revocation.Head]'s Stream), and the replica
// reads it from the beginning, and isn't fresh until it has.
//
// The same happens to a stream that has lost the last event that was read, unless retention accounts for it: somebody has purged it. What retention
// has removed that a replica hadn't read is told by the head, and another retention ends the consumer, so that Begin learns of both.
//
// # Dating the proof
//
// A beat proves that everything stored before it has arrived. What matters is when it was stored, not when it was read: a process that
// was stopped for an hour finds beats in its socket that are an hour old. The stream's clock tells when a beat was stored; now and
// then the feed asks the stream's leader for its time, and so knows which reading of its own clock that was, at the earliest. No clocks
// need to agree.
//
// Beats alone are proof. What a leader answers about its stream's end isn't: one that has been cut off answers too. So a replica opens only
// where curfew serve with the role publisher, which writes the beats, runs against the same NATS.
//
// # Permissions
//
// The connection needs to read the stream's info, to create and delete consumers of it and pull from them, and to get messages
// ($JS.API.STREAM.MSG.GET). Without the right to the last, a replica can read the stream once, but not go on after the connection was lost: it
// couldn't know that the stream wasn't put back meanwhile.
//
// A [Presence] publishes to curfew.live.replica.reports and curfew.live.replica.applied, and subscribes to curfew.live.replica.await.
//
// To begin from a snapshot ([NewSnapshots]) it needs the same rights for the stream of the bucket, OBJ_CURFEW_SNAPSHOTS. Whoever saves one publishes to
// $O.CURFEW_SNAPSHOTS.> and purges ($JS.API.STREAM.PURGE); give that to nobody else: who can write a snapshot can take revocations out of it.
//
// # What it doesn't do
//
// It doesn't own the connection and never closes it. It doesn't create the stream and writes no beats: curfew serve does.
package revocationnats
