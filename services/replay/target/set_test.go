package target_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/curfewhq/curfew/services/replay/target"
)

// TestMissingSettings: a setting that a process hasn't got isn't waited for: it comes with a restart only.
func TestMissingSettings(t *testing.T) {
	set := target.NewSet(target.Config{})
	for kind, setting := range map[target.Kind]string{target.KindRedis: "redis.url_file", target.KindFile: "replay_folder"} {
		if _, err := set.Open(t.Context(), "r-1", target.Spec{Kind: kind}, nil); !errors.Is(err, target.ErrFinal) || !strings.Contains(err.Error(), setting) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
