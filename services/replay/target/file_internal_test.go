package target

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/curfewhq/curfew/events"
)

func sent(t *testing.T, to Target, positions ...uint64) {
	t.Helper()
	for _, position := range positions {
		id, err := events.NewID()
		if err != nil {
			t.Fatal(err)
		}
		e := &events.SessionRevoked{Common: events.Common{
			ID: id, Time: events.Floor(time.Now()), Source: "test", Tenant: "acme", Reason: events.ReasonAdmin, Initiator: events.Initiator{Type: events.InitiatorAdmin},
		}, Session: fmt.Sprint("s-", position)}
		m, err := Mark(e, "r", position, time.Now())
		if err == nil {
			err = to.Send(t.Context(), m)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func opened(t *testing.T, dir string, from *Checkpoint) Target {
	t.Helper()
	to, err := openFile(dir, "r", "x.gz", from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(to.Close)
	return to
}

// TestFileOfAProcessThatWakes: a process that was stopped with events that weren't flushed, and goes on when another has its replay, neither writes to the other's file nor gives it its name.
func TestFileOfAProcessThatWakes(t *testing.T) {
	dir := t.TempDir()
	a := opened(t, dir, &Checkpoint{})
	sent(t, a, 1)
	if err := a.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	written := CheckpointOf(a)
	sent(t, a, 2)
	b := opened(t, dir, &written)
	sent(t, b, 2, 3, 4, 5)
	if err := b.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.Flush(t.Context()); err != nil {
		t.Errorf("the write that is refused comes behind it: %v", err)
	}
	if err := a.Finish(t.Context()); err == nil {
		t.Error("it has given another's file its name")
	}
	if err := b.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(dir, "x.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zip, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	n, lines := 0, bufio.NewScanner(zip)
	for lines.Scan() {
		n++
	}
	if lines.Err() != nil || n != 6 {
		t.Errorf("5 events and a manifest have %d lines: %v", n, lines.Err())
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left are %v, %v", left, err)
	}
}

// TestFileThatIsShorter: of a file that doesn't have what the checkpoint tells of, all is written anew, and nothing is left behind.
func TestFileThatIsShorter(t *testing.T) {
	dir := t.TempDir()
	a := opened(t, dir, &Checkpoint{})
	sent(t, a, 1)
	if err := a.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	written := CheckpointOf(a)
	if err := os.Truncate(filepath.Join(dir, ".r.partial"), written.Result.Bytes-1); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := openFile(dir, "r", "x.gz", &written); !errors.Is(err, ErrBeginAnew) {
			t.Error(err)
		}
		_ = os.Remove(filepath.Join(dir, ".r.partial")) // the second finds none
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}
