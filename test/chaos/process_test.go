package chaos

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait.
const patience = 30 * time.Second

// process is a child process of a test. Its output is read line by line; what it says of itself is kept for a test that fails.
type process struct {
	t   *testing.T
	cmd *exec.Cmd
	// stdin is closed by kill, so that the child doesn't outlive its parent.
	stdin io.WriteCloser
	// lines are those of standard output.
	lines chan string

	mu   sync.Mutex
	said []string
	dead bool
}

// start runs a command until kill, or the end of the test.
func start(t *testing.T, env []string, name string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(name, args...), lines: make(chan string, 1000)}
	p.cmd.Env = append(cleanEnv(), env...)
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	errs, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var readers sync.WaitGroup
	readers.Go(func() { p.read(errs, nil) })
	readers.Go(func() { p.read(out, p.lines); close(p.lines) })
	t.Cleanup(func() {
		p.kill()
		readers.Wait()
		if t.Failed() {
			p.mu.Lock()
			defer p.mu.Unlock()
			t.Logf("%s said:\n%s", p.cmd.Args, strings.Join(p.said, "\n"))
		}
	})
	return p
}

// self runs this test binary as a child of the given kind, with its configuration on standard input.
func self(t *testing.T, kind string, config any) *process {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, []string{childEnv + "=" + kind}, path)
	if err := json.NewEncoder(p.stdin).Encode(config); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *process) read(from io.Reader, to chan<- string) {
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		p.mu.Lock()
		if len(p.said) < 500 {
			p.said = append(p.said, lines.Text())
		}
		p.mu.Unlock()
		select {
		case to <- lines.Text():
		default: // nobody waits for it
		}
	}
}

// hasSaid reports whether a line so far had all of the words.
func (p *process) hasSaid(words ...string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.said, func(line string) bool {
		return !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) })
	})
}

// wait returns what follows prefix in the next line that begins with it.
func (p *process) wait(prefix string) string {
	p.t.Helper()
	return strings.TrimPrefix(p.next(prefix), prefix)
}

// next returns the next line that begins with one of the prefixes.
func (p *process) next(prefixes ...string) string {
	p.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case line, ok := <-p.lines:
			if ok && slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(line, prefix) }) {
				return line
			}
			if !ok {
				p.t.Fatalf("%s ended before it said one of %q", p.cmd.Args, prefixes)
			}
		case <-timeout:
			p.t.Fatalf("%s never said one of %q", p.cmd.Args, prefixes)
		}
	}
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// stop freezes the process; its sockets stay open.
func (p *process) stop() { p.t.Helper(); p.signal(syscall.SIGSTOP) }

// cont ends stop.
func (p *process) cont() { p.t.Helper(); p.signal(syscall.SIGCONT) }

// kill is kill -9. It is idempotent.
func (p *process) kill() {
	p.mu.Lock()
	dead := p.dead
	p.dead = true
	p.mu.Unlock()
	if dead {
		return
	}
	_ = p.cmd.Process.Kill()
	_ = p.stdin.Close()
	_ = p.cmd.Wait() // killed
}

// cleanEnv is the environment without Curfew's own variables.
func cleanEnv() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "CURFEW_") {
			env = append(env, v)
		}
	}
	return env
}
