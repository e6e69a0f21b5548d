// Package backend is a service as many have one behind a web application: the application's server speaks for its signed-in user, and the service believes who that is.
//
// What such services often do is to believe a header, X-User-ID, of whoever reaches them. Here it is worth something only beside a token that the application's server has signed, for a minute, for this very
// user and session; a header without it, or that differs from it, is refused. The session goes along, so that the service can refuse it once it is over: from its own
// memory, whatever the application believes.
//
//	GET  /api/notes      the user's notes
//	POST /api/notes      one more
//	GET  /chat           a WebSocket, opened with a token of its own, good once; it is cut when its session ends
//	GET  /healthz        whether the replica is fresh
package backend
