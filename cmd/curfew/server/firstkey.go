package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
)

// AdminKeyPath is where serve writes the first key, and where the command line looks for one.
func AdminKeyPath(dataDir string) string { return filepath.Join(dataDir, "admin.key") }

// firstKey makes a key with every scope if there is no live key that manages all others, and writes it to a file that only this user can read.
// There is no default secret. It refuses the start rather than leave a deployment that nobody can manage.
//
// The file comes first: a key without a file would keep later starts from making one, and nobody would have it. Between the two steps there is
// a file without a key, which the next start replaces. Processes that start at once may each make one; all of them are good.
func (s *Server) firstKey(ctx context.Context) error {
	if slices.ContainsFunc(s.keys.List(), func(k access.Key) bool { return k.RevokedAt.IsZero() && k.Has(access.ScopeOperator) }) {
		return nil
	}
	const missing = "there is no live key with the scope operator, and the first one can't be written"
	if s.cfg.DataDir == "" {
		return errors.New("data_dir: " + missing + " without a folder: set data_dir, or first start a process that has it set")
	}
	draft, err := access.NewDraft(access.Request{Name: "first key", Tenant: events.DefaultTenant, Scopes: access.Scopes()})
	if err != nil {
		return fmt.Errorf("make the first key: %w", err)
	}
	path := AdminKeyPath(s.cfg.DataDir)
	if err := writePrivate(path, draft.Text().Reveal()+"\n"); err != nil {
		return fmt.Errorf("data_dir: "+missing+": %w: set data_dir to a folder that this user can write to", err)
	}
	if _, err := s.keys.Add(ctx, draft); err != nil {
		return fmt.Errorf("make the first key: %w", err)
	}
	s.adminKeyFile = path
	s.log.WithField("file", path).Info("made the first key, which has every scope")
	return nil
}

// writePrivate puts a file that only this user can read at path, whole and on the disk, or leaves what is there. A new file takes the old one's
// place, because the old one may be readable by others.
func writePrivate(path, content string) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+"-*") // with mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.WriteString(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir writes the names in a folder to the disk.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
