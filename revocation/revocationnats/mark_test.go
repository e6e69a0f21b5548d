package revocationnats

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/curfewhq/curfew/revocation"
)

// heard is a sink that tells when something was skipped.
type heard struct {
	revocation.Sink
	skipped chan uint64
}

func (heard) Begin(revocation.Head) (uint64, error) { return 0, nil }
func (h heard) Skip(p revocation.Place, _ error)    { h.skipped <- p.Position }
func (heard) Beat(revocation.Place)                 {}
func (heard) Reach(uint64)                          {}

// The stream is put back while its consumer lives on, as it might in a cluster.
func TestWatchNoticesAStreamThatWasPutBack(t *testing.T) {
	for name, change := range map[string]func(*mark){
		"another message lies there": func(m *mark) { m.last.stored = m.last.stored.Add(-1) },
		"no message lies there":      func(m *mark) { m.last.position, m.event.position = 100, 100 },
	} {
		t.Run(name, func(t *testing.T) {
			f := ledgerOf(t, 1, nil, "")
			f.cfg.ClockInterval, f.cfg.BeatTimeout = 50*time.Millisecond, time.Minute
			if _, err := f.js.Publish(t.Context(), "curfew.v1.acme.3f.session", nil); err != nil {
				t.Fatal(err)
			}
			first, err := f.read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			sink, ended := heard{skipped: make(chan uint64, 1)}, make(chan error, 1)
			go func() { ended <- f.Follow(ctx, sink) }()
			position := <-sink.skipped
			for {
				f.mu.Lock()
				done := f.mark.event.position == position
				if done {
					change(&f.mark)
				}
				f.mu.Unlock()
				if done {
					break
				}
				time.Sleep(time.Millisecond)
			}
			if err := <-ended; !errors.Is(err, ErrReplaced) {
				t.Errorf("Follow = %v, want ErrReplaced", err)
			}
			second, err := f.read(t.Context())
			if err != nil || second.head.Stream == first.head.Stream {
				t.Errorf("the stream is %s, %v; want another incarnation than %s", second.head.Stream, err, first.head.Stream)
			}
		})
	}
}
