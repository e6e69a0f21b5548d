package server

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/revocation"
)

// lateIntervals is after how many intervals a snapshot that lacks something is late.
const lateIntervals = 3

// examineSnapshots looks at the snapshots that processes start from: the deployment's and this process's own.
func (s *Server) examineSnapshots(ctx context.Context, now revocation.Status) []Finding {
	stat, err := s.snapshots.Stat(ctx)
	nats := s.examineSnapshot(ctx, now, "snapshot in NATS", s.snapshots, stat.Now.Sub(stat.Stored), stat.Bytes, err,
		"does a process with the role publisher run? its log tells why it can't save")
	path := s.cfg.SnapshotPath()
	if path == "" {
		return []Finding{nats}
	}
	var age time.Duration
	var bytes int64
	info, err := os.Stat(path)
	if err == nil {
		age, bytes = time.Since(info.ModTime()), info.Size()
	}
	file := s.examineSnapshot(ctx, now, "snapshot file", revocation.SnapshotFile(path), age, bytes, err, "the log tells why it can't be saved; is there room on the disk?")
	return []Finding{nats, file}
}

// examineSnapshot judges one snapshot. failed is why nothing is known of its age and size; hint what to do where it should be newer.
func (s *Server) examineSnapshot(ctx context.Context, now revocation.Status, name string, place revocation.Snapshots, age time.Duration, bytes int64, failed error, hint string) Finding {
	f := Finding{Name: name, Status: "ok"}
	warn := func(detail, hint string) Finding {
		f.Status, f.Detail, f.Hint = "warn", detail, hint
		return f
	}
	saves, late := s.cfg.SnapshotInterval > 0, lateIntervals*s.cfg.SnapshotInterval
	if errors.Is(failed, fs.ErrNotExist) {
		switch {
		case !saves:
			f.Detail = "none, and snapshot_interval is 0"
		case now.LastEvent == 0:
			f.Detail = "none: there is nothing to save yet"
		case time.Since(s.started) <= late:
			f.Detail = "none yet"
		default:
			return warn("none: whoever starts reads the whole ledger", hint)
		}
		return f
	}
	if failed != nil {
		return warn("can't be looked at: "+failed.Error(), hint)
	}
	info, err := readInfo(ctx, place)
	if err != nil {
		return warn("can't be used: "+err.Error(), "it is replaced by the next one that is saved; "+hint)
	}
	f.Detail = fmt.Sprintf("%v old, at position %d, %d entries, %d bytes", age.Round(time.Second), info.Position, info.Entries, bytes)
	switch {
	case info.Stream != now.Made && saves && age > late:
		return warn(f.Detail+"; it is of another ledger than the replica's, "+now.Made, "whoever starts reads the whole ledger; "+hint)
	case info.Stream != now.Made:
		f.Detail += "; it is of another ledger and will be replaced"
	case s.otherKey(ctx, info):
		return warn(f.Detail+"; its fingerprints have another key than the ledger's, so no other process can begin from it",
			"restart the process that saves it: a replica keeps its key for as long as it runs")
	case info.Position >= now.LastEvent:
		f.Detail += "; it lacks nothing"
	default:
		f.Detail += fmt.Sprintf("; it lacks what came after, up to position %d", now.LastEvent)
		// An old snapshot isn't late if nothing came for long.
		if came, err := s.nextEvent(ctx, info.Position); saves && err == nil && time.Since(came) > late {
			return warn(f.Detail, "whoever starts takes the longer; "+hint)
		}
	}
	return f
}

// otherKey reports whether the ledger's key is another than the snapshot's. A ledger that has none, or can't be asked, tells nothing.
func (s *Server) otherKey(ctx context.Context, info revocation.SnapshotInfo) bool {
	stream, err := s.bus.JetStream().Stream(ctx, bus.LedgerStream)
	if err != nil {
		return false
	}
	key, err := hex.DecodeString(stream.CachedInfo().Config.Metadata[bus.HashKeyMetadata])
	return err == nil && len(key) == len(info.HashKey) && !bytes.Equal(key, info.HashKey[:])
}

// nextEvent returns when the first event after a position was stored.
func (s *Server) nextEvent(ctx context.Context, position uint64) (time.Time, error) {
	stream, err := s.bus.JetStream().Stream(ctx, bus.LedgerStream)
	if err != nil {
		return time.Time{}, err
	}
	m, err := stream.GetMsg(ctx, position+1, jetstream.WithGetMsgSubject(events.TopicAll))
	if err != nil {
		return time.Time{}, err
	}
	return m.Time, nil
}
