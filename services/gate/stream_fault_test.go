package gate_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/app"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/ledger"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/internal/tlstest"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationnats"
	"github.com/curfewhq/curfew/revocation/revocationtest"
	"github.com/curfewhq/curfew/services/gate"
)

// beat writes one beat.
func (s *station) beat(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := s.bus.Beat(ctx, bus.BeaterConfig{Source: "test", OnResult: func(err error) {
		if err != nil {
			t.Error(err)
		}
		cancel()
	}})
	if err != nil {
		t.Fatal(err)
	}
}

// Having sent everything proves nothing, and neither does silence: only a beat that lies behind it does.
func TestTrap9StreamIsProvedByBeatsAlone(t *testing.T) {
	s := newStation(t, natstest.Bus(t), func(c *gate.Config) { c.BeatTimeout = time.Minute })
	s.stopBeats()
	s.publish(t, revokedIn(t, "acme", "s1"))
	st := s.open(t, s.acme, "")
	st.await("revocation")
	s.publish(t, revokedIn(t, "acme", "s2"))
	// The second comes next: nothing was called synced in between, though beats lie before the first.
	if frames := st.await("revocation"); len(frames) != 1 {
		t.Errorf("before the second revocation: %+v", frames)
	}
	s.beat(t)
	if frames := st.await("synced"); len(frames) != 1 {
		t.Errorf("with the beat: %+v", frames)
	}
	last := s.publish(t, revokedIn(t, "acme", "s3"))
	if frames := st.await("revocation"); len(frames) != 1 {
		t.Errorf("before the third revocation: %+v", frames)
	}
	s.beat(t)
	if frames := st.await("beat"); len(frames) != 1 || frames[0].read(t).Position <= last {
		t.Errorf("with the second beat: %+v", frames)
	}
}

// Beats that lie before what there was when the stream was opened are no proof of it, however young: here another tenant's event lies behind them.
func TestStreamIsSyncedBehindTheHead(t *testing.T) {
	s := newStation(t, natstest.Bus(t), func(c *gate.Config) { c.BeatTimeout = time.Minute })
	s.stopBeats()
	s.beat(t)
	s.publish(t, revokedIn(t, "globex", "theirs"))
	st := s.open(t, s.acme, "")
	// The stream is open, and the beats come before this.
	s.publish(t, revokedIn(t, "acme", "s1"))
	if frames := st.await("revocation"); len(frames) != 1 {
		t.Errorf("before the revocation: %+v", frames)
	}
	s.beat(t)
	st.await("synced")
}

// A gate whose own replica isn't fresh vouches for nothing.
func TestStreamOfAStaleGate(t *testing.T) {
	feed := revocationtest.New()
	replica, err := revocation.Open(t.Context(), revocation.Config{Feed: feed, StalenessBudget: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = replica.Close() })
	s := newStation(t, natstest.Bus(t), func(c *gate.Config) { c.Replica = replica })
	eventually(t, "the replica is stale", func() bool { return !replica.Status().Fresh })
	st := s.open(t, s.acme, "")
	// Beats lie between the two.
	s.publish(t, revokedIn(t, "acme", "s1"))
	before := stateOf(t, s.bus).LastSeq
	eventually(t, "beats have come", func() bool { return stateOf(t, s.bus).LastSeq > before+5 })
	s.publish(t, revokedIn(t, "acme", "s2"))
	for _, want := range []string{"s1", "s2"} {
		if got := sessions(t, st.await("revocation")); !cmp.Equal(got, []string{want}) {
			t.Errorf("got %v, want %s and no proof", got, want)
		}
	}
	feed.AutoBeat(50 * time.Millisecond)
	st.await("synced")
	// It finds that the ledger is another one.
	feed.Recreate()
	st.await("reset")
	s.endedBecause(t, "reset")
}

