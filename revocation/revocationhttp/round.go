package revocationhttp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	strictjson "github.com/go-jose/go-jose/v4/json"
)

// full reports whether there is no room for a touch of a session that doesn't wait. A lane that can't be sent takes no more than it leaves. mu is held.
func (t *Touches) full(l *lane) bool {
	room := t.cfg.MaxSessions - t.held
	return room <= 0 || l.failures > 0 && len(l.waiting)+l.flying >= room
}

// crowded reports whether there is so little room that the oldest are sent early. mu is held.
func (t *Touches) crowded() bool { return t.held >= t.cfg.MaxSessions-t.cfg.MaxSessions/4 }

// look has the goroutine that sends look again.
func (t *Touches) look() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// run sends what is due, a round at a time, until Touches is closed; then it sends what is left.
func (t *Touches) run() {
	defer close(t.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		t.mu.Lock()
		round := t.round(time.Now())
		next := t.next()
		t.mu.Unlock()
		if len(round) > 0 {
			t.send(round)
			continue
		}
		if next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(next))
		}
		select {
		case <-t.wake:
		case <-timer.C:
		case <-t.closing:
			t.sendRest()
			return
		}
	}
}

// next returns when the next lane is due; zero if none is. mu is held.
func (t *Touches) next() (next time.Time) {
	for _, l := range t.lanes {
		if !l.due.IsZero() && (next.IsZero() || l.due.Before(next)) {
			next = l.due
		}
	}
	return next
}

// round takes out what is to be sent now: all of the lanes that are due; or, if it is crowded, the oldest of those that have many, for few would make no room.
// mu is held.
func (t *Touches) round(now time.Time) (round []batch) {
	for _, l := range t.lanes {
		if !l.due.IsZero() && !now.Before(l.due) {
			round = append(round, l.takeAll()...)
		}
	}
	if len(round) > 0 || !t.crowded() {
		return round
	}
	for _, l := range t.lanes {
		if l.failures == 0 && len(l.waiting) >= min(maxBatch, t.cfg.MaxSessions/8+1) {
			round = append(round, l.take())
			if len(l.waiting) == 0 {
				l.due = time.Time{}
			}
		}
	}
	return round
}

// takeAll takes out all that waits.
func (l *lane) takeAll() (all []batch) {
	l.due = time.Time{}
	for len(l.waiting) > 0 {
		all = append(all, l.take())
	}
	return all
}

// sendRest sends what is left, once, and gives up what can't be sent.
func (t *Touches) sendRest() {
	t.mu.Lock()
	var round []batch
	for _, l := range t.lanes {
		round = append(round, l.takeAll()...)
	}
	t.mu.Unlock()
	t.send(round)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lost = t.held
	t.stats.Dropped += uint64(t.held)
	t.held = 0
}

// send sends batches, some at once, and returns when each has an outcome. Once one of a lane has failed, its others aren't tried in this round.
func (t *Touches) send(round []batch) {
	var mu sync.Mutex
	outcomes := map[*lane]outcome{}
	next := make(chan batch)
	var senders sync.WaitGroup
	for range min(len(round), t.cfg.MaxConcurrent) {
		senders.Go(func() {
			for b := range next {
				mu.Lock()
				failed := outcomes[b.lane].failed
				mu.Unlock()
				if failed {
					t.land(b, results{}, errSkipped)
					continue
				}
				got, after, err := t.post(b)
				t.land(b, got, err)
				if err == nil || errors.Is(err, ErrTouchesRejected) {
					continue
				}
				mu.Lock()
				outcomes[b.lane] = outcome{true, max(after, outcomes[b.lane].after)}
				mu.Unlock()
			}
		})
	}
	for _, b := range round {
		next <- b
	}
	close(next)
	senders.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	settled := map[*lane]bool{}
	for _, b := range round {
		if !settled[b.lane] {
			settled[b.lane] = true
			b.lane.settle(outcomes[b.lane], now)
		}
	}
}

// errSkipped is of batches that weren't sent because another of their lane has failed.
var errSkipped = errors.New("not sent")

