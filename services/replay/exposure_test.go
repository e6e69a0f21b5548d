package replay_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/events/exposure"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/internal/replicas"
	"github.com/curfewhq/curfew/internal/sessionstore"
	"github.com/curfewhq/curfew/services/replay"
)

// answering has processes answer a question each by its own rule, as replicas.Ask would bring it.
func (d *desk) answering(processes map[string]func(replicas.Question) (replicas.Answer, bool)) {
	d.ask = func(_ context.Context, q replicas.Question) (all []replicas.Answer, err error) {
		for name, answer := range processes {
			if a, ok := answer(q); ok {
				a.Name, a.Asked, a.Heard = name, time.Now().Add(-10*time.Millisecond), time.Now()
				all = append(all, a)
			}
		}
		return all, nil
	}
}

func codes(x replay.Exposure) (all []string) {
	for _, u := range x.Unknown {
		all = append(all, u.Code)
	}
	return all
}

// TestExposureSaysWhatItCantKnow: each process by itself, and who is silent; and a process is whole only if it has known all since the decision and has applied the event.
func TestExposureSaysWhatItCantKnow(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	e := &events.SessionRevoked{Common: common(t), Session: "PLANTED s"}
	at := d.store(t, e)
	since := e.Time.UnixMilli()
	process := func(applied bool, began, whole int64, listed, count int) func(replicas.Question) (replicas.Answer, bool) {
		return func(q replicas.Question) (replicas.Answer, bool) {
			if x := q.Exposure; q.Tenant != "acme" || x.Position != at || x.Event != e.ID || x.SinceMS != since || !slices.Equal(x.Sessions, []string{"PLANTED s"}) {
				t.Errorf("asked %+v", q)
			}
			a := &exposure.Answer{NowMS: time.Now().UnixMilli() + 1000, BeganMS: began, Applied: applied, WholeSinceMS: whole, Count: count, Passes: make([]exposure.Pass, listed)}
			for i := range a.Passes {
				a.Passes[i] = exposure.Pass{AtMS: since + int64(i), Route: "GET /a", Undetermined: i == 1}
			}
			if applied {
				a.AppliedMS = since + 7
			}
			return replicas.Answer{Position: at, Exposure: a}, true
		}
	}
	d.answering(map[string]func(replicas.Question) (replicas.Answer, bool){
		"a:whole": process(true, since-9, since-9, 2, 2), "b:began": process(true, since+1, since+1, 0, 0), "c:forgot": process(true, since-9, since+1, 1, 1),
		"d:behind": process(false, since-9, since-9, 1, 1), "e:long": process(true, since-9, since-9, 1, 300),
		"f:forgets all": func(replicas.Question) (replicas.Answer, bool) { return replicas.Answer{Position: at}, true },
	})
	d.present = func(context.Context) ([]replicas.Member, error) {
		return []replicas.Member{member("Z", "", "z:silent"), member("A", "", "a:whole")}, nil
	}
	var got replay.Exposure
	d.told(t, t, d.operator, "/v1/exposure", url.Values{"event": {e.ID}}, &got)
	type told struct {
		name                    string
		records, applied, whole bool
		passes, count           int
	}
	var processes []told
	for _, p := range got.Processes {
		processes = append(processes, told{p.Name, p.Records, p.Applied, p.Whole, len(p.Passes), p.Count})
		if c := p.ClockAheadMS; p.Records && (c.Min > 1000 || c.Max < 1000 || c.Max-c.Min < 10) {
			t.Errorf("%s: the clock that is a second ahead: %+v", p.Name, c)
		}
	}
	want := []told{
		{"a:whole", true, true, true, 2, 2}, {"b:began", true, true, false, 0, 0}, {"c:forgot", true, true, false, 1, 1}, {"d:behind", true, false, false, 1, 1}, {"e:long", true, true, true, 1, 300},
		{"f:forgets all", false, true, false, 0, 0},
	}
	if diff := cmp.Diff(want, processes, cmp.AllowUnexported(told{})); diff != "" {
		t.Error(diff)
	}
	if p := got.Processes[0].Passes; p[0].Session != "PLANTED s" || p[0].Route != "GET /a" || p[0].At.UnixMilli() != since || p[0].Undetermined || !p[1].Undetermined {
		t.Errorf("%+v", p)
	}
	if diff := cmp.Diff([]string{"silent", "not_recorded", "began_after", "forgotten", "not_applied", "not_listed", "under_way", "clocks", "elsewhere"}, codes(got)); diff != "" {
		t.Error(diff)
	}
	if got.Count != 304 || got.SilentCount != 1 || !slices.Equal(got.Silent, []string{"z:silent"}) || got.Event.ID != e.ID || !got.Since.Equal(e.Time) {
		t.Errorf("%+v", got)
	}
	// Who isn't an operator hears of machines only how many there are.
	d.told(t, t, d.key, "/v1/exposure", url.Values{"event": {fmt.Sprint(at)}}, &got)
	for i, p := range got.Processes {
		if p.Name != fmt.Sprint(i+1) {
			t.Errorf("%s is named", p.Name)
		}
	}
	if got.SilentCount != 1 {
		t.Errorf("%+v", got)
	}
	d.present = func(context.Context) ([]replicas.Member, error) { return nil, errors.New("away") }
	d.told(t, t, d.key, "/v1/exposure", url.Values{"event": {e.ID}}, &got)
	if !slices.Contains(codes(got), "register") || slices.Contains(codes(got), "silent") {
		t.Errorf("without the register: %v", codes(got))
	}
}