// A gate that is still reading the ledger refuses; it doesn't send half of it.
func TestStreamOfAGateThatIsNotSynced(t *testing.T) {
	feed := revocationtest.New()
	replica, err := revocation.Open(t.Context(), revocation.Config{Feed: feed})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = replica.Close() })
	s := newStation(t, natstest.Bus(t), func(c *gate.Config) { c.Replica = replica })
	if err := replica.WaitFor(t.Context(), feed.Publish(revokedIn(t, "acme", "x"))); err != nil {
		t.Fatal(err)
	}
	feed.Stall()
	feed.PutBack(1)
	eventually(t, "the replica begins anew", func() bool { return !replica.Status().Synced })
	s.refused(t, "", 503, "not_synced")
}

// afar opens a bus to a server by way of a proxy.
func afar(t *testing.T, srv *natstest.Server) (*natstest.Proxy, *bus.Bus) {
	t.Helper()
	proxy := natstest.NewProxy(t, srv.Addr())
	far, err := bus.Open(t.Context(), bus.Config{URL: proxy.URL()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { proxy.Heal(); _ = far.Close() })
	return proxy, far
}

func TestStreamWithoutLedger(t *testing.T) {
	srv := natstest.Start(t)
	b := natstest.Open(t, bus.Config{URL: srv.URL()})
	_, far := afar(t, srv)
	s := newStation(t, b, func(c *gate.Config) { c.Ledger = ledger.NewReader(far.JetStream(), bus.LedgerStream) })
	_ = far.Close()
	s.refused(t, "", 503, "stream_unavailable")
	if !strings.Contains(s.log.String(), "couldn't be read") {
		t.Error("nobody is told")
	}
}

// What comes out of a buffer is as old as it is: a beat that was stored while the link hung is no proof of what was stored since.
func TestStreamPassesNoOldBeat(t *testing.T) {
	srv := natstest.Start(t)
	b := natstest.Open(t, bus.Config{URL: srv.URL()})
	proxy, far := afar(t, srv)
	replica, err := revocation.Open(beating(t, b), revocation.Config{
		Feed: revocationnats.NewFeed(b.JetStream(), revocationnats.Config{}), StalenessBudget: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = replica.Close() })
	s := newStation(t, b, func(c *gate.Config) {
		c.Replica, c.Ledger, c.BeatTimeout = replica, ledger.NewReader(far.JetStream(), bus.LedgerStream), time.Minute
	})
	st := s.open(t, s.acme, "")
	st.await("beat")
	stalled := time.Now()
	proxy.Stall()
	eventually(t, "beats have come for a while", func() bool { return time.Since(stalled) > 1500*time.Millisecond })
	healed := time.Now()
	position := s.publish(t, revokedIn(t, "acme", "s1"))
	proxy.Heal()
	passed := 0
	for _, f := range st.upTo(position) {
		at, err := time.Parse(time.RFC3339, f.read(t).At)
		if err != nil {
			t.Fatal(err)
		}
		// A fifth of the budget is 200 ms.
		if f.event == "beat" && at.After(stalled.Add(100*time.Millisecond)) && at.Before(healed.Add(-210*time.Millisecond)) {
			t.Errorf("a beat was passed on when it was at least %v old", healed.Sub(at))
		}
		passed++
	}
	if passed < 2 {
		t.Errorf("%d frames", passed)
	}
}

// beating returns a context; a beat is written to the ledger at once, for replicas that are opened before the station beats.
func beating(t *testing.T, b *bus.Bus) context.Context {
	t.Helper()
	natstest.Beat(t, b, 50*time.Millisecond)
	return t.Context()
}

// A reading that breaks is begun anew behind what was sent, and the follower notices nothing: here its consumer is gone, and then the whole server for a
// while.
func TestTrap10StreamReadsOn(t *testing.T) {
	srv := natstest.Start(t)
	b := natstest.Open(t, bus.Config{URL: srv.URL()})
	s := newStation(t, b, nil)
	position := s.publish(t, revokedIn(t, "acme", "s1"))
	st := s.open(t, s.acme, "")
	if got := sessions(t, st.upTo(position)); !cmp.Equal(got, []string{"s1"}) {
		t.Fatalf("got %v", got)
	}
	stream, err := b.JetStream().Stream(t.Context(), bus.LedgerStream)
	if err != nil {
		t.Fatal(err)
	}
	deleted := 0
	for name := range stream.ConsumerNames(t.Context()).Name() {
		if !strings.HasPrefix(name, "replica-") {
			deleted++
			if err := stream.DeleteConsumer(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
	}
	if deleted != 1 {
		t.Fatalf("%d consumers were deleted", deleted)
	}
	position = s.publish(t, revokedIn(t, "acme", "s2"))
	if got := sessions(t, st.upTo(position)); !cmp.Equal(got, []string{"s2"}) {
		t.Errorf("without its consumer: %v", got)
	}
	srv.Restart()
	eventually(t, "the connection is back", func() bool { return b.Conn().IsConnected() })
	position = s.publish(t, revokedIn(t, "acme", "s3"))
	if got := sessions(t, st.upTo(position)); !cmp.Equal(got, []string{"s3"}) {
		t.Errorf("after a restart of the server: %v", got)
	}
}

// large stores revocations of together some 10 MB, which fit into no socket's buffers.
func (s *station) large(t *testing.T) {
	t.Helper()
	known := make([]string, events.MaxKnownSessions)
	for i := range known {
		known[i] = fmt.Sprintf("%0*d", events.MaxIDBytes, i)
	}
	for range 40 {
		s.publish(t, &events.UserLoggedOutEverywhere{Common: commonOf(t, "acme", events.ReasonAdmin), User: "ann", Cutoff: time.Now(), KnownSessions: known})
	}
}

// A reader that doesn't read is cut off; over HTTP/2 too, where it shares its connection with others.
func TestStreamCutsOffWhoDoesNotRead(t *testing.T) {
	for _, version := range []int{1, 2} {
		t.Run(fmt.Sprint("HTTP/", version), func(t *testing.T) {
			t.Parallel()
			s := newStation(t, natstest.Bus(t), nil)
			if version == 2 {
				s.overTLS(t)
			}
			s.large(t)
			st := s.open(t, s.acme, "")
			if st.resp.ProtoMajor != version {
				t.Fatalf("the stream comes over %s", st.resp.Proto)
			}
			s.endedBecause(t, "slow")
			if _, err := st.ends(); err == nil || errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && version == 1 {
				t.Errorf("what was cut off ends with %v", err)
			}
			if said := s.log.String(); !strings.Contains(said, "too slow") || strings.Contains(said, "ann") {
				t.Errorf("the log says %s", said)
			}
			// Others are served.
			s.open(t, s.globex, "").await("beat")
		})
	}
}

// A reader that doesn't read doesn't hold up a server that stops.
func TestStreamDrainsWhoDoesNotRead(t *testing.T) {
	s := newStation(t, natstest.Bus(t), nil)
	s.large(t)
	st := s.open(t, s.acme, "")
	st.await("revocation")
	began := time.Now()
	s.svc.Drain(t.Context())
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("draining took %v", took)
	}
	s.endedBecause(t, "draining")
}

// Over HTTP/2 a stream is the same, and a drain ends it cleanly.
func TestStreamOverHTTP2(t *testing.T) {
	s := newStation(t, natstest.Bus(t), nil)
	s.overTLS(t)
	position := s.publish(t, revokedIn(t, "acme", "s1"))
	st := s.open(t, s.acme, "")
	if got := sessions(t, st.upTo(position)); st.resp.ProtoMajor != 2 || !cmp.Equal(got, []string{"s1"}) {
		t.Errorf("over %s: %v", st.resp.Proto, got)
	}
	st.await("beat")
	s.svc.Drain(t.Context())
	frames, err := st.ends()
	if !errors.Is(err, io.EOF) || frames[len(frames)-1].retry == "" {
		t.Errorf("%v, %v", frames, err)
	}
}

// overTLS has the station answer over TLS, with HTTP/2, instead.
func (s *station) overTLS(t *testing.T) {
	t.Helper()
	certFile, keyFile, pool := tlstest.Certificate(t)
	mux := http.NewServeMux()
	s.svc.Routes(mux)
	s.api = s.listen(t, app.HTTPConfig{Handler: app.API(mux), CertFile: certFile, KeyFile: keyFile})
	s.scheme = "https"
	s.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}}
}
