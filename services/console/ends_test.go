package console_test

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/services/console"
)

// stream opens one that has no end, and returns what is closed when it ends.
func (r *rig) stream(t *testing.T, cookie string) <-chan struct{} {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.URL+"/console/api/v1/revocations?follow=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Cookie", cookie)
	resp, err := r.client.Do(q)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%v %v", resp, err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}()
	return ended
}

func within(t *testing.T, what string, ended <-chan struct{}) {
	t.Helper()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatalf("%s: not within 10 s", what)
	}
}

// A session ends with its key, without anybody's waiting for it.
func TestRevokedKeyEndsTheSession(t *testing.T) {
	r := newRig(t, nil)
	key, text := r.key(t, "acme", access.ScopeAdmin, access.ScopeRead)
	session := r.signIn(t, text)
	if status := r.status(t, "/console/api/v1/replicas", session); status != http.StatusOK {
		t.Fatalf("before: %d", status)
	}
	if _, err := r.keys.Revoke(t.Context(), key.ID); err != nil {
		t.Fatal(err)
	}
	resp, body := r.call(t, http.MethodGet, "/console/api/v1/replicas", "", "Cookie", session)
	if resp.StatusCode != http.StatusUnauthorized || codeOf(t, body) != "not_signed_in" {
		t.Errorf("after: %d %s", resp.StatusCode, body)
	}
	if c := resp.Cookies(); len(c) != 1 || c[0].MaxAge >= 0 {
		t.Errorf("the cookie stays: %v", c)
	}
}

// Signing out ends copies of the cookie as well, streams that are open, and all of that at the deployment's other consoles.
func TestSignOut(t *testing.T) {
	r := newRig(t, nil)
	_, text := r.key(t, "acme", access.ScopeAdmin, access.ScopeRead)
	session, neighbour := r.signIn(t, text), r.signIn(t, text)
	_, other := serve(t, r.cfg)
	there := *r
	there.Server = other
	here, elsewhere, kept := r.stream(t, session), there.stream(t, session), r.stream(t, neighbour)
	resp, body := r.call(t, http.MethodDelete, "/console/session", "", "Cookie", session)
	if resp.StatusCode != http.StatusNoContent {
		t.Fatalf("got %d %s", resp.StatusCode, body)
	}
	if c := resp.Cookies(); len(c) != 1 || c[0].Name != cookieName || c[0].MaxAge >= 0 {
		t.Errorf("the cookie stays: %v", c)
	}
	within(t, "its stream here ends", here)
	within(t, "its stream elsewhere ends", elsewhere)
	if status := r.status(t, "/console/session", session); status != http.StatusUnauthorized {
		t.Errorf("a copy here: %d", status)
	}
	if status := there.status(t, "/console/session", session); status != http.StatusUnauthorized {
		t.Errorf("a copy elsewhere: %d", status)
	}
	// One that starts now knows as well.
	_, late := serve(t, r.cfg)
	there.Server = late
	if status := there.status(t, "/console/session", session); status != http.StatusUnauthorized {
		t.Errorf("a copy at a console that has just started: %d", status)
	}
	if status := r.status(t, "/console/session", neighbour); status != http.StatusOK {
		t.Errorf("another session of the same key: %d", status)
	}
	select {
	case <-kept:
		t.Error("another session's stream has ended")
	default:
	}
	r.svc.Close()
	within(t, "a stream ends when the process stops", kept)
}

// When others can't be told, whoever signs out is told so, and is signed out here.
func TestSignOutWithoutNATS(t *testing.T) {
	r := newRig(t, nil)
	_, text := r.key(t, "acme", access.ScopeAdmin)
	session := r.signIn(t, text)
	if err := r.bus.Close(); err != nil {
		t.Fatal(err)
	}
	resp, body := r.call(t, http.MethodDelete, "/console/session", "", "Cookie", session)
	if resp.StatusCode != http.StatusServiceUnavailable || codeOf(t, body) != "sign_out_unknown" || len(resp.Cookies()) != 1 {
		t.Errorf("got %d %s", resp.StatusCode, body)
	}
	if status := r.status(t, "/console/session", session); status != http.StatusUnauthorized {
		t.Errorf("afterwards: %d", status)
	}
}

// Only a touch keeps somebody signed in; what the page asks by itself doesn't, and a stream that was opened before ends.
func TestIdle(t *testing.T) {
	r := newRig(t, func(c *console.Config) { c.IdleTimeout = time.Second })
	_, text := r.key(t, "acme", access.ScopeAdmin, access.ScopeRead)
	session := r.signIn(t, text)
	stream := r.stream(t, session)
	began := time.Now()
	eventually(t, "somebody who only asks is signed out", func() bool {
		return r.status(t, "/console/api/v1/replicas", session) == http.StatusUnauthorized
	})
	if took := time.Since(began); took < 900*time.Millisecond {
		t.Errorf("after %v", took)
	}
	within(t, "its stream ends", stream)

	session, began = r.signIn(t, text), time.Now()
	eventually(t, "somebody who touches it for longer than that", func() bool {
		resp, body := r.call(t, http.MethodPost, "/console/session/touch", "{}", "Cookie", session)
		if resp.StatusCode != http.StatusNoContent {
			t.Fatalf("after %v: %d %s", time.Since(began), resp.StatusCode, body)
		}
		session = cookie(t, resp)
		return time.Since(began) > 1500*time.Millisecond
	})
}

// However often it is touched, it ends.
func TestLifetime(t *testing.T) {
	r := newRig(t, func(c *console.Config) { c.Lifetime, c.IdleTimeout = time.Second, time.Second })
	_, text := r.key(t, "acme", access.ScopeAdmin)
	session := r.signIn(t, text)
	eventually(t, "it is over", func() bool {
		resp, _ := r.call(t, http.MethodPost, "/console/session/touch", "{}", "Cookie", session)
		if resp.StatusCode == http.StatusNoContent {
			session = cookie(t, resp)
		}
		return resp.StatusCode == http.StatusUnauthorized
	})
}

func TestCloseIsIdempotentAndRefuses(t *testing.T) {
	r := newRig(t, nil)
	_, text := r.key(t, "acme", access.ScopeAdmin, access.ScopeRead)
	session := r.signIn(t, text)
	ended := r.stream(t, session)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.svc.Close()
		r.svc.Close()
	}()
	within(t, "close", done)
	within(t, "the stream", ended)
	resp, body := r.call(t, http.MethodGet, "/console/session", "", "Cookie", session)
	if resp.StatusCode != http.StatusServiceUnavailable || codeOf(t, body) != "draining" {
		t.Errorf("got %d %s", resp.StatusCode, body)
	}
}