// TestExposureOfAUser asks about the sessions that the event names and those of the registry that it ends, a hundred at a time; a process that is silent once has told nothing.
func TestExposureOfAUser(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	now := events.Floor(time.Now())
	u := &events.UserLoggedOutEverywhere{Common: common(t), User: "PLANTED ann", Cutoff: now}
	for i := range 150 {
		u.KnownSessions = append(u.KnownSessions, fmt.Sprintf("PLANTED %03d", i))
	}
	at := d.store(t, u)
	d.sessions = []sessionstore.Session{
		{Tenant: "acme", ID: "PLANTED before", User: "PLANTED ann", AuthTime: now.Add(-time.Minute)}, {Tenant: "acme", ID: "PLANTED since", User: "PLANTED ann", AuthTime: now.Add(time.Minute)},
	}
	var asked []string
	calls := 0
	one := func(q replicas.Question) (replicas.Answer, bool) {
		asked = append(asked, q.Exposure.Sessions...)
		last := len(q.Exposure.Sessions) - 1
		return replicas.Answer{Position: at, Exposure: &exposure.Answer{Applied: true, Count: 1, Passes: []exposure.Pass{{Session: last, AtMS: q.Exposure.SinceMS}}, NowMS: 1, WholeSinceMS: 1, BeganMS: 1}}, true
	}
	d.answering(map[string]func(replicas.Question) (replicas.Answer, bool){"steady": one, "once": func(replicas.Question) (replicas.Answer, bool) {
		calls++
		return replicas.Answer{Position: at}, calls == 1
	}})
	var got replay.Exposure
	d.told(t, t, d.key, "/v1/exposure", url.Values{"event": {u.ID}}, &got)
	want := slices.Sorted(slices.Values(append([]string{"PLANTED before"}, u.KnownSessions...)))
	slices.Sort(asked)
	if diff := cmp.Diff(want, asked); diff != "" || !slices.Equal(got.Sessions, want) {
		t.Error(diff)
	}
	if len(got.Processes) != 1 || got.Count != 2 || got.Processes[0].Passes[1].Session != want[150] && got.Processes[0].Passes[0].Session != want[150] || !slices.Contains(codes(got), "sessions") {
		t.Errorf("%+v", got.Processes)
	}
	// One alone, and an event that names nobody.
	d.told(t, t, d.key, "/v1/exposure", url.Values{"event": {u.ID}, "session": {"PLANTED x"}}, &got)
	if !slices.Equal(got.Sessions, []string{"PLANTED x"}) || slices.Contains(codes(got), "sessions") {
		t.Errorf("%v %v", got.Sessions, codes(got))
	}
	c := &events.ClientLoggedOut{Common: common(t), Client: "PLANTED app", Cutoff: now}
	d.store(t, c)
	d.ask = func(_ context.Context, q replicas.Question) ([]replicas.Answer, error) {
		if !q.Exposure.InForm() {
			t.Errorf("asked %+v", q.Exposure)
		}
		return nil, nil
	}
	d.told(t, t, d.key, "/v1/exposure", url.Values{"event": {c.ID}}, &got)
	if len(got.Sessions) != 0 || got.Sessions == nil || got.Processes == nil {
		t.Errorf("%+v", got)
	}
}

func TestExposureRefuses(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	at := d.session(t, "PLANTED s", "")
	c := common(t)
	c.Tenant = "globex"
	others := d.store(t, &events.SessionRevoked{Common: c, Session: "PLANTED s"})
	for query, field := range map[string]string{
		"": "event", "event=x": "event", "event=0": "event", "event=1&session=": "session", "event=1&timeout=1m": "timeout", "event=1&timeout=x": "timeout", "event=1&tenant=globex": "tenant", "event=1&tenant=*": "tenant",
		"event=1&event=2": "event", "event=1&user=a": "user",
	} {
		got := d.get(t, d.key, "/v1/exposure?"+query)
		if got.status != 400 || got.Code != "invalid_parameter" || len(got.Faults) != 1 || got.Faults[0].Field != field {
			t.Errorf("%q: got %d %s, want a fault of %s", query, got.status, got.body, field)
		}
	}
	if got := d.get(t, d.key, fmt.Sprint("/v1/exposure?event=", others)); got.status != 404 || got.Code != "event_unknown" {
		t.Errorf("another tenant's: %d %s", got.status, got.body)
	}
	d.ask = func(_ context.Context, q replicas.Question) ([]replicas.Answer, error) {
		return nil, errors.New("awry")
	}
	if got := d.get(t, d.key, fmt.Sprint("/v1/exposure?event=", at)); got.status != 503 || got.Code != "replicas_unavailable" {
		t.Errorf("%d %s", got.status, got.body)
	}
	if !strings.Contains(d.log.String(), "awry") {
		t.Error("it isn't logged")
	}
}
