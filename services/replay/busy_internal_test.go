package replay

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"

	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/ledger"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/internal/telemetry"
)

// TestReadersWaitForTheirTurn: of those that read everything only a few do so at once; one that is over makes room, who waits for long is told to come again, and who follows doesn't wait.
func TestReadersWaitForTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Service{cfg: Config{Metrics: telemetry.NewMetrics(prometheus.NewRegistry())}, turns: newTurns()}
		leave := make(chan struct{})
		reading := 0
		h := s.oneOfFew(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Has("follow") {
				return
			}
			reading++
			<-leave
		})
		ask := func(ctx context.Context, query string) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			h(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/v1/revocations?"+query, nil))
			return w
		}
		// One tenant's keys leave a place, however many of them ask.
		crowd := access.WithKey(t.Context(), access.Key{Tenant: "crowd"})
		hasty, cancel := context.WithCancel(crowd)
		for range maxOwnReaders {
			go ask(crowd, "")
			synctest.Wait()
		}
		for range 2 * maxReaders {
			go ask(hasty, "")
		}
		synctest.Wait()
		if reading != maxOwnReaders {
			t.Errorf("%d of one tenant read", reading)
		}
		go ask(t.Context(), "")
		synctest.Wait()
		if reading != maxReaders {
			t.Errorf("%d read: another tenant's has no place", reading)
		}
		cancel()
		synctest.Wait()
		began := time.Now()
		if w := ask(t.Context(), ""); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "history_busy") || w.Header().Get("Retry-After") == "" || time.Since(began) != readerPatience {
			t.Errorf("%d %s after %v", w.Code, w.Body, time.Since(began))
		}
		if w := ask(t.Context(), "follow=true"); w.Code != http.StatusOK {
			t.Errorf("who follows waits: %d", w.Code)
		}
		gone, leaves := context.WithCancel(t.Context())
		leaves()
		if w := ask(gone, ""); w.Code != http.StatusServiceUnavailable {
			t.Errorf("whose call ends before its turn, since the process stops, is told %d %s", w.Code, w.Body)
		}
		waits := make(chan struct{})
		go func() {
			ask(t.Context(), "")
			close(waits)
		}()
		synctest.Wait()
		leave <- struct{}{}
		synctest.Wait()
		if reading != maxReaders+1 {
			t.Errorf("%d have read", reading)
		}
		close(leave)
		<-waits
	})
}

// TestReadingOutlastsTheServersDeadlines: a server's deadline for an answer is for those that take milliseconds. An answer behind it never arrives.
func TestReadingOutlastsTheServersDeadlines(t *testing.T) {
	s := &Service{cfg: Config{Metrics: telemetry.NewMetrics(prometheus.NewRegistry())}, turns: newTurns()}
	srv := httptest.NewUnstartedServer(s.oneOfFew(func(w http.ResponseWriter, r *http.Request) {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for began := time.Now(); time.Since(began) < 300*time.Millisecond; <-tick.C {
			if r.Context().Err() != nil {
				t.Error("the reading was ended by the server")
			}
		}
		s.tell(w, "told")
	}))
	srv.Config.ReadTimeout, srv.Config.WriteTimeout = 50*time.Millisecond, 100*time.Millisecond
	srv.Start()
	defer srv.Close()
	resp, err := srv.Client().Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "\"told\"\n" {
		t.Errorf("%q, %v", body, err)
	}
}

// TestFollowingFromThePastWaitsForItsTurn: until it has caught up it is a reading like others, or follow=true&after=0 would be the way around them.
func TestFollowingFromThePastWaitsForItsTurn(t *testing.T) {
	b := natstest.Bus(t)
	s := &Service{
		cfg: Config{
			Metrics: telemetry.NewMetrics(prometheus.NewRegistry()), Keys: new(access.Store), Ledger: ledger.NewReader(b.JetStream(), bus.LedgerStream), Log: logrus.New(),
		}, turns: newTurns(),
	}
	if _, err := b.JetStream().Publish(t.Context(), "curfew.v1.acme.00.session", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	for _, query := range []string{"follow=true&after=0", "follow=true&since=1h", "follow=true&after=1"} {
		ctx, leave := context.WithCancel(access.WithKey(t.Context(), access.Key{Tenant: "acme"}))
		read, goOn := make(chan struct{}), make(chan struct{})
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			s.oneOfFew(func(w http.ResponseWriter, r *http.Request) {
				if len(s.turns.all) != 1 {
					t.Errorf("%s reads without a place", query)
				}
				f, fault := parseFilter(access.Key{Tenant: "acme"}, r.URL.RawQuery, true)
				if fault != nil {
					t.Errorf("%+v", fault)
					return
				}
				close(read)
				<-goOn
				f.span.CaughtUp = caughtUp(r.Context())
				_ = s.cfg.Ledger.Read(r.Context(), f.span, func(ledger.Entry) error { return nil }, nil)
			})(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/v1/revocations?"+query, nil))
		}()
		<-read
		close(goOn)
		tick, deadline := time.NewTicker(5*time.Millisecond), time.After(10*time.Second)
		for len(s.turns.all) > 0 {
			select {
			case <-tick.C:
			case <-deadline:
				t.Fatalf("%s: who has caught up holds its place", query)
			}
		}
		tick.Stop()
		leave()
		<-ended
	}
}
