package revocationhttp

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/curfewhq/curfew/revocation"
)

// However long the hook takes for the beginning, the end comes after it, and nothing after close.
func TestEpisodeIsToldInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var told []bool
		release := make(chan struct{})
		e := &episodes{tell: func(e Episode) {
			if !e.Over {
				<-release
			}
			mu.Lock()
			defer mu.Unlock()
			told = append(told, e.Over)
		}}
		counted := make(chan struct{})
		go func() {
			defer close(counted)
			e.count(revocation.Session{}, revocation.Require{}, revocation.ErrStale)
		}()
		synctest.Wait()
		closed := make(chan struct{})
		go func() { defer close(closed); e.close() }()
		synctest.Wait()
		close(release)
		<-closed
		mu.Lock()
		atClose := slices.Clone(told)
		mu.Unlock()
		<-counted
		if want := []bool{false, true}; !slices.Equal(atClose, want) || len(told) != len(want) {
			t.Errorf("told %v until close and %v in all, want the beginning and then the end", atClose, told)
		}
	})
}
