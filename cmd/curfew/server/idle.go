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
	TimeoutMS int64     `json:"timeout_ms"`
	Since     time.Time `json:"since"`
}

// idleSince returns since when the idle timeout of the configuration holds. Before that nobody had to touch as often, and sessions are counted as idle from then on at the earliest: who turns an idle timeout
// on, or shortens it, doesn't sign everybody out. The first process that has another one than those before writes down when that was.
func (s *Server) idleSince(ctx context.Context) (time.Time, error) {
	timeout := s.cfg.Sessions.IdleTimeout
	if timeout == 0 {
		return time.Time{}, nil
	}
	kv, err := s.bus.KeyValue(ctx, bus.SettingsBucket())
	if err != nil {
		return time.Time{}, err
	}
	for {
		var last uint64
		entry, err := kv.Get(ctx, idleEntry)
		switch {
		case err == nil:
			var setting idleSetting
			if json.Unmarshal(entry.Value(), &setting) == nil && setting.TimeoutMS == timeout.Milliseconds() {
				return setting.Since, nil
			}
			last = entry.Revision()
		case !errors.Is(err, jetstream.ErrKeyNotFound):
			return time.Time{}, fmt.Errorf("read since when the idle timeout holds: %w", err)
		}
		now := idleSetting{TimeoutMS: timeout.Milliseconds(), Since: time.Now().UTC()}
		value, err := json.Marshal(now)
		if err != nil {
			return time.Time{}, err
		}
		if _, err = kv.Update(ctx, idleEntry, value, last); err == nil {
			return now.Since, nil
		}
		// Another process was faster: look again. Processes with different timeouts would go on so for ever.
		if !errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
			return time.Time{}, fmt.Errorf("write since when the idle timeout holds: %w", err)
		}
	}
}
