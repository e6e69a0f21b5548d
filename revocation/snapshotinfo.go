package revocation

import "io"

// ReadSnapshotInfo reads the beginning of a snapshot and returns what that says; Bytes is 0. It says nothing about the rest, nor of whose stream it is. Its
// errors are those of [Hooks].SnapshotRefused, or the reader's own.
func ReadSnapshotInfo(r io.Reader) (SnapshotInfo, error) {
	h, err := readHeader(r)
	if err != nil {
		return SnapshotInfo{}, err
	}
	return h.info(), nil
}

// info is what a header tells of its snapshot.
func (h *header) info() SnapshotInfo {
	return SnapshotInfo{Stream: h.stream, Position: h.position, HashKey: h.key, Entries: h.sessions + h.scopes}
}
