package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/internal/bus"
)

// idleEntry is where it is written since when an idle timeout holds.
const idleEntry = "idle-timeout"

// idleSetting is that entry.
type idleSetting struct {
	// TimeoutMS is 0 for none. Since is zero then, and otherwise by the clock of who has written it.
	TimeoutMS int64     `json:"timeout_ms"`
	Since     time.Time `json:"since,omitzero"`
}

// idleSince returns since when the idle timeout of the configuration holds; zero if there is none. Before that nobody had to touch as often, and sessions are counted as idle from then on at the
// earliest: who turns an idle timeout on, or shortens it, doesn't sign everybody out. The first process that has another one than those before writes down when that was; so does one that has none
// where there was one, for who turns the same one on again a week later is in the same place.
func (s *Server) idleSince(ctx context.Context) (time.Time, error) {
	timeout := s.cfg.Sessions.IdleTimeout
	kv, err := s.bus.KeyValue(ctx, bus.SettingsBucket())
	if err != nil {
		return time.Time{}, err
	}
	for {
		var setting idleSetting
		var last uint64
		entry, err := kv.Get(ctx, idleEntry)
		switch {
		case err == nil:
			last = entry.Revision()
			if json.Unmarshal(entry.Value(), &setting) != nil {
				setting = idleSetting{TimeoutMS: -1} // another one, whatever it was
			}
		case !errors.Is(err, jetstream.ErrKeyNotFound):
			return time.Time{}, fmt.Errorf("read since when the idle timeout holds: %w", err)
		}
		if setting.TimeoutMS == timeout.Milliseconds() {
			return setting.Since, nil
		}
		now := idleSetting{TimeoutMS: timeout.Milliseconds()}
		if timeout > 0 {
			now.Since = time.Now().UTC()
		}
		value, err := json.Marshal(now)
		if err != nil {
			return time.Time{}, err
		}
		if _, err = kv.Update(ctx, idleEntry, value, last); err == nil {
			return now.Since, nil
		}
		// Another process was faster: look again.
		if !errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
			return time.Time{}, fmt.Errorf("write since when the idle timeout holds: %w", err)
		}
	}
}
