// Package apiclient calls Curfew's HTTP API for the command line and the demo.
//
// It promises that an API key never shows up in an error, and that an error says what to do next: [*Error] for what the server refused, and
// ErrUnreachable for a server that isn't there.
package apiclient
