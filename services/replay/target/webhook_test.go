package target_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/app"
	"github.com/curfewhq/curfew/services/replay/target"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const replayID = "01a222ce-f410-77d9-af45-200a1753b54d"

// message is an event of a replay.
func message(t testing.TB, position uint64) target.Message {
	t.Helper()
	id, err := events.NewID()
	if err != nil {
		t.Fatal(err)
	}
	m, err := target.Mark(&events.SessionRevoked{
		Common:  events.Common{ID: id, Time: events.Floor(time.Now()), Source: "test", Tenant: "acme", Reason: events.ReasonAdmin, Initiator: events.Initiator{Type: events.InitiatorAdmin}},
		Session: fmt.Sprint("s-", position),
	}, replayID, position, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// receiver is a webhook that answers with handle.
func receiver(t *testing.T, networks []netip.Prefix, handle http.HandlerFunc) (*target.Set, target.Target, string) {
	t.Helper()
	srv := httptest.NewServer(handle)
	t.Cleanup(srv.Close)
	set := target.NewSet(target.Config{WebhookKey: []byte("0123456789abcdef0123456789abcdef"), WebhookNetworks: networks})
	hook, err := set.Open(t.Context(), replayID, target.Spec{Kind: target.KindWebhook, URL: srv.URL + "/hook"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hook.Close)
	return set, hook, srv.URL + "/hook"
}

// verify checks a request as Standard Webhooks tell receivers to.
func verify(secret string, r *http.Request) (id string, err error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return "", err
	}
	id = r.Header.Get("webhook-id")
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, r.Header.Get("webhook-timestamp"), body)
	if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); r.Header.Get("webhook-signature") != want {
		return "", errors.New("forged")
	}
	e, err := events.Decode(body)
	if err != nil || e.Meta().Replay != replayID || id != replayID+"/acme/"+e.Meta().ID || r.Header.Get("Content-Type") != "application/cloudevents+json" {
		return "", fmt.Errorf("not an event of the replay: %v %w", e, err)
	}
	return id, nil
}

// TestWebhook: each event arrives, signed; a receiver that is busy for a while, or breaks connections, gets it again under the same id.
func TestWebhook(t *testing.T) {
	var mu sync.Mutex
	tries, arrived := map[string]int{}, map[string]bool{}
	var secret atomic.Value
	set, hook, url := receiver(t, loopback, func(w http.ResponseWriter, r *http.Request) {
		id, err := verify(secret.Load().(string), r)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		tries[id]++
		switch n := len(tries); {
		case tries[id] > 1 || n > 4:
			arrived[id] = true
			w.WriteHeader(http.StatusNoContent)
		case n == 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		case n == 2:
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		case n == 3:
			w.WriteHeader(http.StatusRequestTimeout)
		default:
			app.CutOff()
		}
	})
	secret.Store(set.Secret(url))
	for i := range uint64(40) {
		if err := hook.Send(t.Context(), message(t, i+1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := hook.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(arrived) != 40 {
		t.Errorf("%d have arrived", len(arrived))
	}
}

// TestWebhookThatRefuses: what the receiver won't take ends it at once, and a redirect is followed nowhere.
func TestWebhookThatRefuses(t *testing.T) {
	for _, status := range []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusGone, http.StatusFound, http.StatusPermanentRedirect} {
		var asked atomic.Int32
		_, hook, _ := receiver(t, loopback, func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
		})
		if err := hook.Send(t.Context(), message(t, 7)); err != nil {
			t.Fatal(err)
		}
		err := hook.Flush(t.Context())
		if !errors.Is(err, target.ErrFinal) || !strings.Contains(err.Error(), fmt.Sprint("answers ", status, " at position 7")) || asked.Load() != 1 {
			t.Errorf("%d: %v, asked %d times", status, err, asked.Load())
		}
		if err := hook.Flush(t.Context()); err != nil {
			t.Errorf("nothing is left: %v", err)
		}
	}
}

// TestWebhookNetworks: where a name leads to counts when it is dialled, so that no name leads inside (CWE-918).
func TestWebhookNetworks(t *testing.T) {
	var asked atomic.Int32
	_, hook, _ := receiver(t, nil, func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	if err := hook.Send(t.Context(), message(t, 1)); err != nil {
		t.Fatal(err)
	}
	if err := hook.Flush(t.Context()); !errors.Is(err, target.ErrFinal) || !strings.Contains(err.Error(), "isn't a public one") || asked.Load() != 0 {
		t.Errorf("%v, asked %d times", err, asked.Load())
	}
	set := target.NewSet(target.Config{WebhookNetworks: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("::1/128")}})
	for host, want := range map[string]bool{
		"93.184.216.34": true, "[2606:2800:220:1::1]": true, "10.1.2.3": true, "receiver.example.com": true,
		"10.2.0.1": false, "172.16.0.1": false, "192.168.1.1": false, "169.254.169.254": false, "[fe80::1]": false, "[fd00:ec2::254]": false, "127.0.0.1": false, "0.0.0.0": false, "100.64.1.1": false,
		"[::ffff:192.168.1.1]": false, "[64:ff9b::a00:1]": false, "[2002:a00:1::]": false, "[::ffff:0:a9fe:a9fe]": false, "192.88.99.1": false, "[3fff::1]": false, "[5f00::1]": false, "[2001:2::1]": false, "224.0.0.1": false, "255.255.255.255": false, "[::]": false, "[::1]": true,
	} {
		if fault := set.Fault(target.Spec{Kind: target.KindWebhook, URL: "https://" + host + "/x"}); (fault == nil) != want {
			t.Errorf("%s: %v", host, fault)
		}
	}
}

// TestWebhookCancelled: a receiver that says nothing holds nobody up.
func TestWebhookCancelled(t *testing.T) {
	hangs := make(chan struct{}, 64)
	over := make(chan struct{})
	_, hook, _ := receiver(t, loopback, func(http.ResponseWriter, *http.Request) { hangs <- struct{}{}; <-over })
	t.Cleanup(func() { close(over) })
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-hangs; cancel() }()
	var err error
	began := time.Now()
	for i := uint64(1); err == nil && i < 100; i++ {
		err = hook.Send(ctx, message(t, i))
	}
	if err == nil {
		err = hook.Flush(ctx)
	}
	if !errors.Is(err, context.Canceled) || time.Since(began) > 5*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
}
