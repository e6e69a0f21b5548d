package server

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// What fails is told once, and again when it has worked meanwhile: or nobody would hear of the second time.
func TestAgainTellsOfEachEpisode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		// each is what becomes of a try: whether it works for a while, and how it ends.
		each := []struct {
			works bool
			err   error
		}{
			{false, errors.New("1")}, {false, errors.New("2")}, {true, errors.New("3")}, {false, errors.New("4")}, {false, nil}, {false, errors.New("5")}, {true, nil},
		}
		tries := 0
		var told []string
		began := time.Now()
		again(ctx, func() time.Duration { return time.Minute }, func(_ context.Context, works func()) error {
			now := each[tries]
			if tries++; tries == len(each) {
				cancel()
			}
			if now.works {
				works()
			}
			return now.err
		}, func(err error) { told = append(told, err.Error()) })
		if want := []string{"1", "3", "5"}; !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
		if took, want := time.Since(began), time.Duration(len(each)-1)*time.Minute; took != want {
			t.Errorf("it took %v, want %v", took, want)
		}
	})
}
