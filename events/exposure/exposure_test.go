package exposure_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/curfewhq/curfew/events/exposure"
)

func TestInForm(t *testing.T) {
	good := exposure.Question{Position: 1, Event: "e", Sessions: []string{"s"}, SinceMS: 1, UntilMS: 1}
	with := func(change func(*exposure.Question)) exposure.Question {
		q := good
		change(&q)
		return q
	}
	many := make([]string, exposure.MaxSessions+1)
	for i := range many {
		many[i] = "s"
	}
	for name, test := range map[string]struct {
		q    exposure.Question
		want bool
	}{
		"good":                {good, true},
		"as many as may be":   {with(func(q *exposure.Question) { q.Sessions = many[1:] }), true},
		"no sessions":         {with(func(q *exposure.Question) { q.Sessions = nil }), true},
		"too many":            {with(func(q *exposure.Question) { q.Sessions = many }), false},
		"an empty session":    {with(func(q *exposure.Question) { q.Sessions = []string{""} }), false},
		"a long session":      {with(func(q *exposure.Question) { q.Sessions = []string{strings.Repeat("x", 257)} }), false},
		"no position":         {with(func(q *exposure.Question) { q.Position = 0 }), false},
		"a long event":        {with(func(q *exposure.Question) { q.Event = strings.Repeat("x", 65) }), false},
		"until before since":  {with(func(q *exposure.Question) { q.UntilMS = 0 }), false},
		"a negative time":     {with(func(q *exposure.Question) { q.SinceMS = -1 }), false},
		"nothing is in order": {exposure.Question{}, false},
	} {
		if got := test.q.InForm(); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// The names of members are the form: processes of other versions read them.
func TestForm(t *testing.T) {
	for want, v := range map[string]any{
		`{"position":42,"event":"e","sessions":["s-1"],"since_ms":1,"until_ms":2}`: exposure.Question{Position: 42, Event: "e", Sessions: []string{"s-1"}, SinceMS: 1, UntilMS: 2},
		`{"now_ms":1,"began_ms":2,"applied":true,"applied_ms":3,"whole_since_ms":4,"passes":[{"session":0,"at_ms":5,"route":"GET /pay","undetermined":true}],"count":1}`: exposure.Answer{
			NowMS: 1, BeganMS: 2, Applied: true, AppliedMS: 3, WholeSinceMS: 4, Passes: []exposure.Pass{{AtMS: 5, Route: "GET /pay", Undetermined: true}}, Count: 1,
		},
	} {
		if got, err := json.Marshal(v); err != nil || string(got) != want {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	}
}
