// Package console serves the operators' web page and lets operators sign in to it.
//
// It lives below /console/ and belongs on the admin listener alone:
//
//	svc, err := console.New(ctx, console.Config{API: api, Keys: keys, Seal: secret.Derive("console"), …})
//	mux.Handle("/console/", svc.Handler())
//	defer svc.Close()
//
// # Who is let in
//
// Whoever has an API key with the scope operator or admin, and whom an OpenID provider vouches for, if one is configured. The browser gets a cookie that scripts
// can't read, sealed with a key of the deployment's: it names the API key, or the person at the provider, and holds neither the key's text nor a token. With each
// request the key is looked up again, and so is what the provider's claim gives, so that a revoked key, or a grant that was taken out of the configuration, ends
// the session at once. It ends as well after a while without input, after a day's work at the latest, and when it is signed out: then at every process, with
// all its copies. Somebody whom the provider no longer knows stays signed in until then: the provider isn't asked again.
//
// # What it can do
//
// What the API lets its key do, and nothing else: calls below /console/api/ go to the API's own handler in this process, with the operator in the context
// ([access.Store.Vouch]). Calls that concern keys, tickets and tabs' conns aren't passed on, so no key's text reaches the page.
//
// # What it refuses
//
// Requests that other origins cause, by net/http's CrossOriginProtection and SameSite=Strict; and of all that asks for a session those that a browser says come from
// elsewhere. The page loads nothing but its own files, and can't be framed (ADR 0052).
//
// The calls outside /console/api/ are between the page and this package, and change with both; programs use the API.
package console
