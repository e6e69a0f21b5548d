package revocation

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	fp "github.com/curfewhq/curfew/revocation/internal/fingerprint"
)

const (
	snapshotMagic = "CURFEWRS"
	// snapshotVersion is the form of a snapshot. It changes with anything that a reader must know of, the gravity of reasons included.
	snapshotVersion = 3
	// catalogue is raised whenever a version reads messages of the stream as events that earlier ones skipped: what those have skipped, their
	// snapshots lack.
	catalogue = 1
	// maxStreamName bounds what a header makes its reader allocate.
	maxStreamName = 1 << 10
	headerNumbers = 10
	fixedHeader   = 8 + 4 + 4 + 2 + 2 + fp.KeySize + 8*headerNumbers
)

// header begins a snapshot. Times are in Unix milliseconds unless they say something else.
type header struct {
	key [fp.KeySize]byte
	// stream is the incarnation, and position the last event that is in the snapshot for sure. stored, in Unix nanoseconds, is when the stream
	// stored it: so a stream that was put back to an earlier state is found out.
	stream   string
	position uint64
	stored   int64
	// upTo is what the positions of entries are reckoned from.
	upTo uint64
	// maxAge, leeway and tick are the writer's, in milliseconds: expiries can't be read by others'.
	maxAge, leeway, tick int64
	// highest is the last tick at which an entry expires, and swept up to when entries had been forgotten.
	highest, swept int64
	// skipped is whether messages were left out that a version with another catalogue might have read.
	skipped bool
	// sessions and scopes are how many entries there were when it was written, which a sweep may have made fewer meanwhile.
	sessions, scopes int
}

func (h *header) place() Place {
	return Place{Position: h.position, Stored: time.Unix(0, h.stored).UTC()}
}

// numbers returns the fields that are written as 64 bits each, in their order.
func (h *header) numbers() []uint64 {
	return []uint64{
		h.position, uint64(h.stored), h.upTo, uint64(h.maxAge), uint64(h.leeway), uint64(h.tick), uint64(h.highest), uint64(h.swept), uint64(h.sessions), uint64(h.scopes),
	}
}

// setNumbers is the reverse of numbers.
func (h *header) setNumbers(n []uint64) {
	h.position, h.stored, h.upTo = n[0], int64(n[1]), n[2]
	h.maxAge, h.leeway, h.tick, h.highest, h.swept = int64(n[3]), int64(n[4]), int64(n[5]), int64(n[6]), int64(n[7])
	h.sessions, h.scopes = int(n[8]), int(n[9])
}

// encode returns the header with its checksum.
func (h *header) encode() []byte {
	b := append([]byte(nil), snapshotMagic...)
	b = binary.LittleEndian.AppendUint32(b, snapshotVersion)
	b = binary.LittleEndian.AppendUint32(b, catalogue)
	skipped := uint16(0)
	if h.skipped {
		skipped = 1
	}
	b = binary.LittleEndian.AppendUint16(b, skipped)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(h.stream)))
	b = append(b, h.key[:]...)
	for _, n := range h.numbers() {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	b = append(b, h.stream...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli()))
}

// readHeader reads a header and checks that it can be understood. Whether the snapshot is the stream's is for others to ask.
func readHeader(in io.Reader) (header, error) {
	fixed := make([]byte, fixedHeader)
	if _, err := io.ReadFull(in, fixed); err != nil {
		return header{}, cut(err)
	}
	if string(fixed[:8]) != snapshotMagic {
		return header{}, fmt.Errorf("%w: it doesn't begin like one", ErrSnapshotCorrupt)
	}
	version, read := binary.LittleEndian.Uint32(fixed[8:]), binary.LittleEndian.Uint32(fixed[12:])
	if version != snapshotVersion {
		return header{}, fmt.Errorf("%w: its form is version %d, and this replica reads version %d", ErrSnapshotForeign, version, snapshotVersion)
	}
	length := int(binary.LittleEndian.Uint16(fixed[18:]))
	if length > maxStreamName {
		return header{}, fmt.Errorf("%w: its header makes no sense", ErrSnapshotCorrupt)
	}
	rest := make([]byte, length+4)
	if _, err := io.ReadFull(in, rest); err != nil {
		return header{}, cut(err)
	}
	sum := crc32.Update(crc32.Checksum(fixed, castagnoli()), castagnoli(), rest[:length])
	if sum != binary.LittleEndian.Uint32(rest[length:]) {
		return header{}, fmt.Errorf("%w: its header's checksum is wrong", ErrSnapshotCorrupt)
	}
	h := header{stream: string(rest[:length]), skipped: fixed[16] != 0}
	copy(h.key[:], fixed[20:])
	numbers := make([]uint64, headerNumbers)
	for i := range numbers {
		numbers[i] = binary.LittleEndian.Uint64(fixed[20+fp.KeySize+8*i:])
	}
	h.setNumbers(numbers)
	if h.skipped && read != catalogue {
		return header{}, fmt.Errorf("%w: another version wrote it, which skipped messages that this one may be able to read", ErrSnapshotForeign)
	}
	return h, nil
}

// cut says that a snapshot ends too early; other errors are the reader's own.
func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends too early", ErrSnapshotCorrupt)
	}
	return err
}

// castagnoli is the polynomial of the checksums, which processors compute themselves.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }
