// Package accesstest gives tests a store of API keys over a real NATS server, and keys in it.
//
// It promises that a store follows its bucket as a server's does, also beyond an interruption of NATS, that it is closed before the test ends, and that a key is
// known to the store it was made in. Another store over the same bucket hears of the key a moment later.
//
//	keys := accesstest.Open(t, b)                                     // in the bucket of a bus
//	keys := accesstest.Apart(t)                                       // in a NATS of its own
//	key, text := accesstest.Key(t, keys, "acme", access.ScopeRead)    // text is what a caller sends
package accesstest
