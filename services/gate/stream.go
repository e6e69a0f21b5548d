package gate

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/internal/telemetry"
)

// The first and the longest wait before a reading that broke is begun anew.
const shortestWait, longestWait = 100 * time.Millisecond, 5 * time.Second

// handleStream sends the tenant's revocations as server-sent events until the caller leaves.
func (s *Service) handleStream(w http.ResponseWriter, r *http.Request) {
	since, fault := sinceOf(r)
	if fault != nil {
		p := problem.New(http.StatusBadRequest, "invalid_parameter", "A parameter is invalid; nothing was read.")
		p.Faults = []problem.Fault{*fault}
		s.refuse(w, p)
		return
	}
	status := s.cfg.Replica.Status()
	if !status.Synced {
		s.refuse(w, problem.Unavailable("not_synced", "This server is still reading the ledger: try again, or follow another one.", soon()))
		return
	}
	key, _ := access.KeyFrom(r.Context())
	leave, p := s.streams.enter(key.Tenant)
	if p.Status != 0 {
		s.refuse(w, p)
		return
	}
	defer leave()
	if r.Method == http.MethodHead {
		streamHeaders(w.Header())
		return
	}
	s.cfg.Metrics.Streams.Inc()
	defer s.cfg.Metrics.Streams.Dec()
	f := &follower{svc: s, key: key, w: w, ctl: http.NewResponseController(w), after: since, incarnation: status.Stream}
	err := f.serve(r.Context())
	if !f.begun {
		s.unreadable(w, r, err)
		return
	}
	ended := &over{cause: "failed"}
	errors.As(err, &ended)
	s.cfg.Metrics.StreamsEnded.WithLabelValues(ended.cause).Inc()
	if ended.cause == "slow" {
		s.cfg.Log.WithError(err).WithField(telemetry.FieldTenant, key.Tenant).WithField(telemetry.FieldKey, key.ID).Warn("a stream was cut off: its reader is too slow")
	}
}

// unreadable answers that the ledger can't be read, unless there is nobody to answer.
func (s *Service) unreadable(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, errDraining):
		s.refuse(w, problem.Unavailable("draining", "This server is stopping: follow another one.", time.Second))
	case r.Context().Err() != nil:
	default:
		// Each follower comes again and again meanwhile.
		s.streamsLog.Do(func() { s.cfg.Log.WithError(err).Warn("the ledger couldn't be read for a stream") })
		s.refuse(w, problem.Unavailable("stream_unavailable", "The ledger couldn't be read: is NATS up? 'curfew doctor' tells.", soon()))
	}
}

// soon is when to come again, at random, so that not all do together.
func soon() time.Duration { return time.Second + rand.N(2*time.Second) }

// sinceOf returns the position to go on behind; 0 is the beginning. An EventSource that comes back by itself tells it in a header and repeats its old
// query, so the header counts.
func sinceOf(r *http.Request) (uint64, *problem.Fault) {
	// Not URL.Query, which drops what it can't read.
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return 0, &problem.Fault{Field: "query", Detail: "can't be read: percent-encode its values"}
	}
	text := ""
	for name, values := range query {
		switch {
		case name != "since":
			return 0, &problem.Fault{Field: "query", Detail: "has a parameter that this call doesn't know: it knows since"}
		case len(values) != 1:
			return 0, &problem.Fault{Field: "since", Detail: "must be given once"}
		case values[0] == "":
			return 0, &problem.Fault{Field: "since", Detail: "must be a position: leave it out to begin at the beginning"}
		}
		text = values[0]
	}
	field := "since"
	if last := r.Header.Values("Last-Event-ID"); len(last) > 0 {
		field, text = "Last-Event-ID", last[len(last)-1]
	}
	if text == "" {
		return 0, nil
	}
	since, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, &problem.Fault{Field: field, Detail: "must be a position"}
	}
	return since, nil
}

// serve sends until the stream is over, and returns why: an *over, or what made the ledger unreadable before anything was sent. A reading of the ledger
// that breaks is begun anew behind what was sent; meanwhile no beat comes, and who follows sees its proof age.
func (f *follower) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	told := make(chan struct{})
	stop := context.AfterFunc(f.svc.streams.draining, func() {
		defer close(told)
		cancel(errDraining)
		// A write that is blocked must not hold up the stopping.
		_ = f.ctl.SetWriteDeadline(time.Now().Add(drainTimeout))
	})
	defer func() {
		if !stop() {
			<-told // a ResponseWriter is of no use once its handler has returned
		}
	}()
	// The stream has no end; each write has a deadline of its own instead.
	_ = f.ctl.SetReadDeadline(time.Time{})
	for wait := shortestWait; ; wait = min(2*wait, longestWait) {
		began := time.Now()
		err := f.read(ctx)
		var ended *over
		switch {
		case errors.As(err, &ended):
		case ctx.Err() != nil:
			ended = endedBy(ctx)
		case !f.begun:
			return err
		}
		if ended != nil {
			f.leave(ended)
			return ended
		}
		if time.Since(began) > longestWait {
			wait = shortestWait
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait/2 + rand.N(wait)):
		}
		// It proves nothing, and finds out whether the reader is still there.
		f.buf = append(f.buf, ":\n\n"...)
		if err := f.flush(); errors.As(err, &ended) && ctx.Err() == nil {
			return ended
		}
	}
}

// leave tells a caller that can still be told when to come back.
func (f *follower) leave(ended *over) {
	if !f.begun || ended.cause != "draining" {
		return
	}
	f.buf = f.buf[:0] // it may hold a beat, which has waited
	f.retry(time.Second, 5*time.Second)
	_ = f.flush()
}
