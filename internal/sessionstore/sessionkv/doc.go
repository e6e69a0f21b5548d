// Package sessionkv is a [sessionstore.Store] over a JetStream bucket, the default: it needs nothing but NATS.
//
//	kv, err := b.KeyValue(ctx, bus.SessionsBucket())
//	store, err := sessionkv.Open(ctx, b.Conn(), kv, sessionkv.Config{Hasher: hasher, Due: due})
//	defer store.Close()
//
// Each process holds all sessions in memory, some 600 bytes each, and follows the bucket; so lists and touches ask nobody. Every write is compared by
// the server with what the writer has seen, so that two processes never undo each other's. Deployments with millions of sessions take Redis.
//
// A process whose connection is away answers [sessionstore.ErrUnavailable]: what it has in memory may be long out of date.
package sessionkv
