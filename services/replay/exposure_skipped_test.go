package replay_test

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/internal/replicas"
	"github.com/curfewhq/curfew/services/replay"
)

// TestExposureOfWhatNoReplicaBelieves: a process that has read an event whose cutoff lay too far ahead says that it stands behind it, and lets its sessions through for ever.
func TestExposureOfWhatNoReplicaBelieves(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	at := d.store(t, &events.UserLoggedOutEverywhere{Common: common(t), User: planted, Cutoff: events.Floor(time.Now().Add(10 * time.Minute)), KnownSessions: []string{"s"}})
	d.ask = func(_ context.Context, q replicas.Question) ([]replicas.Answer, error) {
		return []replicas.Answer{letThrough("AAAAAAAAAAAA1", "shop", "host:7", q, 1)}, nil
	}
	var x replay.Exposure
	d.told(t, t, d.operator, "/v1/exposure", url.Values{"event": {fmt.Sprint(at)}}, &x)
	if p := x.Processes[0]; p.Applied || p.Whole || !p.AppliedAt.IsZero() || !slices.ContainsFunc(x.Unknown, func(u replay.Unknown) bool { return u.Code == replay.UnknownNotApplied }) {
		t.Errorf("got %+v, and %+v", p, x.Unknown)
	}
}
