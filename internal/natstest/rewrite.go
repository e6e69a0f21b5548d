package natstest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/minio/highwayhash"
)

// Stored is a message as it lies in the folder of a stopped server.
type Stored struct {
	Sequence uint64
	// Time is in nanoseconds since 1970.
	Time    int64
	Subject string
	// Header is what stands on the wire, or empty.
	Header, Data []byte
}

const (
	recordHead = 22
	recordSum  = 8
	// hasHeader is set in a record's length; removed and tombstone in its sequence.
	hasHeader          = uint32(1) << 31
	removed, tombstone = uint64(1) << 63, uint64(1) << 62
)

// Rewrite puts other messages into a stream of a server that is stopped, as somebody does who has the disk: with the same positions and times, or others, and with sums that fit, so that the server has nothing to
// complain about. dir is its store's folder. The stream must fit into one file, as those of tests do.
func Rewrite(t testing.TB, dir, stream string, change func([]Stored) []Stored) {
	t.Helper()
	msgs := filepath.Join(dir, "jetstream", "$G", "streams", stream, "msgs")
	path := filepath.Join(msgs, "1.blk")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if others, err := filepath.Glob(filepath.Join(msgs, "*.blk")); err != nil || len(others) != 1 {
		t.Fatalf("the stream %s lies in %d files: %v", stream, len(others), err)
	}
	if err := os.WriteFile(path, records(t, stream, change(parseRecords(t, data))), 0o600); err != nil {
		t.Fatal(err)
	}
	// What the server has noted of the file; it makes it anew.
	if err := os.Remove(filepath.Join(msgs, "index.db")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}

// parseRecords reads total_len(4) sequence(8) time(8) subject_len(2) subject [header_len(4) header] data sum(8).
func parseRecords(t testing.TB, data []byte) []Stored {
	t.Helper()
	le := binary.LittleEndian
	var out []Stored
	for len(data) > 0 {
		if len(data) < recordHead {
			t.Fatal("a record is cut off")
		}
		length := le.Uint32(data)
		size := int(length &^ hasHeader)
		if size < recordHead+recordSum || size > len(data) {
			t.Fatalf("a record of %d bytes in %d", size, len(data))
		}
		m := Stored{Sequence: le.Uint64(data[4:]), Time: int64(le.Uint64(data[12:]))}
		body := bytes.Clone(data[recordHead : size-recordSum])
		subject := int(le.Uint16(data[20:]))
		m.Subject, body = string(body[:subject]), body[subject:]
		if length&hasHeader != 0 {
			n := int(le.Uint32(body))
			m.Header, body = body[4:4+n], body[4+n:]
		}
		m.Data = body
		if m.Sequence&(removed|tombstone) == 0 {
			out = append(out, m)
		}
		data = data[size:]
	}
	return out
}

func records(t testing.TB, stream string, list []Stored) []byte {
	t.Helper()
	key := sha256.Sum256([]byte(fmt.Sprintf("%s-%d", stream, 1)))
	hash, err := highwayhash.NewDigest64(key[:])
	if err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	var out []byte
	for _, m := range list {
		size := uint32(recordHead + len(m.Subject) + len(m.Data) + recordSum)
		if len(m.Header) > 0 {
			size = (size + 4 + uint32(len(m.Header))) | hasHeader
		}
		head := le.AppendUint32(nil, size)
		head = le.AppendUint64(head, m.Sequence)
		head = le.AppendUint64(head, uint64(m.Time))
		head = le.AppendUint16(head, uint16(len(m.Subject)))
		out = append(append(out, head...), m.Subject...)
		if len(m.Header) > 0 {
			out = append(le.AppendUint32(out, uint32(len(m.Header))), m.Header...)
		}
		out = append(out, m.Data...)
		hash.Reset()
		for _, part := range [][]byte{head[4:20], []byte(m.Subject), m.Header, m.Data} {
			_, _ = hash.Write(part) // never fails
		}
		out = hash.Sum(out)
	}
	return out
}
