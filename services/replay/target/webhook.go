package target

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/curfewhq/curfew/events"
)

const (
	// atOnce is how many events are on their way to a receiver.
	atOnce = 8
	// attempts is how often an event is tried, with pauses of half a minute together, or of longer ones where the receiver asks for them.
	attempts = 8
	// longestPause bounds what is waited between two attempts, also where the receiver asks for more.
	longestPause = 30 * time.Second
)

// Secret returns what a webhook's events are signed with. It is made of the deployment's secret and the URL, and kept nowhere: each replay to a URL has the same, so that a receiver can be told before
// the first event comes; and whoever has one receiver's can sign for no other.
func (s *Set) Secret(url string) string {
	return "whsec_" + base64.StdEncoding.EncodeToString(s.secret(url))
}

func (s *Set) secret(url string) []byte {
	mac := hmac.New(sha256.New, s.cfg.WebhookKey)
	mac.Write([]byte(url))
	return mac.Sum(nil)
}

// webhook posts each event, signed per Standard Webhooks.
type webhook struct {
	client *http.Client
	url    string
	secret []byte
	// sending are the events that are on their way, and ctx ends when one of them can't be sent; both are nil while there are none.
	sending *errgroup.Group
	ctx     context.Context
}

func (s *Set) openWebhook(url string) Target {
	return &webhook{client: newClient(s.cfg.WebhookNetworks), url: url, secret: s.secret(url)}
}

func (w *webhook) Send(ctx context.Context, m Message) error {
	if w.sending == nil {
		w.sending, w.ctx = errgroup.WithContext(ctx)
		w.sending.SetLimit(atOnce)
	}
	if w.ctx.Err() != nil {
		return w.Flush(ctx)
	}
	sending := w.ctx
	w.sending.Go(func() error { return w.deliver(sending, m) })
	return nil
}

func (w *webhook) Flush(context.Context) error {
	if w.sending == nil {
		return nil
	}
	err := w.sending.Wait()
	w.sending, w.ctx = nil, nil
	return err
}

// deliver posts an event until the receiver takes it, or says that it never will, or there have been too many attempts.
func (w *webhook) deliver(ctx context.Context, m Message) error {
	pause := 250 * time.Millisecond
	for attempt := 1; ; attempt++ {
		asked, err := w.post(ctx, m)
		var never *refusal
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.As(err, &never) && never.final(), errors.Is(err, errNetwork):
			return final{fmt.Errorf("target webhook: %w at position %d: mend the receiver", err, m.Position)}
		case attempt == attempts:
			return final{fmt.Errorf("target webhook: position %d wasn't taken in %d attempts: %w", m.Position, attempts, err)}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(max(pause/2+rand.N(pause), min(asked, longestPause))):
		}
		pause = min(2*pause, longestPause)
	}
}

// refusal is an answer that isn't 2xx.
type refusal struct{ status int }

func (r *refusal) Error() string { return "the receiver answers " + strconv.Itoa(r.status) }

// final reports whether to ask again makes no sense. A receiver that is busy, starting or behind a broken proxy says something else.
func (r *refusal) final() bool {
	switch r.status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return r.status < 500
}

// post sends an event once. asked is how long the receiver wants to be left alone.
func (w *webhook) post(ctx context.Context, m Message) (asked time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(m.Data))
	if err != nil {
		return 0, errors.New("its URL can't be used")
	}
	at := strconv.FormatInt(time.Now().Unix(), 10)
	req.Header.Set("Content-Type", events.ContentType)
	req.Header.Set("User-Agent", "curfew")
	req.Header.Set("webhook-id", m.ID)
	req.Header.Set("webhook-timestamp", at)
	req.Header.Set("webhook-signature", "v1,"+signature(w.secret, m.ID, at, m.Data))
	resp, err := w.client.Do(req)
	if err != nil {
		// Its URL may hold a token; the cause behind it doesn't.
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return 0, err
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // lets the connection be used again
	_ = resp.Body.Close()
	if resp.StatusCode >= 200 && resp.StatusCode <= 299 {
		return 0, nil
	}
	seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		seconds = 0
	}
	return time.Duration(min(seconds, 3600)) * time.Second, &refusal{resp.StatusCode}
}

// signature is that of Standard Webhooks.
func signature(secret []byte, id, at string, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(id + "." + at + "."))
	mac.Write(body)
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func (w *webhook) Finish(context.Context) error { return nil }
func (w *webhook) Result() Result               { return Result{} }

func (w *webhook) Close() {
	if w.sending != nil {
		_ = w.sending.Wait() // its context has ended
	}
	w.client.CloseIdleConnections()
}
