// Package apptest serves a service's calls to tests, over a real listener and as the API's listener does.
//
// It promises that a server and the conns to it are gone before the test ends, and that the requests that are under way then are told to end. It doesn't promise what the
// process adds around all services, such as timeouts and TLS: that is internal/app's.
//
//	api := apptest.Serve(t, svc.Routes)
//	resp, body := api.Call(t, key, http.MethodGet, "/v1/revocations", "")
package apptest
