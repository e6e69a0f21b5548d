// Package sampleapp is the small application of curfew demo: people sign in, see their open tabs, and log out here, elsewhere or everywhere.
//
// It uses Curfew as any application does: the HTTP API with an API key of its own to publish and to get tickets, and package revocationhttp
// in front of its pages. Its sign-in asks for no password; it is a demonstration, and binds to loopback only.
package sampleapp
