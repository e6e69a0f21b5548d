package events_test

import (
	"path/filepath"
	"testing"
)

// FuzzDecode holds arbitrary bytes to checkDecode: no panic; an error of one of the three classes, at most 8 KiB long; or an
// event that is valid, and encodes and decodes to an equal one.
func FuzzDecode(f *testing.F) {
	for _, dir := range []string{goldenDir, foreignDir} {
		for _, name := range fileNames(f, dir) {
			f.Add(readFile(f, filepath.Join(dir, name)))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) { checkDecode(t, b) })
}
