package revocationnats_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/curfewhq/curfew/events/exposure"
	"github.com/curfewhq/curfew/events/presence"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationnats"
)

// asked sends a question, and returns the first answer.
func (r *rig) asked(q presence.Question) presence.Answer {
	r.t.Helper()
	nc := r.js.Conn()
	topic := presence.AnswerTopic("token")
	sub, err := nc.SubscribeSync(topic)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	data, err := presence.EncodeQuestion(q)
	if err == nil {
		err = nc.PublishRequest(presence.QuestionsTopic, topic, data)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	msg, err := sub.NextMsg(patience)
	if err != nil {
		r.t.Fatal(err)
	}
	a, err := presence.DecodeAnswer(msg.Data)
	if err != nil {
		r.t.Fatalf("%s: %v", msg.Data, err)
	}
	return a
}

// A service's own replica answers with its state, with what it knows of a session, and with what the service has let through.
func TestPresenceAnswers(t *testing.T) {
	r := newRig(t, quick)
	r.beats(50 * time.Millisecond)
	replica := r.open(revocation.Config{StalenessBudget: 2 * time.Second})
	passes, err := revocation.NewPasses(replica, revocation.PassesConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(passes.Close)
	h := r.hearReports()
	p, err := revocationnats.NewPresence(r.js.Conn(), replica, revocationnats.PresenceConfig{Name: "billing-7", Group: "billing", Version: "1.4.2", Passes: passes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	if err := r.js.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	s := session(1)
	passes.Record(s, "GET /invoices", replica.Check(s))
	e := logout(1)
	position := r.Publish(e)
	waitFor(t, replica, position)

	a := r.asked(presence.Question{Tenant: "acme", Session: "s-1"})
	if a.Name != "billing-7" || a.Group != "billing" || a.Version != "1.4.2" || a.Position < position || !a.Fresh || a.StalenessMS < 0 {
		t.Errorf("got %+v", a)
	}
	// Who hears reports knows by the id which of them is silent.
	if report := <-h.all; a.ID == "" || a.ID != report.ID {
		t.Errorf("it answers as %q, and reports as %q", a.ID, report.ID)
	}
	tenant := s.Tenant
	if tenant == "" {
		tenant = "default"
	}
	a = r.asked(presence.Question{Tenant: tenant, Session: s.ID, User: s.User, AuthTime: s.AuthTime})
	if a.State != "revoked" || a.EventPosition != position || a.Scope == "" {
		t.Errorf("of a session: %+v", a)
	}
	if a = r.asked(presence.Question{Tenant: tenant}); a.State != "" || a.Exposure != nil {
		t.Errorf("of no session: %+v", a)
	}
	q := &exposure.Question{Position: position, Event: e.Meta().ID, Sessions: []string{s.ID}, SinceMS: time.Now().Add(-time.Minute).UnixMilli(), UntilMS: time.Now().UnixMilli()}
	if a = r.asked(presence.Question{Tenant: tenant, Exposure: q}); a.Exposure == nil || a.Exposure.Count != 1 {
		t.Errorf("of what passed: %+v", a.Exposure)
	}
}

// What isn't in form isn't answered, and an answer goes nowhere but where answers go: the replica may publish where who asks may not.
func TestPresenceAnswersNowhereElse(t *testing.T) {
	r := newRig(t, quick)
	s := &standing{moved: make(chan struct{})}
	own := r.connect(r.srv.URL()).Conn()
	p, err := revocationnats.NewPresence(own, s, revocationnats.PresenceConfig{})
	if err == nil {
		err = own.Flush() // from here on the server knows that it listens
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	nc := r.js.Conn()
	var all []string
	done := make(chan struct{})
	if _, err := nc.Subscribe(">", func(msg *nats.Msg) {
		switch msg.Subject {
		case "curfew.v1.acme.00.session", presence.AnswerTopic("x"), presence.AnswerTopic("last"):
			all = append(all, msg.Subject)
		}
		if msg.Subject == presence.AnswerTopic("last") {
			close(done)
		}
	}); err != nil {
		t.Fatal(err)
	}
	good := `{"v":1,"tenant":"acme"}`
	for _, q := range []struct{ reply, data string }{
		{presence.AnswerTopic("x"), `{`}, {presence.AnswerTopic("x"), `{"v":2,"tenant":"acme"}`}, {presence.AnswerTopic("x"), `{"v":1,"tenant":"*"}`},
		{"curfew.v1.acme.00.session", good}, {presence.AnswerTopic("last"), good},
	} {
		if err := nc.PublishRequest(presence.QuestionsTopic, q.reply, []byte(q.data)); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("a good question isn't answered")
	}
	if diff := cmp.Diff([]string{presence.AnswerTopic("last")}, all); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
