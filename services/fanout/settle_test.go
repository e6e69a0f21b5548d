package fanout

import (
	"slices"
	"testing"
)

// Memory is given back after a storm and not in it, and not for a few conns that come and go.
func TestSettling(t *testing.T) {
	for _, c := range []struct {
		name  string
		conns []int
		want  []int // at which of them it is due
	}{
		{"nobody", []int{0, 0, 0}, nil},
		{"a few come and go", []int{300, 400, 400, 100, 100}, nil},
		{"a storm", []int{3000, 12_000, 19_000, 19_001, 19_000, 19_000}, []int{3}},
		{"a storm that goes on", []int{5000, 10_000, 15_000, 19_000}, nil},
		{"and back", []int{19_000, 19_000, 9000, 500, 500, 500}, []int{1, 4}},
		{"slow growth", []int{990, 995, 1000, 1005, 1500, 1995, 2000, 2001}, []int{2, 6}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s settling
			var got []int
			for i, n := range c.conns {
				if s.due(n) {
					got = append(got, i)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("due at %v, want %v", got, c.want)
			}
		})
	}
}
