// Package revocation is the replica of all live revocations that a service holds in its own memory, and the question that it
// answers for each request: is this session over?
//
//	replica, err := revocation.Open(ctx, revocation.Config{Feed: feed}) // blocks until synced and fresh
//	if err != nil {
//		return err
//	}
//	defer replica.Close()
//
//	switch d := replica.Check(session); d.State {
//	case revocation.Active: // fresh, and nothing ends it
//	case revocation.Revoked: // some revocation ends it, or it is past max age: 401
//	case revocation.Undetermined: // we can't know: 503 if d.MayMend(), and 401 if the token lacks something
//	}
//
// # Promises
//
// Bounded: a replica that calls itself fresh doesn't answer Active for a session that was revoked longer ago than its
// staleness budget. Formally: let p be the latest moment, on this process's clocks, at which the replica had proof that it had
// applied everything acknowledged before p. Check answers Active only if now − p ≤ budget. Less formally: no news is not good
// news. The proof is a beat that travels through the stream itself, dated by when it was stored and not by when it was read. Nothing else
// is proof: not an event, and not that the end of the stream has been reached, for a leader that has been cut off shows an old end. So a
// restart proves nothing either: where nobody writes beats, Open doesn't return, and says so with [ErrNoBeat].
//
// Monotone: the state is a join. Events may come in any order, any number of times, interleaved in any way, and the state is the
// same; applying one more never un-revokes anything. There is no un-revoke.
//
// Kept: a revocation is forgotten only when no session that it ends can still be within max age. The dates that its caller told of the
// session are believed only where they keep it longer; but for a session's own end that is still ahead, which is believed and must be the
// absolute end. Config.MaxAge says more.
//
// No false logouts: ids are compared, together with their tenant and kind, by fingerprints of 128 bits under a key that only the deployment knows, so
// that not even a user who may choose an id can make it pass for another's. Nothing that may be wrong by chance answers Revoked.
//
// # What is under way
//
// A check is a moment; a stream lives for hours. [Replica.Watch] gives it a context that ends with its session, within milliseconds of the
// event, at the cost of the watches that an event affects and not of all that there are. [Replica.WatchFunc] does so for what isn't a context.
// Middleware and interceptors (revocationhttp, revocationgrpc) are made of them.
//
//	ctx, stop, d := replica.Watch(ctx, session, revocation.Require{}) // registers, then checks
//	defer stop()
//	if d.State != revocation.Active {
//		return refuse(d)
//	}
//	return serve(ctx) // context.Cause(ctx) is an *EndedError once the session is over
//
// Nobody falls between: formally, if an event that ends a session is applied, then every Watch of that session that began before either
// returned Revoked or has its context ended; and every Watch that begins later returns Revoked. Where few are affected, the goroutine that
// applied the event ends them before it goes on; a mass logout is left to another goroutine, so that the events after it don't wait.
//
// # What it doesn't do
//
// It verifies no token: the caller says which session it is, from claims that it has verified. It doesn't block anybody: a revocation
// is a cutoff, and a login after it works at once. It logs nothing; [Hooks] tell.
//
// # What it costs
//
// Ten million revocations take about 245 MB, of which the garbage collector looks at nothing. Check doesn't lock, block or allocate, and takes as
// long as one and a half waits for the memory: three where it must look for cutoffs of all parts. Writers never hold readers up. docs/benchmarks/replica.md has the figures.
//
// # Snapshots
//
// With Config.SnapshotFile, or Config.Snapshots, a replica begins from a snapshot and reads only what came after. One that isn't this stream's, or
// not of this state of it, is refused, and the stream is read whole: see [Snapshots] and [Replica.Save].
//
// # Feeds
//
// A [Feed] brings the events in. Package revocationnats follows the stream in NATS JetStream; package revocationtest has a fake
// one for tests, and the conformance suite that every feed passes.
package revocation
