package server

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
)

// AdminKeyPath is where serve writes the first admin key, and where the command line looks for one.
func AdminKeyPath(dataDir string) string { return filepath.Join(dataDir, "admin.key") }

// firstKey makes an admin key if there is no key at all, and writes it to a file that only this user can read. There is no default secret.
func (s *Server) firstKey(ctx context.Context) error {
	if len(s.keys.List()) > 0 || s.cfg.DataDir == "" {
		return nil
	}
	if err := os.MkdirAll(s.cfg.DataDir, 0o700); err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	_, text, err := s.keys.Create(ctx, access.Request{Name: "first admin key", Tenant: events.DefaultTenant, Scopes: access.Scopes()})
	if err != nil {
		return fmt.Errorf("make the first admin key: %w", err)
	}
	path := AdminKeyPath(s.cfg.DataDir)
	// A file that is left over may be readable by others, and O_CREATE wouldn't change that.
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("write the first admin key: %w", err)
	}
	if err := os.WriteFile(path, []byte(text.Reveal()+"\n"), 0o600); err != nil {
		return fmt.Errorf("write the first admin key: %w", err)
	}
	s.adminKeyFile = path
	s.log.WithField("file", path).Info("made the first admin key")
	return nil
}
