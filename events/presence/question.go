package presence

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/events/exposure"
)

const (
	// QuestionsTopic is where replicas are asked how far they are, what they know of a session, and what it got through.
	QuestionsTopic = "curfew.live.replicas"
	// answersPrefix begins the topics of answers. They aren't under _INBOX, which every user of the account may read.
	answersPrefix = "curfew.live.answers."
	// MaxQuestionBytes is far above what a question or an answer takes; those about exposure may hold a hundred ids, or two hundred passes.
	MaxQuestionBytes = 256 << 10
)

// Question asks how far replicas are, and, if it names anything, what they know of a session.
type Question struct {
	Tenant  string `json:"tenant"`
	Session string `json:"session,omitempty"`
	User    string `json:"user,omitempty"`
	Device  string `json:"device,omitempty"`
	Client  string `json:"client,omitempty"`
	// AuthTime is zero if it isn't known.
	AuthTime time.Time `json:"auth_time,omitzero"`
	// Exposure asks what passed; nil asks nothing of it.
	Exposure *exposure.Question `json:"exposure,omitempty"`
}

// NamesSession reports whether the question is about a session.
func (q Question) NamesSession() bool { return q.Session != "" || q.User != "" }

// InForm reports whether the question can be asked.
func (q Question) InForm() bool {
	for _, id := range []string{q.Session, q.User, q.Device, q.Client} {
		if id != "" && events.IDFault(id) != "" {
			return false
		}
	}
	return events.TenantFault(q.Tenant) == "" && (q.Exposure == nil || q.Exposure.InForm())
}

// Answer is what one replica says.
type Answer struct {
	// ID tells the process from all others, as in [Report]. It may be empty: then Group and Name are all that does.
	ID string `json:"id,omitempty"`
	// Name is the process's, for people. Group and Version are as in [Report].
	Name    string `json:"name"`
	Group   string `json:"group,omitempty"`
	Version string `json:"version,omitempty"`
	// Position is how far it has applied the ledger.
	Position uint64 `json:"position"`
	// Fresh is whether its proof of that is young enough; StalenessMS is how old it is, and negative if there is none.
	Fresh       bool    `json:"fresh"`
	StalenessMS float64 `json:"staleness_ms"`
	// State is active, revoked or undetermined; empty where no session was asked about. Scope, Reason and EventPosition tell what ends a revoked one, and Cause why it can't tell.
	State         string `json:"state,omitempty"`
	Scope         string `json:"scope,omitempty"`
	Reason        string `json:"reason,omitempty"`
	EventPosition uint64 `json:"event_position,omitempty"`
	Cause         string `json:"cause,omitempty"`
	// Exposure is what passed; nil where that wasn't asked, and of a process that doesn't remember it.
	Exposure *exposure.Answer `json:"exposure,omitempty"`

	// Asked and Heard are when the question was sent and this answer heard, by the clock of who asks: it was given in between.
	Asked time.Time `json:"-"`
	Heard time.Time `json:"-"`
}

type questionMessage struct {
	V int `json:"v"`
	Question
}

type answerMessage struct {
	V int `json:"v"`
	Answer
}

// EncodeQuestion returns the message, or ErrMalformed.
func EncodeQuestion(q Question) ([]byte, error) {
	if !q.InForm() {
		return nil, ErrMalformed
	}
	return json.Marshal(questionMessage{V: version, Question: q})
}

// DecodeQuestion reads a message; it returns ErrMalformed.
func DecodeQuestion(data []byte) (Question, error) {
	var m questionMessage
	if len(data) > MaxQuestionBytes || json.Unmarshal(data, &m) != nil || m.V != version || !m.InForm() {
		return Question{}, ErrMalformed
	}
	return m.Question, nil
}

// EncodeAnswer returns the message.
func EncodeAnswer(a Answer) ([]byte, error) {
	return json.Marshal(answerMessage{V: version, Answer: a})
}

// DecodeAnswer reads a message; it returns ErrMalformed.
func DecodeAnswer(data []byte) (Answer, error) {
	var m answerMessage
	if len(data) > MaxQuestionBytes || json.Unmarshal(data, &m) != nil || m.V != version || m.ID != "" && !isID(m.ID) {
		return Answer{}, ErrMalformed
	}
	return m.Answer, nil
}

// AnswerTopic is where the answers to one question go; token is of letters and digits, and can't be guessed.
func AnswerTopic(token string) string { return answersPrefix + token }

// IsAnswerTopic reports whether topic is one of AnswerTopic. Who answers a question must know: he has the right to publish elsewhere, which who asks may not have (CWE-441).
func IsAnswerTopic(topic string) bool {
	token, ok := strings.CutPrefix(topic, answersPrefix)
	return ok && token != "" && len(token) <= 64 && !strings.ContainsFunc(token, notAlphanumeric)
}

func notAlphanumeric(r rune) bool {
	return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
}
