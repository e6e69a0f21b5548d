package sessionkv

import (
	"encoding/binary"
	"encoding/hex"
	"iter"
	"time"
)

// A sheet of touches is the version of its form, and for each touch the 16 bytes of the session's name and the time in milliseconds, as 8 bytes, the greatest first.
const (
	sheetVersion = 1
	nameBytes    = 16
	touchBytes   = nameBytes + 8
)

// newSheet returns an empty sheet with room for n touches.
func newSheet(n int) []byte { return append(make([]byte, 0, 1+n*touchBytes), sheetVersion) }

// appendTouch adds a touch. The name is a Hasher's.
func appendTouch(sheet []byte, name string, at time.Time) []byte {
	sheet, _ = hex.AppendDecode(sheet, []byte(name)) // a Hasher's names are hexadecimal
	return binary.BigEndian.AppendUint64(sheet, uint64(at.UnixMilli()))
}

// readSheet returns the touches of a sheet; none of something that isn't one.
func readSheet(sheet []byte) iter.Seq2[string, time.Time] {
	return func(yield func(string, time.Time) bool) {
		if len(sheet) == 0 || sheet[0] != sheetVersion || (len(sheet)-1)%touchBytes != 0 {
			return
		}
		for rest := sheet[1:]; len(rest) > 0; rest = rest[touchBytes:] {
			at := time.UnixMilli(int64(binary.BigEndian.Uint64(rest[nameBytes:]))).UTC()
			if !yield(hex.EncodeToString(rest[:nameBytes]), at) {
				return
			}
		}
	}
}
