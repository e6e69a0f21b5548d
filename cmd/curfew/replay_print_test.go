package main

import (
	"strings"
	"testing"

	"github.com/curfewhq/curfew/services/replay"
)

// TestReplayBar: on a terminal a bar shows how much of the range is behind, whatever position it begins at, and what holds the replay up.
func TestReplayBar(t *testing.T) {
	for _, test := range []struct {
		replay replay.Replay
		want   []string
	}{
		{replay.Replay{From: 101, To: 200, Position: 150, Sent: 7, State: replay.StateRunning, Error: "redis is away: tried again in 2s"}, []string{"50%", "(50/100", "running, 7 sent redis is away"}},
		{replay.Replay{From: 101, To: 200, State: replay.StateWaiting}, []string{"0%", "(0/100", "waiting, 0 sent"}},
		{replay.Replay{To: 40, Position: 30, Sent: 30, State: replay.StateRunning}, []string{"30 sent"}},
	} {
		var out strings.Builder
		bar(&out)(test.replay)
		for _, want := range test.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("position %d of %d to %d: %q is missing in %q", test.replay.Position, test.replay.From, test.replay.To, want, out.String())
			}
		}
	}
}
