package revocationnats

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/internal/natstest"
)

// serverEnv tells the test binary to be a NATS server.
const serverEnv = "CURFEW_TEST_NATS_SERVER"

// TestServerInAProcessOfItsOwn is no test of its own: it is the child process of another, and runs until its input ends.
func TestServerInAProcessOfItsOwn(t *testing.T) {
	if os.Getenv(serverEnv) == "" {
		t.Skip("only in a child process")
	}
	fmt.Println(natstest.Run(t).ClientURL())
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// serverElsewhere starts a server whose memory isn't ours, and returns its URL.
func serverElsewhere(t *testing.T) string {
	t.Helper()
	c := exec.Command(os.Args[0], "-test.run=^TestServerInAProcessOfItsOwn$", "-test.count=1")
	c.Env = append(os.Environ(), serverEnv+"=1")
	c.Stderr = os.Stderr
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	out := bufio.NewReader(stdout)
	t.Cleanup(func() { _ = stdin.Close(); _, _ = io.Copy(io.Discard, out); _ = c.Wait() })
	url, err := out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(url)
}

// peak returns how much more memory was in use at most while fn ran. What is garbage isn't: how soon that is collected depends on how busy the machine is.
func peak(fn func()) (most uint64) {
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	base := heap()
	done := make(chan struct{})
	var sampler sync.WaitGroup
	sampler.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				most = max(most, max(heap(), base)-base)
			}
		}
	})
	fn()
	close(done)
	sampler.Wait()
	return most
}

// A snapshot of a hundred million bytes needs a few MiB of memory.
func TestSnapshotsNeedLittleMemory(t *testing.T) {
	st := &store{t: t}
	st.js = st.connect(serverElsewhere(t))
	if _, err := st.js.CreateObjectStore(t.Context(), jetstream.ObjectStoreConfig{Bucket: defaultBucket}); err != nil {
		t.Fatal(err)
	}
	s := NewSnapshots(st.js, SnapshotsConfig{})
	const blocks = 1500
	block := bytes.Repeat([]byte("0123456789abcdef"), 4<<10)
	saved := peak(func() {
		err := s.Save(t.Context(), func(w io.Writer) error {
			for range blocks {
				if _, err := w.Write(block); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	var n int64
	read := peak(func() {
		r, err := s.Open(t.Context())
		if err != nil {
			t.Error(err)
			return
		}
		defer r.Close()
		if n, err = io.Copy(io.Discard, r); err != nil {
			t.Error(err)
		}
	})
	if want := int64(blocks * len(block)); n != want {
		t.Errorf("read %d bytes, want %d", n, want)
	}
	// What may be under way or asked for, once in the connection and once on its way to the reader, and some room.
	if limit := uint64(24 << 20); saved > limit || read > limit {
		t.Errorf("%d MiB more are in use to save and %d MiB to read %d MiB, want %d at most", saved>>20, read>>20, n>>20, limit>>20)
	}
	t.Logf("%d MiB more are in use to save and %d MiB to read %d MiB", saved>>20, read>>20, n>>20)
}

// An entry declares chunks of one byte, and eight million of them: whoever opens it makes no room for all at once.
func TestSnapshotThatDeclaresTinyChunks(t *testing.T) {
	st := newStore(t, 0)
	s := NewSnapshots(st.js, SnapshotsConfig{})
	s.limits.stall = time.Second
	id := s.newID()
	if _, err := st.js.Publish(t.Context(), s.chunksTopic(id), []byte("C")); err != nil {
		t.Fatal(err)
	}
	w := s.newWriter(t.Context(), id)
	info := w.info()
	info.Opts.ChunkSize, info.Chunks, info.Size = 1, 1<<23, 1<<23
	if _, err := s.store(t.Context(), object{}, info); err != nil {
		t.Fatal(err)
	}
	var was, is runtime.MemStats
	runtime.ReadMemStats(&was)
	_, err := tryRead(t.Context(), s)
	runtime.ReadMemStats(&is)
	if got := (is.TotalAlloc - was.TotalAlloc) >> 20; got > 64 || !errors.Is(err, ErrSnapshotIncomplete) {
		t.Errorf("%d MiB were allocated for a snapshot of one byte (%v), want 64 at most and ErrSnapshotIncomplete", got, err)
	}
}
