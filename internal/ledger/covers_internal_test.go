package ledger

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestCovers holds covers against NATS's rule for wildcards of one part, part by part.
func TestCovers(t *testing.T) {
	part := rapid.SampledFrom([]string{"curfew", "v1", "acme", "acme2", "*", "a*", "00", "beat"})
	subjectPart := rapid.SampledFrom([]string{"curfew", "v1", "acme", "acme2", "a*", "00", "beat"})
	rapid.Check(t, func(t *rapid.T) {
		topic, subject := rapid.SliceOfN(part, 1, 5).Draw(t, "topic"), rapid.SliceOfN(subjectPart, 1, 5).Draw(t, "subject")
		want := len(topic) == len(subject)
		for i := 0; want && i < len(topic); i++ {
			want = topic[i] == "*" || topic[i] == subject[i]
		}
		if got := covers(strings.Join(topic, "."), strings.Join(subject, ".")); got != want {
			t.Fatalf("%v covers %v: %v, want %v", topic, subject, got, want)
		}
	})
}