// land notes what became of a batch.
func (t *Touches) land(b batch, got results, err error) {
	if err != nil && !errors.Is(err, errSkipped) && t.cfg.OnError != nil {
		t.cfg.OnError(b.lane.tenant, len(b.touches), err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case err == nil:
		t.stats.Touched += got.touched
		t.stats.Ended += got.ended
		t.stats.Unknown += got.unknown
	case errors.Is(err, ErrTouchesRejected):
		t.stats.Failures++
		t.stats.Dropped += uint64(len(b.touches))
	default:
		if !errors.Is(err, errSkipped) {
			t.stats.Failures++
		}
		t.held -= b.lane.putBack(b)
		return
	}
	b.lane.flying -= len(b.touches)
	t.held -= len(b.touches)
}

// results counts a registry's answers.
type results struct{ touched, ended, unknown uint64 }

// post sends a batch. after is how long the registry asks to wait.
func (t *Touches) post(b batch) (got results, after time.Duration, err error) {
	body, err := b.body()
	if err != nil {
		return got, 0, fmt.Errorf("%w: %w", ErrTouchesRejected, err)
	}
	ctx, cancel := context.WithTimeout(t.sending, t.cfg.Timeout)
	defer cancel()
	// Each result is its session and a word.
	const most = 2 * maxBatchBytes
	a, err := t.endpoint.post(ctx, b.lane.key, body, most)
	if err != nil {
		return got, 0, fmt.Errorf("%w: %w", ErrTouchesUnavailable, err)
	}
	if seconds, err := strconv.Atoi(a.header.Get("Retry-After")); err == nil && seconds > 0 {
		after = time.Duration(min(seconds, int(longestTouchWait/time.Second))) * time.Second
	}
	switch {
	case a.status == http.StatusBadRequest, a.status == http.StatusRequestEntityTooLarge, a.status == http.StatusUnprocessableEntity:
		return got, 0, fmt.Errorf("%w: it answers %d", ErrTouchesRejected, a.status)
	case a.status == http.StatusUnauthorized, a.status == http.StatusForbidden:
		return got, after, fmt.Errorf("%w: it answers %d: the key is wrong, or lacks the scope sessions", ErrTouchesUnavailable, a.status)
	case a.status != http.StatusOK:
		return got, after, fmt.Errorf("%w: it answers %d", ErrTouchesUnavailable, a.status)
	case len(a.body) > most || !a.isJSON():
		return got, after, fmt.Errorf("%w: its answer isn't JSON, or is too long", ErrTouchesUnavailable)
	}
	got, err = b.results(a.body)
	return got, after, err
}

// body is the batch as the registry reads it.
func (b batch) body() ([]byte, error) {
	type member struct {
		Session string `json:"session"`
		AtMS    int64  `json:"at_ms"`
	}
	members := make([]member, len(b.touches))
	for i, t := range b.touches {
		members[i] = member{t.session, t.at}
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	// Escaped, <, > and & would take six times their room.
	enc.SetEscapeHTML(false)
	err := enc.Encode(map[string]any{"touches": members})
	return text.Bytes(), err
}

// results reads the answer, which must tell of each session in its place: anything else comes from somebody who hasn't read the question.
func (b batch) results(answer []byte) (got results, err error) {
	var told struct {
		Results []struct {
			Session string `json:"session"`
			Result  string `json:"result"`
		} `json:"results"`
	}
	if err := strictjson.Unmarshal(answer, &told); err != nil || len(told.Results) != len(b.touches) {
		return results{}, fmt.Errorf("%w: its answer doesn't tell of each session", ErrTouchesUnavailable)
	}
	for i, r := range told.Results {
		if r.Session != b.touches[i].session {
			return results{}, fmt.Errorf("%w: its answer tells of other sessions", ErrTouchesUnavailable)
		}
		switch r.Result {
		case "touched":
			got.touched++
		case "ended":
			got.ended++
		case "unknown":
			got.unknown++
		}
	}
	return got, nil
}
