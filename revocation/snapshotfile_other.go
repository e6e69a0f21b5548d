//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package revocation

import (
	"os"
	"time"
)

// staleAfter is how long nobody has written to a temporary file that counts as left behind: longer than any write takes, for there is no other sign.
const staleAfter = time.Hour

func openNonblocking(path string) (*os.File, error) { return os.Open(path) }

// writableByOthers can't tell from what os.FileInfo says here.
func writableByOthers(os.FileInfo) string { return "" }

func markWritten(*os.File) error { return nil }

func beingWritten(string) bool { return false }

// syncFolder does nothing: a folder can't be synced here.
func syncFolder(string) error { return nil }
