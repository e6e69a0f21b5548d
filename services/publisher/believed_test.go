package publisher_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/services/publisher"
)

// What no replica ever applies, for the cutoff lies too far ahead of the stream's clock, isn't answered with a success, however often it is asked for.
func TestClockAhead(t *testing.T) {
	d := newDesk(t, natstest.Bus(t), func(c *publisher.Config) { c.ClockSkew = time.Hour }) // as of a publisher whose clock is ahead
	body := func(ahead time.Duration) string {
		return fmt.Sprintf(`[{"scope":"session","session":"PLANTED s"},{"scope":"user","user":"PLANTED u","cutoff":%q}]`, time.Now().Add(ahead).UTC().Format(time.RFC3339))
	}
	ahead := body(10 * time.Minute)
	for range 2 {
		if r := d.call(t, d.key, http.MethodPost, "/v1/revocations", ahead, "Idempotency-Key", "k"); r.status != http.StatusServiceUnavailable || r.Code != "clock_ahead" {
			t.Errorf("%d %s", r.status, r.body)
		}
	}
	if r := d.call(t, d.key, http.MethodPost, "/v1/revocations", body(4*time.Minute), "Idempotency-Key", "l"); r.status != http.StatusOK {
		t.Errorf("%d %s", r.status, r.body)
	}
}
