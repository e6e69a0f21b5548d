package bus_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
)

// publishForever is the child process: it prints each position after it was acknowledged.
func publishForever(dir string) int {
	ctx := context.Background()
	b, err := bus.Open(ctx, bus.Config{Embedded: bus.Embedded{Dir: dir}})
	if err == nil {
		err = b.EnsureStreams(ctx)
	}
	for err == nil {
		var ack bus.Ack
		if ack, err = b.Publisher().PublishAck(ctx, topic, newMessage("x")); err == nil {
			_, err = fmt.Println(ack.Position)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// TestKilledProcess kills a process with an embedded server in the middle of publishing. Everything it acknowledged is there
// afterwards; until then nobody else could open its folder, and afterwards no lock is left behind.
func TestKilledProcess(t *testing.T) {
	dir := t.TempDir()
	self, err := filepath.Abs(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), self)
	child.Env = append(os.Environ(), childEnv+"="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	acknowledged := 0
	for acknowledged < 200 && lines.Scan() {
		acknowledged = position(t, lines.Text())
	}

	_, err = bus.Open(t.Context(), bus.Config{Embedded: bus.Embedded{Dir: dir}})
	var told *bus.Error
	if !errors.Is(err, bus.ErrDirInUse) || !errors.As(err, &told) || !strings.Contains(err.Error(), dir) || told.Hint == "" {
		t.Errorf("second process: %v; want ErrDirInUse, the folder and a hint", err)
	}

	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() { // what it printed before it died
		acknowledged = position(t, lines.Text())
	}
	_ = child.Wait() // killed

	b := natstest.Open(t, bus.Config{Embedded: bus.Embedded{Dir: dir}})
	for i := range acknowledged {
		if _, err := b.EventAt(t.Context(), uint64(i+1)); err != nil {
			t.Fatalf("acknowledged up to %d: %v", acknowledged, err)
		}
	}
}

func position(t *testing.T, line string) int {
	t.Helper()
	n, err := strconv.Atoi(line)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestReopen closes and opens the same folder: what was acknowledged is there, and a durable goes on where it was.
func TestReopen(t *testing.T) {
	cfg := natstest.Config(t)
	for round := range 3 {
		b := natstest.Open(t, cfg)
		p := b.Publisher()
		if ack := mustStore(t, p, newMessage(strconv.Itoa(round))); ack.Position != uint64(round+1) {
			t.Fatalf("round %d: position %d", round, ack.Position)
		}
		sub, err := b.NewSubscriber(bus.SubscriberConfig{Durable: "d"})
		if err != nil {
			t.Fatal(err)
		}
		msgs, err := sub.Subscribe(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		m := receive(t, msgs, "message")
		if string(m.Payload) != strconv.Itoa(round) {
			t.Errorf("round %d: got %q", round, m.Payload)
		}
		m.Ack()
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
