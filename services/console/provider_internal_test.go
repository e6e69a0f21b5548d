package console

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// hungProvider takes requests and answers none until release.
type hungProvider struct {
	*httptest.Server
	// came has a token for each request.
	came    chan struct{}
	asked   atomic.Int64
	release func()
}

func newHungProvider(t *testing.T) *hungProvider {
	t.Helper()
	released := make(chan struct{})
	h := &hungProvider{came: make(chan struct{}, 1024), release: sync.OnceFunc(func() { close(released) })}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.asked.Add(1)
		h.came <- struct{}{}
		select {
		case <-released:
		case <-r.Context().Done():
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"issuer":"` + h.URL + `","authorization_endpoint":"` + h.URL + `/authorize","token_endpoint":"` + h.URL + `/token","jwks_uri":"` + h.URL + `/keys"}`))
	}))
	t.Cleanup(h.Close)
	t.Cleanup(h.release)
	return h
}

func (h *hungProvider) provider(t *testing.T, patience time.Duration) *provider {
	t.Helper()
	p := newProvider(OIDC{Issuer: h.URL, ClientID: "c"})
	p.patience = patience
	t.Cleanup(p.client.CloseIdleConnections)
	t.Cleanup(p.close)
	return p
}

// All who want to sign in at a provider that hangs wait for one reading, and not one after the other; who comes just afterwards doesn't wait at all, and once it answers again it is read.
func TestProviderHangs(t *testing.T) {
	h := newHungProvider(t)
	const patience = 500 * time.Millisecond
	p := h.provider(t, patience)
	began := time.Now()
	var waiting sync.WaitGroup
	for range 8 {
		waiting.Go(func() {
			if _, err := p.authorize(t.Context(), flow{}); !errors.Is(err, errProvider) {
				t.Errorf("got %v", err)
			}
		})
	}
	waiting.Wait()
	if took := time.Since(began); took < patience || took > 3*patience {
		t.Errorf("8 at once waited %v; each by itself %v", took, patience)
	}
	for range 100 {
		if _, err := p.authorize(t.Context(), flow{}); !errors.Is(err, errProvider) {
			t.Fatalf("got %v", err)
		}
	}
	if n := h.asked.Load(); n != 1 {
		t.Errorf("the provider was asked %d times", n)
	}
	h.release()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); ; <-tick.C {
		_, err := p.authorize(t.Context(), flow{})
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("it is back, and isn't read: %v", err)
		}
	}
	if n := h.asked.Load(); n != 2 {
		t.Errorf("the provider was asked %d times, and the failure stands for %v", n, askProviderAgain)
	}
}

// Who goes away waits no longer, and takes the reading from nobody who stays.
func TestProviderOutlivesWhoAsked(t *testing.T) {
	h := newHungProvider(t)
	p := h.provider(t, time.Minute)
	leaving, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() { _, err := p.discover(leaving); left <- err }()
	<-h.came
	type told struct {
		found *oidc.Provider
		err   error
	}
	stays := make(chan told, 1)
	go func() {
		found, err := p.discover(t.Context())
		stays <- told{found, err}
	}()
	leave()
	if err := <-left; !errors.Is(err, errProvider) || !errors.Is(err, context.Canceled) {
		t.Errorf("who left: %v", err)
	}
	h.release()
	if got := <-stays; got.err != nil || got.found == nil {
		t.Errorf("who stayed: %v", got.err)
	}
	if n := h.asked.Load(); n != 1 {
		t.Errorf("the provider was asked %d times", n)
	}
}

// Closing ends a reading that is under way, and who comes afterwards asks nobody.
func TestProviderClosed(t *testing.T) {
	h := newHungProvider(t)
	p := h.provider(t, time.Minute)
	asks := make(chan error, 1)
	go func() { _, err := p.discover(t.Context()); asks <- err }()
	<-h.came
	p.close()
	if err := <-asks; !errors.Is(err, errProvider) {
		t.Errorf("got %v", err)
	}
	if _, err := p.discover(t.Context()); !errors.Is(err, errProvider) || h.asked.Load() != 1 {
		t.Errorf("after the end: %v, asked %d times", err, h.asked.Load())
	}
}
