package revocation

import "context"

// Watch watches a session, then checks it, and returns a context that ends once the session is over: when an event that ends it has been
// applied, which takes milliseconds at most, or within a second after it has reached max age. The context's cause is then an
// [*EndedError]. Where the session is over already the decision is Revoked, and the context has ended when Watch returns.
//
// That order leaves no gap: a revocation that is applied before the check is seen by it, and one that is applied after it finds the watch.
//
// d is the answer to s and q, as CheckWith gives it. What to do if it is Undetermined is for the caller to decide, who may also check
// again later; the watch goes on, and an event that comes still ends the context. Being stale doesn't end it, nor does Close: bound the
// life of what lives long.
//
// The watch lasts until the session is over, ctx ends or stop is called, whichever comes first; stop also ends the context, may be called any
// number of times, and takes the watch back at once. A caller that doesn't call it, with a ctx that doesn't end, leaks the watch. No goroutine
// runs for a watch, so there may be hundreds of thousands.
//
//	ctx, stop, d := replica.Watch(ctx, session, revocation.Require{})
//	defer stop()
//	if d.State != revocation.Active {
//		return refuse(d)
//	}
//	return serve(ctx)
func (r *Replica) Watch(ctx context.Context, s Session, q Require) (watched context.Context, stop context.CancelFunc, d Decision) {
	watched, cancel := context.WithCancelCause(ctx)
	e := r.watches.live.entry(s)
	e.Value.ended = func(d Decision) { cancel(&EndedError{d}) }
	// Before the watch is there, so that who finds it finds this too. If ctx ends meanwhile, there is nothing to remove yet, so:
	e.Value.unhook = context.AfterFunc(ctx, func() { r.watches.live.Remove(e) })
	r.watches.add(e, r.maxAgeOf(s))
	if ctx.Err() != nil {
		r.watches.live.Remove(e)
	}
	d = r.CheckWith(s, q)
	if d.State == Revoked {
		r.watches.leave(e)
		// Also if somebody else is about to end it, for it must have ended when we return.
		cancel(&EndedError{d})
	}
	return watched, func() {
		r.watches.leave(e)
		cancel(nil)
	}, d
}

// WatchFunc watches a session for what isn't a context, and calls ended once it is over: when an event that ends it has been applied, or
// within a second after it has reached max age. It doesn't check: the caller does, afterwards, for what was revoked before calls nothing.
//
//	stop := replica.WatchFunc(session, conn.end)
//	defer stop()
//	if d := replica.Check(session); d.State != revocation.Active {
//		return refuse(d)
//	}
//
// ended is called at most once, with a Revoked decision, from a goroutine of the replica that has others to end after it: it mustn't block,
// and mustn't close the replica. stop ends the watch and reports whether it was still there: if so, ended is never called; if not, it has been
// called, is running or is about to. Without stop the watch lasts until the session is over.
func (r *Replica) WatchFunc(s Session, ended func(Decision)) (stop func() bool) {
	if ended == nil {
		panic("revocation: WatchFunc: ended is nil")
	}
	e := r.watches.live.entry(s)
	e.Value.ended = ended
	r.watches.add(e, r.maxAgeOf(s))
	return func() bool { return r.watches.leave(e) }
}

// Watched returns the number of watches.
func (r *Replica) Watched() int { return r.watches.live.Len() }
