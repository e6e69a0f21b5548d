// Package redisstore is everything of Curfew's that speaks to Redis, and so the one place that knows which client does. Today that is a
// [sessionstore.Store] for deployments with more sessions than the memory of each process shall hold, and the streams that replays
// are sent to.
//
//	store, err := redisstore.Open(redisstore.Config{URL: "redis://127.0.0.1:6379/0", Hasher: hasher})
//	defer store.Close()
//
// # What lies in Redis
//
//	curfew:session:<name>   a session: its state and last touch in the first 14 bytes, which a touch overwrites, and the rest as JSON; expires by itself
//	curfew:user:<name>      sorted set: the user's session ids, those that go on after those that have ended, by when they were created; expires with the last of them
//	curfew:due              sorted set: which session is due when
//	curfew:replay:<replay>  stream: the events of a replay under their positions, as fields id and event; expires 7 days after the last was added
//
// Names are keyed hashes. Steps that must not be torn apart are scripts. They name keys of several slots, so Redis Cluster doesn't take them: use one primary, with replicas
// as you like. A failover may lose what the old primary had acknowledged last; revocations aren't kept here and can't be lost here.
package redisstore
