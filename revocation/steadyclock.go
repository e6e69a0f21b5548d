package revocation

import (
	"sync"
	"time"
)

const (
	// steadySlack is by how much the wall clock may move on more than the monotonic one before that is taken for a jump.
	steadySlack = time.Minute
	// steadyPatience is for how long a jump must last to be believed: whoever set the clock wrong has noticed by then.
	steadyPatience = time.Hour
)

// steadyClock is a wall clock that doesn't jump ahead: by it entries are forgotten, and what is forgotten doesn't come back when the clock is put right.
// On one machine the stream's clock and ours are the same, so neither tells of the other's jumps:
//
//  1. the machine's clock is set a day ahead; 2. a sweep forgets the revocations of sessions that end within the day; 3. the clock is put right.
//
// A machine that has slept looks the same; it forgets up to an hour later. Set began, to when the monotonic clock's count begins; it is safe for
// concurrent use.
type steadyClock struct {
	began time.Time

	mu sync.Mutex
	// wall is what was believed last, and mono when, since began.
	wall time.Time
	mono time.Duration
	// ahead is since when the clock has been ahead, since began; 0 if it isn't.
	ahead time.Duration
}

// believe returns the time by a reading of the clock (time.Now).
func (s *steadyClock) believe(now time.Time) time.Time { return s.at(now.Round(0), now.Sub(s.began)) }

// at is believe for a reading of the wall clock and one of the monotonic clock.
func (s *steadyClock) at(wall time.Time, mono time.Duration) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wall.IsZero() {
		s.wall, s.mono = wall, mono
	}
	expected := s.wall.Add(mono - s.mono)
	switch {
	case !wall.After(expected.Add(steadySlack)), s.ahead > 0 && mono-s.ahead >= steadyPatience:
		s.wall, s.mono, s.ahead = wall, mono, 0
		return wall
	case s.ahead == 0:
		s.ahead = max(mono, 1)
	}
	return expected
}
