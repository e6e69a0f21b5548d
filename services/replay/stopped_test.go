package replay_test

import (
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/curfewhq/curfew/internal/natstest"
)

// TestServerThatStopsCutsReadersOff: a server that stops ends the contexts of its requests. What hasn't been told whole by then must not look as if it had.
func TestServerThatStopsCutsReadersOff(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	f, nothing := d.follow(t, d.key, ""), d.follow(t, d.other, "")
	want := d.session(t, "PLANTED a", "")
	if got, err := f.next(); err != nil || got != want {
		t.Fatalf("got %d, %v, want %d", got, err, want)
	}
	d.api.Stop()
	for _, f := range []*follower{f, nothing} {
		if _, err := f.next(); err == nil || errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("the answer ended with %v, as if it were whole", err)
		}
	}
	for _, path := range []string{"", "?follow=true", "/stats", "/1"} {
		for _, accept := range []string{"", "application/x-ndjson"} {
			resp, err := d.api.Send(t.Context(), d.key, http.MethodGet, "/v1/revocations"+path, "", "Accept", accept)
			if err != nil {
				continue // cut off
			}
			if _ = resp.Body.Close(); resp.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("%q: a server that stops answers %d", path, resp.StatusCode)
			}
		}
	}
}
