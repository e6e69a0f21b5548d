// Package tabclient is a tab in Go: it speaks the tab protocol to a gateway, for measurements and tests. Browsers have a client of their own.
//
// A Conn is read by one goroutine and may be written to by another. It answers pings while it is read, and keeps heartbeats to itself.
package tabclient
