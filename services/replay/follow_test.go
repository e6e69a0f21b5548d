package replay_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/access/accesstest"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/services/replay"
)

// follower reads a following answer.
type follower struct {
	body  io.ReadCloser
	lines *bufio.Reader
	leave context.CancelFunc
}

// follow returns once the answer has begun: from then on nothing is missed.
func (d *desk) follow(t *testing.T, key, query string) *follower {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	resp, err := d.api.Send(ctx, key, http.MethodGet, "/v1/revocations?follow=true&"+query, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { leave(); _ = resp.Body.Close() })
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/x-ndjson" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("got %d %v", resp.StatusCode, resp.Header)
	}
	return &follower{body: resp.Body, lines: bufio.NewReader(resp.Body), leave: leave}
}

// next returns the next record's position.
func (f *follower) next() (uint64, error) {
	for {
		line, err := f.lines.ReadBytes('\n')
		if err != nil {
			return 0, err
		}
		if len(line) == 1 {
			continue
		}
		var r replay.Record
		if err := json.Unmarshal(line, &r); err != nil {
			return 0, err
		}
		return r.Position, nil
	}
}

func (d *desk) consumers(t *testing.T) int {
	t.Helper()
	stream, err := d.bus.JetStream().Stream(t.Context(), bus.LedgerStream)
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().State.Consumers
}

func TestHistoryFollow(t *testing.T) {
	for query, want := range map[string][]uint64{
		"":                   {9, 11},
		"after=0":            {1, 2, 4, 5, 6, 7, 8, 9, 11},
		"after=7":            {8, 9, 11},
		"since=1h":           {1, 2, 4, 5, 6, 7, 8, 9, 11},
		"scope=user":         {11},
		"user=PLANTED%20ann": {11},
	} {
		t.Run(query, func(t *testing.T) {
			d := archive(t)
			f := d.follow(t, d.key, query)
			d.session(t, "PLANTED new", "")
			others := common(t)
			others.Tenant = "globex"
			d.store(t, &events.SessionRevoked{Common: others, Session: "PLANTED new"})
			d.store(t, &events.UserLoggedOutEverywhere{Common: common(t), User: "PLANTED ann", Cutoff: events.Floor(time.Now())})
			got := []uint64{}
			for range want {
				p, err := f.next()
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, p)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			f.leave()
			eventually(t, "nothing is left of the follower", func() bool { return d.consumers(t) == 0 })
		})
	}
}

// Nothing that is published once the answer has begun may be missed: the consumer was made behind the answer's beginning.
func TestHistoryFollowMissesNothing(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	for range 20 {
		f := d.follow(t, d.key, "")
		want := d.session(t, "PLANTED a", "")
		if got, err := f.next(); err != nil || got != want {
			t.Fatalf("got %d, %v, want %d", got, err, want)
		}
		f.leave()
	}
}

// A key that is revoked stops a following answer too (trap 23).
func TestHistoryFollowEndsWithItsKey(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	key, text := accesstest.Key(t, d.keys, "acme", access.ScopeRead)
	f := d.follow(t, text, "")
	first := d.session(t, "PLANTED a", "")
	if got, err := f.next(); err != nil || got != first {
		t.Fatalf("got %d, %v", got, err)
	}
	if _, err := d.keys.Revoke(t.Context(), key.ID); err != nil {
		t.Fatal(err)
	}
	d.session(t, "PLANTED b", "")
	if got, err := f.next(); err == nil {
		t.Errorf("position %d was sent to a revoked key", got)
	}
}

// An answer that breaks on the server's side must not look as if it had come to its end.
func TestHistoryFollowIsCutOffWithoutServer(t *testing.T) {
	b := natstest.Bus(t)
	d := newDesk(t, b)
	f := d.follow(t, d.key, "")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.next(); err == nil || errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the answer ended with %v", err)
	}
}
