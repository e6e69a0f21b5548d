// Package integration holds the tests of all services together: several processes' worth of them over one NATS, driven over HTTP and WebSocket,
// and held to a model that knows nothing of how they work.
package integration
