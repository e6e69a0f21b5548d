package canary_test

import (
	"strings"
	"testing"
	"time"

	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/internal/replicas"
)

// TestReplicasOfOneName: the processes of a service may all have its name. One of them that refuses the canary doesn't stand for another that goes on to let it in.
func TestReplicasOfOneName(t *testing.T) {
	r := newRig(t)
	asked := map[string]bool{}
	natstest.Answer(t, r.connect(r.srv.URL()), "billing", func(q replicas.Question) replicas.Answer {
		state := "revoked"
		if !asked[q.Session] {
			asked[q.Session], state = true, "active"
		}
		return replicas.Answer{ID: "AAAAAAAAAAAA1", Group: "billing", State: state}
	})
	natstest.Answer(t, r.connect(r.srv.URL()), "billing", func(replicas.Question) replicas.Answer {
		return replicas.Answer{ID: "AAAAAAAAAAAA2", Group: "billing", State: "active"}
	})
	r.runUntil(r.service(300*time.Millisecond), "an alarm", func() bool { return r.probes("late") >= 1 })
	if r.probes("ok") > 0 {
		t.Error("it tells of a success")
	}
	if said := r.log.String(); !strings.Contains(said, "billing") {
		t.Errorf("the log says\n%s", said)
	}
}
