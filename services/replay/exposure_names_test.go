package replay_test

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/events/exposure"
	"github.com/curfewhq/curfew/events/presence"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/internal/replicas"
	"github.com/curfewhq/curfew/services/replay"
)

func member(id, group, name string) replicas.Member {
	return replicas.Member{Report: presence.Report{ID: id, Group: group, Name: name}}
}

// letThrough is what a process tells that has let count requests through.
func letThrough(id, group, name string, q replicas.Question, count int) replicas.Answer {
	x := &exposure.Answer{Applied: true, AppliedMS: q.Exposure.SinceMS, Count: count, NowMS: 1, WholeSinceMS: 1, BeganMS: 1}
	return replicas.Answer{ID: id, Group: group, Name: name, Position: q.Exposure.Position, Exposure: x, Asked: time.Now(), Heard: time.Now()}
}

// TestExposureTellsProcessesOfOneNameApart: those of two groups, and those of one, where one may have started in place of another that was killed.
func TestExposureTellsProcessesOfOneNameApart(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	at := d.session(t, "PLANTED s", "")
	d.ask = func(_ context.Context, q replicas.Question) ([]replicas.Answer, error) {
		return []replicas.Answer{
			letThrough("AAAAAAAAAAAA1", "shop", "host:7", q, 1), letThrough("AAAAAAAAAAAA2", "billing", "host:7", q, 2), letThrough("AAAAAAAAAAAA3", "billing", "host:7", q, 2), letThrough("", "older", "host:7", q, 4),
		}, nil
	}
	d.present = func(context.Context) ([]replicas.Member, error) {
		return []replicas.Member{
			member("AAAAAAAAAAAA1", "shop", "host:7"), member("AAAAAAAAAAAA2", "billing", "host:7"), member("AAAAAAAAAAAA3", "billing", "host:7"), member("AAAAAAAAAAAA4", "older", "host:7"),
			member("BBBBBBBBBBBB1", "billing", "host:7"), member("BBBBBBBBBBBB2", "books", "host:7"),
		}, nil
	}
	type told struct {
		name, group string
		count       int
	}
	tell := func(key string) (processes []told, x replay.Exposure) {
		body := d.get(t, key, fmt.Sprint("/v1/exposure?event=", at)).body
		if strings.Contains(string(body), "AAAAAAAAAAAA") || strings.Contains(string(body), "BBBBBBBBBBBB") {
			t.Errorf("ids of processes are told: %s", body)
		}
		d.told(t, t, key, "/v1/exposure", url.Values{"event": {fmt.Sprint(at)}}, &x)
		for _, p := range x.Processes {
			processes = append(processes, told{p.Name, p.Group, p.Count})
		}
		return processes, x
	}
	processes, x := tell(d.operator)
	if diff := cmp.Diff([]told{{"host:7", "billing", 2}, {"host:7", "billing", 2}, {"host:7", "older", 4}, {"host:7", "shop", 1}}, processes, cmp.AllowUnexported(told{})); diff != "" {
		t.Error(diff)
	}
	if x.Count != 9 || x.SilentCount != 2 || !slices.Equal(x.Silent, []string{"host:7", "host:7"}) {
		t.Errorf("%d passed, and %d are silent: %v", x.Count, x.SilentCount, x.Silent)
	}
	processes, x = tell(d.key)
	if diff := cmp.Diff([]told{{"1", "", 2}, {"2", "", 2}, {"3", "", 4}, {"4", "", 1}}, processes, cmp.AllowUnexported(told{})); diff != "" || x.SilentCount != 2 || x.Silent != nil {
		t.Errorf("to who isn't an operator: %d silent, %v\n%s", x.SilentCount, x.Silent, diff)
	}
}

// TestExposureOfARestart: of more sessions than fit into one question a process is asked twice. One that has started in its place meanwhile can't answer for it.
func TestExposureOfARestart(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	u := &events.UserLoggedOutEverywhere{Common: common(t), User: "PLANTED ann", Cutoff: events.Floor(time.Now())}
	for i := range 150 {
		u.KnownSessions = append(u.KnownSessions, fmt.Sprintf("PLANTED %03d", i))
	}
	d.store(t, u)
	calls := 0
	d.ask = func(_ context.Context, q replicas.Question) ([]replicas.Answer, error) {
		calls++
		return []replicas.Answer{letThrough(fmt.Sprint("AAAAAAAAAAAA", calls), "shop", "host:7", q, 1), letThrough("CCCCCCCCCCCC", "shop", "host:8", q, 1)}, nil
	}
	d.present = func(context.Context) ([]replicas.Member, error) {
		return []replicas.Member{member("AAAAAAAAAAAA1", "shop", "host:7"), member("AAAAAAAAAAAA2", "shop", "host:7"), member("CCCCCCCCCCCC", "shop", "host:8")}, nil
	}
	var x replay.Exposure
	d.told(t, t, d.operator, "/v1/exposure", url.Values{"event": {u.ID}}, &x)
	if calls != 2 || len(x.Processes) != 1 || x.Processes[0].Name != "host:8" || x.Count != 2 || !slices.Equal(x.Silent, []string{"host:7", "host:7"}) {
		t.Errorf("asked %d times: %+v, silent %v", calls, x.Processes, x.Silent)
	}
}
