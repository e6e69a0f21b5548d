package bus

import "strings"

// Topics of what gateways tell and are asked while it happens. No stream takes them: who doesn't listen has missed it. No id stands in one, and no tenant:
// whoever may subscribe to them hears of every tenant's users.
const (
	// LiveTabsTopic is where gateways are asked for the tabs of a user.
	LiveTabsTopic = "curfew.live.tabs"
	// LivePresenceTopic is where gateways tell who has come and who has gone.
	LivePresenceTopic = "curfew.live.presence"
	// LiveAcksTopic is where gateways tell what tabs did with a notice.
	LiveAcksTopic = "curfew.live.acks"

	// LivePassedAcksTopic is where a gateway passes on what a tab has acknowledged whose stream another one holds.
	LivePassedAcksTopic = "curfew.live.passed_acks"

	// LiveHintsTopic is where gateways are told what tabs should know that isn't in the ledger.
	LiveHintsTopic = "curfew.live.hints"

	// LiveReplicasTopic is where replicas are asked how far they are, and what they know of a session.
	LiveReplicasTopic = "curfew.live.replicas"

	// liveAnswerPrefix begins the topics of answers. They aren't under _INBOX, which every user of the account may read.
	liveAnswerPrefix = "curfew.live.answers."
)

// LiveAnswerTopic is where the answers to one question go; token is of letters and digits, and can't be guessed.
func LiveAnswerTopic(token string) string { return liveAnswerPrefix + token }

// IsLiveAnswerTopic reports whether topic is one of LiveAnswerTopic. Who answers a question must know: he has the right to publish elsewhere, as to the
// ledger, which who asks may not have.
func IsLiveAnswerTopic(topic string) bool {
	token, ok := strings.CutPrefix(topic, liveAnswerPrefix)
	return ok && token != "" && len(token) <= 64 && !strings.ContainsFunc(token, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
}
