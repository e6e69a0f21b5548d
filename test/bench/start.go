package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationnats"
)

// start prints how long it takes a process that does nothing but embed a replica to answer, and how much memory it takes, while the NATS server runs
// in this one.
//
// With entries, that many revocations are in a snapshot file beside the process, and tail is how many events came after it. The snapshot is taken by a
// replica of that very ledger: before it reads it, it is given the entries as if they had come at the positions before the ledger's first, where
// their events have gone by retention. Without entries, there is no snapshot, and tail is all of the ledger.
func start(ctx context.Context, c *call) error {
	var r revocations
	tail := count(100_000)
	r.bind(c.flags)
	c.flags.Var(&tail, "tail", "how many events lie in the ledger, after the snapshot's")
	cold := c.flags.Bool("cold", false, "without a snapshot, so also without entries")
	times := c.flags.Int("count", 1, "how many processes are started, one after the other")
	parent := c.flags.String("dir", "", "in which folder to make a temporary one for the ledger and the file; empty: the system's")
	if err := c.parse(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(*parent, "curfew-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	first, name := uint64(r.n)+1, "ColdStart/entries="+r.n.String()+"/mix="+r.mix.String()+"/tail="+tail.String()
	if *cold {
		r.n, first, name = 0, 1, "ColdStart/snapshot=none/tail="+tail.String()
	}
	l, err := openLedger(ctx, filepath.Join(dir, "nats"), first)
	if err != nil {
		return err
	}
	defer l.close()
	want := int(r.n) + int(tail)
	args := []string{"-url", l.url(), "-name", name}
	if !*cold {
		file := filepath.Join(dir, "snapshot")
		// The event that the snapshot is bound to.
		if err := l.publish(ctx, want, 1); err != nil {
			return err
		}
		want++
		if err := self(ctx, os.Stderr, "prepare", "-url", l.url(), "-entries", r.n.String(), "-mix", r.mix.String(), "-file", file); err != nil {
			return err
		}
		args = append(args, "-file", file)
	}
	if err := l.publish(ctx, int(r.n), int(tail)); err != nil {
		return err
	}
	args = append(args, "-want", strconv.Itoa(want))
	for range *times {
		if err := self(ctx, c.out, "follow", args...); err != nil {
			return err
		}
	}
	return nil
}

// prepare makes the snapshot of start.
func prepare(ctx context.Context, c *call) error {
	var r revocations
	r.bind(c.flags)
	url := c.flags.String("url", "", "the NATS server's")
	file := c.flags.String("file", "", "where to put the snapshot")
	if err := c.parse(); err != nil {
		return err
	}
	feed, end, err := connect(*url)
	if err != nil {
		return err
	}
	defer end()
	replica, err := revocation.Open(ctx, revocation.Config{Feed: preceded{feed, r}})
	if err != nil {
		return err
	}
	defer func() { _ = replica.Close() }()
	_, err = replica.Save(ctx, revocation.SnapshotFile(*file))
	return err
}

// preceded is a feed with made-up revocations at the positions before its stream's first.
type preceded struct {
	revocation.Feed
	by revocations
}

func (p preceded) Follow(ctx context.Context, sink revocation.Sink) error {
	return p.Feed.Follow(ctx, precededSink{sink, p.by})
}

type precededSink struct {
	revocation.Sink
	by revocations
}

func (s precededSink) Begin(h revocation.Head) (uint64, error) {
	if h.First != uint64(s.by.n)+1 {
		return 0, fmt.Errorf("the ledger begins at position %d, want %d", h.First, int(s.by.n)+1)
	}
	after, err := s.Sink.Begin(h)
	if err == nil && after == 0 {
		(&feed{revocations: s.by}).deliver(s.Sink, 0)
	}
	return after, err
}

// follow is the process that is measured. It prints how long it took from Open to the replica's being synced and fresh, and from the begin of the
// process, before it had a connection.
func follow(ctx context.Context, c *call) error {
	url := c.flags.String("url", "", "the NATS server's")
	file := c.flags.String("file", "", "the snapshot; empty: none")
	want := c.flags.Int("want", 0, "how many entries there must be in the end")
	name := c.flags.String("name", "ColdStart", "what the result is called")
	if err := c.parse(); err != nil {
		return err
	}
	feed, end, err := connect(*url)
	if err != nil {
		return err
	}
	defer end()
	loaded := false
	opening := time.Now()
	replica, err := revocation.Open(ctx, revocation.Config{Feed: feed, SnapshotFile: *file, Hooks: revocation.Hooks{
		SnapshotLoaded: func(string, revocation.SnapshotInfo) { loaded = true },
	}})
	if err != nil {
		return err
	}
	opened := time.Now()
	peak := resident("VmHWM")
	defer func() { _ = replica.Close() }()
	s := replica.Status()
	if !s.Synced || !s.Fresh || s.Sessions+s.Cutoffs != *want || s.Skipped != 0 || loaded != (*file != "") {
		return fmt.Errorf("the replica isn't what it should be: want %d entries, snapshot loaded: %t, status %+v", *want, loaded, s)
	}
	c.print(*name, figure{float64(opened.Sub(opening).Nanoseconds()), "ns/op"}, figure{float64(opened.Sub(c.began).Nanoseconds()), "process-ns"},
		figure{float64(peak) / 1e6, "peak-MB"})
	return nil
}

// connect returns the feed of a ledger.
func connect(url string) (*revocationnats.Feed, func(), error) {
	nc, err := nats.Connect(url, revocationnats.Options("bench")...)
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, nil, err
	}
	return revocationnats.NewFeed(js, revocationnats.Config{}), nc.Close, nil
}
