package replay

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/curfewhq/curfew/internal/telemetry"
)

// TestReadersWaitForTheirTurn: of those that read everything only a few do so at once; one that is over makes room, who waits for long is told to come again, and who follows doesn't wait.
func TestReadersWaitForTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Service{cfg: Config{Metrics: telemetry.NewMetrics(prometheus.NewRegistry())}, readers: make(chan struct{}, maxReaders)}
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
		for range maxReaders {
			go ask(t.Context(), "")
			synctest.Wait()
		}
		began := time.Now()
		if w := ask(t.Context(), ""); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "history_busy") || w.Header().Get("Retry-After") == "" || time.Since(began) != readerPatience {
			t.Errorf("%d %s after %v", w.Code, w.Body, time.Since(began))
		}
		if w := ask(t.Context(), "follow=true"); w.Code != http.StatusOK {
			t.Errorf("who follows waits: %d", w.Code)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		func() {
			defer func() {
				if err, _ := recover().(error); !errors.Is(err, http.ErrAbortHandler) {
					t.Errorf("who has gone, or whose server stops, gets an answer that looks complete: %v", err)
				}
			}()
			ask(gone, "")
		}()
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
