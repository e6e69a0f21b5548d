package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/curfewhq/curfew/revocation"
)

// snapshot prints what a snapshot takes, and how long it takes to write it: to memory, and to a file, which is synced to the disk. Then it has other
// processes load the file, which is in the page cache by then.
func snapshot(ctx context.Context, c *call) error {
	var r revocations
	r.bind(c.flags)
	times := c.flags.Int("count", 1, "how often each is measured")
	parent := c.flags.String("dir", "", "in which folder to make a temporary one for the file; empty: the system's")
	if err := c.parse(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(*parent, "curfew-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "snapshot")
	if err := save(ctx, c, r, path, *times); err != nil {
		return err
	}
	for range *times {
		err := self(ctx, c.out, "load", "-entries", r.n.String(), "-mix", r.mix.String(), "-file", path)
		if err != nil {
			return err
		}
	}
	return nil
}

// save fills a replica, and forgets it again.
func save(ctx context.Context, c *call, r revocations, path string, times int) error {
	replica, err := revocation.Open(ctx, revocation.Config{Feed: newFeed(r)})
	if err != nil {
		return err
	}
	defer func() { _ = replica.Close() }()
	runtime.GC()
	for range times {
		for _, to := range []struct {
			name  string
			place revocation.Snapshots
		}{{"memory", &inMemory{}}, {"file", revocation.SnapshotFile(path)}} {
			began := time.Now()
			info, err := replica.Save(ctx, to.place)
			if err != nil {
				return err
			}
			c.print(fmt.Sprintf("SnapshotWrite/entries=%s/mix=%s/to=%s", &r.n, r.mix, to.name),
				figure{float64(time.Since(began).Nanoseconds()), "ns/op"}, figure{float64(info.Bytes) / float64(info.Entries), "B/entry"})
		}
	}
	return nil
}

// inMemory keeps a snapshot in memory.
type inMemory struct{ bytes.Buffer }

func (m *inMemory) Open(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(m.Bytes())), nil
}

func (m *inMemory) Save(_ context.Context, write func(io.Writer) error) error {
	m.Reset()
	return write(&m.Buffer)
}

func (m *inMemory) String() string { return "memory" }

// load opens a replica from a file, as a service does that starts, and prints how long that took of Begin, in which a feed tells a replica what its
// stream looks like.
func load(ctx context.Context, c *call) error {
	var r revocations
	r.bind(c.flags)
	file := c.flags.String("file", "", "the snapshot")
	if err := c.parse(); err != nil {
		return err
	}
	f := newFeed(r)
	var refused error
	replica, err := revocation.Open(ctx, revocation.Config{Feed: f, SnapshotFile: *file, Hooks: revocation.Hooks{
		SnapshotRefused: func(_ string, err error) { refused = err },
	}})
	if err != nil {
		return err
	}
	defer func() { _ = replica.Close() }()
	if refused != nil {
		return refused
	}
	if s := replica.Status(); s.Sessions+s.Cutoffs != int(r.n) {
		return fmt.Errorf("the replica holds %d sessions and %d cutoffs, want %d in all", s.Sessions, s.Cutoffs, int(r.n))
	}
	c.print(fmt.Sprintf("SnapshotLoad/entries=%s/mix=%s", &r.n, r.mix),
		figure{float64(f.restored.Nanoseconds()), "ns/op"}, figure{float64(resident("VmHWM")) / 1e6, "peak-MB"})
	return nil
}
