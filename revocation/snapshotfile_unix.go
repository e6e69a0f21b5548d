//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package revocation

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// staleAfter is how long nobody has written to a temporary file that counts as left behind, if it isn't locked either. It covers the moment
// between making it and locking it.
const staleAfter = time.Minute

// openNonblocking opens a file to read, and doesn't wait for a writer if it is a pipe.
func openNonblocking(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

// writableByOthers says in what way others may have written a file, or "".
func writableByOthers(info os.FileInfo) string {
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return fmt.Sprintf("may be written by others (mode %04o)", mode)
	}
	// Whoever owns a file may write to it, or let himself.
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return fmt.Sprintf("belongs to another user (%d)", st.Uid)
	}
	return ""
}

// markWritten locks a file for as long as it is open. A lock ends with its process, however that ends. Where the file system knows no locks,
// nobody can tell who is gone, and nothing is removed.
func markWritten(f *os.File) error {
	err := flock(f, syscall.LOCK_EX)
	if errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.ENOLCK) {
		return nil
	}
	return err
}

// beingWritten reports whether somebody has marked the file, or nobody can tell.
func beingWritten(path string) bool {
	f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return true
	}
	defer func() { _ = f.Close() }()
	return flock(f, syscall.LOCK_EX|syscall.LOCK_NB) != nil
}

func flock(f *os.File, how int) error {
	for {
		if err := syscall.Flock(int(f.Fd()), how); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// syncFolder writes the names in a folder to the disk. Some file systems don't know that and don't need it.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		err = nil
	}
	return errors.Join(err, d.Close())
}
