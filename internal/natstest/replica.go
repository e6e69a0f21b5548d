package natstest

import (
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/curfewhq/curfew/events/presence"
)

// Answer answers what replicas are asked over nc, under a name, until stop or the end of the test.
func Answer(t testing.TB, nc *nats.Conn, name string, answer func(presence.Question) presence.Answer) (stop func()) {
	t.Helper()
	sub, err := nc.Subscribe(presence.QuestionsTopic, func(msg *nats.Msg) {
		q, err := presence.DecodeQuestion(msg.Data)
		if err != nil || !presence.IsAnswerTopic(msg.Reply) {
			return
		}
		a := answer(q)
		a.Name = name
		if data, err := presence.EncodeAnswer(a); err == nil {
			_ = nc.Publish(msg.Reply, data) // the test finds that it is missing
		}
	})
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	stop = func() { _ = sub.Unsubscribe() } // once is enough
	t.Cleanup(stop)
	return stop
}
