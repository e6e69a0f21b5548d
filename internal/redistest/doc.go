// Package redistest runs a real Redis for tests: Debian's redis-server, on loopback, keeping nothing.
package redistest
