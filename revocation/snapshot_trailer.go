package revocation

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"

	fp "github.com/curfewhq/curfew/revocation/internal/fingerprint"
)

// A trailer ends a snapshot: the latest cutoff of each kind from fp.User on, 8 bytes each, and a CRC-32C. It is written after the sections, for these may hold
// what was applied while they were made; and no cutoff is in a table before the latest of its kind says so.
const trailerBytes = 8*(int(fp.Tenant-fp.User)+1) + 4

func (s *set) trailer() []byte {
	b := make([]byte, 0, trailerBytes)
	for kind := fp.User; kind <= fp.Tenant; kind++ {
		b = binary.LittleEndian.AppendUint64(b, uint64(s.latest[kind].Load()))
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli()))
}

// readTrailer reads the trailer, behind which there must be nothing.
func (s *set) readTrailer(in io.Reader) error {
	b := make([]byte, trailerBytes+1)
	switch n, err := io.ReadFull(in, b); {
	case err == nil:
		return fmt.Errorf("%w: it goes on after its end", ErrSnapshotCorrupt)
	case n != trailerBytes:
		return cut(err)
	}
	numbers := b[:trailerBytes-4]
	if crc32.Checksum(numbers, castagnoli()) != binary.LittleEndian.Uint32(b[trailerBytes-4:]) {
		return fmt.Errorf("%w: its trailer's checksum is wrong", ErrSnapshotCorrupt)
	}
	for kind := fp.User; kind <= fp.Tenant; kind++ {
		s.raise(kind, int64(binary.LittleEndian.Uint64(numbers[8*(kind-fp.User):])))
	}
	return nil
}
