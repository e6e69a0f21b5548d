package revocationnats_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationnats"
)

// A replica that is slower than the link, over a ledger of large messages, gets no more at once than it can hold, and all of it.
func TestLargeMessagesComeAFewAtATime(t *testing.T) {
	r := newRig(t, revocationnats.Config{})
	const n, size, most = 400, 250_000, 40 << 20
	large, topic := []byte(strings.Repeat("x", size)), events.TopicOf(logout(1)).String()
	for range n {
		r.PublishRaw(topic, large)
	}
	last := r.Publish(logout(1))
	js := r.connect(r.proxy.URL())
	r.feed = revocationnats.NewFeed(js, revocationnats.Config{BeatTimeout: patience})
	var lost, skipped atomic.Int64
	reached, held := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(held) })
	defer release()
	opened := make(chan *revocation.Replica, 1)
	go func() {
		defer close(opened)
		opened <- r.open(revocation.Config{
			Hooks: revocation.Hooks{
				FeedLost: func(error, time.Duration) { lost.Add(1) },
				// Nobody can read them, and the first one holds the replica up.
				Skipped: func(uint64, error) {
					if skipped.Add(1) == 1 {
						close(reached)
						<-held
					}
				},
			},
		})
	}()
	<-reached
	eventually(t, "the server has sent what was asked for", func() bool { return waiting(t, r.js) == 0 })
	if got := js.Conn().Stats().InBytes; got > most {
		t.Errorf("%d bytes came while the replica was busy, want at most %d", got, most)
	}
	release()
	replica := <-opened
	if replica == nil {
		return // and the rig has told why
	}
	waitFor(t, replica, last)
	if lost.Load() != 0 || skipped.Load() != n {
		t.Errorf("the feed was lost %d times, and %d messages skipped, want none and %d", lost.Load(), skipped.Load(), n)
	}
}

// waiting returns how many requests for messages wait at the ledger's only consumer, or -1 if that can't be told.
func waiting(t *testing.T, js jetstream.JetStream) int {
	t.Helper()
	stream, err := js.Stream(t.Context(), "CURFEW")
	if err != nil {
		return -1
	}
	n := -1
	for info := range stream.ListConsumers(t.Context()).Info() {
		n = info.NumWaiting
	}
	return n
}
