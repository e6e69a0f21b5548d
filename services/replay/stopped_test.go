package replay_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/curfewhq/curfew/internal/natstest"
)

// TestServerThatStopsCutsReadersOff: a server that stops ends the contexts of its requests. What hasn't been told whole by then must not look as if it had.
func TestServerThatStopsCutsReadersOff(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	running, stop := context.WithCancel(t.Context())
	defer stop()
	srv := httptest.NewUnstartedServer(d.handler)
	srv.Config.BaseContext = func(net.Listener) context.Context { return running }
	srv.Start()
	defer srv.Close()
	d.url, d.client = srv.URL, srv.Client()
	f := d.follow(t, d.key, "")
	want := d.session(t, "PLANTED a", "")
	if got, err := f.next(); err != nil || got != want {
		t.Fatalf("got %d, %v, want %d", got, err, want)
	}
	stop()
	if _, err := f.next(); err == nil || errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the answer ended with %v, as if it were whole", err)
	}
	for _, path := range []string{"", "?follow=true", "/stats", "/1"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.url+"/v1/revocations"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+d.key)
		resp, err := d.client.Do(req)
		if err != nil {
			continue // cut off
		}
		if resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%q: a server that stops answers %d", path, resp.StatusCode)
		}
		_ = resp.Body.Close()
	}
}
