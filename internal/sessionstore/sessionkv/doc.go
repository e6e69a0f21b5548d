// Package sessionkv is a [sessionstore.Store] over a JetStream bucket, the default: it needs nothing but NATS.
//
//	kv, err := b.KeyValue(ctx, bus.SessionsBucket())
//	store, err := sessionkv.Open(ctx, b.Conn(), kv, sessionkv.Config{Hasher: hasher, Due: due})
//	defer store.Close()
//
// Each process holds all sessions in memory, some 600 bytes each, and follows the bucket; so lists ask nobody. A session's entry is compared by the server with what its writer has
// seen, so that two processes never undo each other's. Touches don't change that entry: a batch of them is one message beside it, a sheet, and the order in which the bucket holds
// sheets and entries says what came first, to every process alike. A claim or a warning whose writer didn't know of a touch before it doesn't hold. Some minutes later the
// sessions' own entries tell of the touches, and the sheets expire.
//
// If all processes with the registry are away for longer than a sheet is kept (15 minutes), sessions may count as last touched up to seven minutes earlier than they were.
//
// A process whose connection is away answers [sessionstore.ErrUnavailable]: what it has in memory may be long out of date. Once it is back, it reads everything anew beside what it has, which
// takes twice the memory for a moment, and keeps nothing of before: the bucket may have been put back meanwhile. Deployments with millions of sessions take Redis.
package sessionkv
