package replay_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/events/presence"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/internal/replicas"
)

// TestPlan counts what would be sent, and does nothing.
func TestPlan(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	for i := range 12 {
		d.session(t, fmt.Sprint(planted, "-s-", i%10), fmt.Sprint(planted, "-u-", i%3))
	}
	d.store(t, &events.UserLoggedOutEverywhere{Common: common(t), User: planted + "-u-0", Cutoff: time.Now(), KnownSessions: []string{planted + "-s-0", planted + "-s-x"}})
	other := common(t)
	other.Tenant = "globex"
	d.store(t, &events.TenantLoggedOut{Common: other, Cutoff: time.Now()})
	copied := common(t)
	copied.Replay = "earlier"
	d.store(t, &events.SessionRevoked{Common: copied, Session: planted + "-s-0"})
	if _, err := d.bus.JetStream().Publish(t.Context(), "curfew.v1.acme.00.user", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	got := d.call(t, d.operator, http.MethodPost, "/v1/replays", `{"target":{"kind":"webhook","url":"https://receiver.example.com/x"}}`)
	p := got.plan
	if got.status != http.StatusOK || !p.DryRun || p.Events != 14 || p.Users != 3 || p.Sessions != 11 || p.Unreadable != 1 || p.Replayed != 1 || p.Estimated || p.Rate != 100 || p.ExpectedSeconds != 0.14 ||
		p.OpenTabs != 0 || p.OpenTabsExact || p.First == 0 || p.Last <= p.First || !strings.HasPrefix(p.WebhookSecret, "whsec_") || p.Filter.Whose() != "acme" {
		t.Errorf("%d %s", got.status, got.body)
	}
	again := d.call(t, d.operator, http.MethodPost, "/v1/replays", `{"target":{"kind":"webhook","url":"https://receiver.example.com/x"},"filter":{"tenant":"*","since":"1h"},"rate":7}`).plan
	if again.Events != 15 || again.WebhookSecret != p.WebhookSecret || again.ExpectedSeconds != 15.0/7 || *again.Filter.Since == "1h" {
		t.Errorf("of everybody: %+v", again)
	}
	elsewhere := d.call(t, d.operator, http.MethodPost, "/v1/replays", `{"target":{"kind":"webhook","url":"https://receiver.example.com/y"},"filter":{"user":"`+planted+`-u-1"}}`).plan
	if elsewhere.WebhookSecret == p.WebhookSecret || elsewhere.Events != 4 || !elsewhere.OpenTabsExact {
		t.Errorf("of one user, to another receiver: %+v", elsewhere)
	}
	if list := d.call(t, d.operator, http.MethodGet, "/v1/replays", ""); len(list.list.Replays) != 0 || list.status != http.StatusOK {
		t.Errorf("a plan has stored something: %s", list.body)
	}
}

// TestReplayRefused: what can't be, or may not, says what to do instead.
func TestReplayRefused(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	for name, test := range map[string]struct{ body, field, says string }{
		"no target":             {`{}`, "target.kind", "must be one of topic, webhook, file, redis, tabs, replicas"},
		"an outlet":             {`{"target":{"kind":"oidc"}}`, "target.kind", "must be one of topic"},
		"no topic":              {`{"target":{"kind":"topic"}}`, "target.topic", "required"},
		"the ledger":            {`{"target":{"kind":"topic","topic":"curfew.v1.acme.00.user"}}`, "target.topic", "must not begin"},
		"the ledger, shouted":   {`{"target":{"kind":"topic","topic":"CURFEW.v1"}}`, "target.topic", "must not begin"},
		"a wildcard":            {`{"target":{"kind":"topic","topic":"a.>"}}`, "target.topic", "without wildcards"},
		"the server's own":      {`{"target":{"kind":"topic","topic":"$JS.API.STREAM.DELETE.CURFEW"}}`, "target.topic", "without wildcards or $"},
		"an inbox":              {`{"target":{"kind":"topic","topic":"_INBOX.x"}}`, "target.topic", "must not begin"},
		"another kind's member": {`{"target":{"kind":"redis","url":"https://a.example"}}`, "target.url", "leave it out"},
		"plain http":            {`{"target":{"kind":"webhook","url":"http://receiver.example.com/"}}`, "target.url", "https"},
		"metadata":              {`{"target":{"kind":"webhook","url":"https://169.254.169.254/latest"}}`, "target.url", "public"},
		"a private network":     {`{"target":{"kind":"webhook","url":"https://10.0.0.1/"}}`, "target.url", "--replay-webhook-networks"},
		"IPv4 within IPv6":      {`{"target":{"kind":"webhook","url":"https://[::ffff:10.0.0.1]/"}}`, "target.url", "public"},
		"a password":            {`{"target":{"kind":"webhook","url":"https://u:p@receiver.example.com/"}}`, "target.url", "password"},
		"another folder":        {`{"target":{"kind":"file","name":"../x"}}`, "target.name", "file's name"},
		"a hidden file":         {`{"target":{"kind":"file","name":".x"}}`, "target.name", "file's name"},
		"no Redis":              {`{"target":{"kind":"redis"}}`, "target.kind", "--redis-url-file"},
		"tabs by mistake":       {`{"target":{"kind":"tabs"}}`, "notify_tabs", "--notify-tabs"},
		"tabs elsewhere":        {`{"target":{"kind":"file"},"notify_tabs":true}`, "notify_tabs", "leave it out"},
		"a part of a rebuild":   {`{"target":{"kind":"replicas"},"filter":{"user":"u"}}`, "filter", "left out"},
		"a group":               {`{"target":{"kind":"replicas","group":"A B"}}`, "target.group", "a-z"},
		"a rate":                {`{"target":{"kind":"file"},"rate":-1}`, "rate", "1 to"},
		"a scope":               {`{"target":{"kind":"file"},"filter":{"scope":"x"}}`, "filter.scope", "one of"},
		"a time":                {`{"target":{"kind":"file"},"filter":{"since":"yesterday"}}`, "filter.since", "RFC 3339"},
		"an empty user":         {`{"target":{"kind":"file"},"filter":{"user":""}}`, "filter.user", "is required"},
		"an empty scope":        {`{"target":{"kind":"file"},"filter":{"scope":""}}`, "filter.scope", "one of"},
		"an empty time":         {`{"target":{"kind":"file"},"filter":{"since":""}}`, "filter.since", "RFC 3339"},
		"an empty tenant":       {`{"target":{"kind":"file"},"filter":{"tenant":""}}`, "filter.tenant", "or * for all"},
		"no position":           {`{"target":{"kind":"file"},"filter":{"before":0}}`, "filter.before", "position"},
		"a tenant":              {`{"target":{"kind":"file"},"filter":{"tenant":"A B"}}`, "filter.tenant", "or * for all"},
	} {
		for _, execute := range []string{`,"execute":true}`, `,"execute":false}`} {
			body := strings.TrimPrefix(strings.TrimSuffix(test.body, "}")+execute, "{,")
			if !strings.HasPrefix(body, "{") {
				body = "{" + body
			}
			got := d.call(t, d.operator, http.MethodPost, "/v1/replays", body)
			if got.status != http.StatusUnprocessableEntity || len(got.faults) != 1 || got.faults[0].Field != test.field || !strings.Contains(got.faults[0].Detail, test.says) {
				t.Errorf("%s: %d %s", name, got.status, got.body)
			}
		}
	}
	for _, test := range []struct {
		key, method, path, code string
		status                  int
	}{
		{d.key, http.MethodPost, "/v1/replays", "api_key_scope", 403}, {d.key, http.MethodGet, "/v1/replays", "api_key_scope", 403},
		{d.operator, http.MethodGet, "/v1/replays?limit=0", "invalid_parameter", 400}, {d.operator, http.MethodGet, "/v1/replays?x=1", "invalid_parameter", 400},
		{d.operator, http.MethodGet, "/v1/replays/nobody", "replay_unknown", 404}, {d.operator, http.MethodPost, "/v1/replays/01a222ce-f410-77d9-af45-200a1753b54d/cancel", "replay_unknown", 404},
		{d.operator, http.MethodPost, "/v1/replays/01a222ce-f410-77d9-af45-200a1753b54d/resume", "replay_unknown", 404},
	} {
		if got := d.call(t, test.key, test.method, test.path, `{"target":{"kind":"file"}}`); got.status != test.status || got.code != test.code {
			t.Errorf("%s %s: %d %s", test.method, test.path, got.status, got.body)
		}
	}
}

// TestPlanOfARebuild says who would read the ledger anew, and that nobody would.
func TestPlanOfARebuild(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	d.present = func(context.Context) ([]replicas.Member, error) {
		list := []replicas.Member{{Report: presence.Report{Name: "away", Group: "many"}, Ended: true}, {Report: presence.Report{Name: "billing-1", Group: "billing"}}}
		for i := range 12 {
			list = append(list, replicas.Member{Report: presence.Report{Name: fmt.Sprint("many-", i), Group: "many"}})
		}
		return list, nil
	}
	for group, want := range map[string]string{
		"billing": `1 replicas of group "billing" report themselves: billing-1.`, "many": `12 replicas of group "many" report themselves: many-0, many-1, `, "nobody": `No replica of group "nobody" reports itself`,
	} {
		got := d.call(t, d.operator, http.MethodPost, "/v1/replays", `{"target":{"kind":"replicas","group":"`+group+`"}}`)
		if notes := strings.Join(got.plan.Notes, " "); got.status != http.StatusOK || !strings.Contains(notes, want) || strings.Contains(notes, "away") || strings.Contains(notes, "and 2 more") != (group == "many") {
			t.Errorf("%s: %d %s", group, got.status, notes)
		}
	}
}
