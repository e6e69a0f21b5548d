// Package server puts Curfew's services together in one process: the bus, the replica, the API keys, and the services of the configured roles
// behind one listener.
//
// Start returns when the process is ready: the ledger is there, the replica is synced, and the listeners are bound. Stop takes it down in the
// opposite order: no new requests, conns drained, services ended, replica, bus. Everything that was acknowledged before is in the ledger.
package server
