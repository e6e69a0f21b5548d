//go:build linux || darwin

package bus

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lockName is the file in the store folder whose lock says that a process has it open. The kernel drops the lock with the
// process, so a crash leaves nothing to clean up.
const lockName = "curfew.lock"

// lockDir takes the folder for this process. The returned file holds the lock until it is closed.
func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, &Error{Op: "open store", Err: err, Hint: "the folder must be writable by this user: check the owner and mode of " + dir}
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, &Error{
				Op:   "open store",
				Err:  fmt.Errorf("%s: %w", dir, ErrDirInUse),
				Hint: "stop the other curfew (fuser " + path + " names it), or give this one a folder of its own",
			}
		}
		return nil, &Error{Op: "open store", Err: fmt.Errorf("lock %s: %w", path, err), Hint: "the folder must be on a file system with locks, not on a network share"}
	}
	return f, nil
}

// freeBytes returns what an unprivileged process can still write to the file system of dir; zero when inodes ran out.
func freeBytes(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, err
	}
	if st.Files > 0 && st.Ffree == 0 {
		return 0, nil
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}
