//go:build !linux && !darwin

package bus

import (
	"errors"
	"os"
	"path/filepath"
)

// lockDir can't lock on this system: two processes on one folder aren't told apart here.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "curfew.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, &Error{Op: "open store", Err: err, Hint: "the folder must be writable by this user: check " + dir}
	}
	return f, nil
}

// freeBytes isn't known on this system.
func freeBytes(string) (int64, error) { return 0, errors.ErrUnsupported }
