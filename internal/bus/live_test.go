package bus_test

import (
	"strings"
	"testing"

	"github.com/curfewhq/curfew/events/presence"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
)

// What travels on live topics is kept by no stream: it holds ids of users and sessions, and nobody would ever delete it.
func TestNoStreamTakesLiveTopics(t *testing.T) {
	b := natstest.Bus(t)
	for _, topic := range []string{bus.LiveTabsTopic, bus.LivePresenceTopic, bus.LiveAcksTopic, bus.LivePassedAcksTopic, bus.LiveHintsTopic, presence.QuestionsTopic, bus.LiveAnswerTopic("x")} {
		if name, err := b.JetStream().StreamNameBySubject(t.Context(), topic); err == nil {
			t.Errorf("%s is kept by the stream %s", topic, name)
		}
	}
	if name, err := b.JetStream().StreamNameBySubject(t.Context(), topic); err != nil || name != bus.LedgerStream {
		t.Fatalf("%s is kept by %q, %v: the test sees nothing", topic, name, err)
	}
}

func TestLiveAnswerTopics(t *testing.T) {
	for topic, want := range map[string]bool{
		bus.LiveAnswerTopic("Zm9v"):                      true,
		bus.LiveAnswerTopic(strings.Repeat("x", 64)):     true,
		bus.LiveAnswerTopic(strings.Repeat("x", 65)):     false,
		bus.LiveAnswerTopic(""):                          false,
		bus.LiveAnswerTopic("a.b"):                       false,
		bus.LiveAnswerTopic("*"):                         false,
		bus.LiveAnswerTopic(">"):                         false,
		"":                                               false,
		"_INBOX.x":                                       false,
		bus.LiveAcksTopic:                                false,
		"curfew.v1.acme.3f.session":                      false,
		"$KV.CURFEW_GATEWAYS.x":                          false,
		strings.ToUpper(bus.LiveAnswerTopic("x")):        false,
		bus.LiveAnswerTopic("x") + "\r\nPUB curfew.v1 0": false,
	} {
		if got := bus.IsLiveAnswerTopic(topic); got != want {
			t.Errorf("%q: %v, want %v", topic, got, want)
		}
	}
}
