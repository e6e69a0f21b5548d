package blackbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binary is the built command, made once for all tests.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "curfew-blackbox-")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "curfew")
	build := exec.Command("go", "build", "-o", binary, "../../cmd/curfew")
	build.Stderr = os.Stderr
	code := 1
	if err := build.Run(); err == nil {
		code = m.Run()
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// instance is a running curfew serve.
type instance struct {
	cmd   *exec.Cmd
	dir   string
	api   string
	admin string
	log   *lines
}

// lines collects what a process prints and lets tests wait for it.
type lines struct {
	mu   sync.Mutex
	all  []string
	rest []byte
	// changed is closed and replaced at every write.
	changed chan struct{}
}

func newLines() *lines { return &lines{changed: make(chan struct{})} }

// Write takes output in pieces of any size.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, p...)
	for {
		line, rest, whole := bytes.Cut(l.rest, []byte("\n"))
		if !whole {
			break
		}
		l.all, l.rest = append(l.all, string(line)), rest
	}
	close(l.changed)
	l.changed = make(chan struct{})
	return len(p), nil
}

// wait returns the first line that holds every part.
func (l *lines) wait(t *testing.T, parts ...string) string {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		l.mu.Lock()
		for _, line := range l.all {
			if containsAll(line, parts) {
				l.mu.Unlock()
				return line
			}
		}
		changed, all := l.changed, strings.Join(l.all, "\n")
		l.mu.Unlock()
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("no line with %q came; so far:\n%s", parts, all)
		}
	}
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.all, "\n")
}

func containsAll(s string, parts []string) bool {
	for _, p := range parts {
		if !strings.Contains(s, p) {
			return false
		}
	}
	return true
}

// serve starts the binary in dir, which holds its data, and waits until it is ready. addr is where it listens; port 0 is any.
func serve(t *testing.T, dir, addr string, args ...string) *instance {
	t.Helper()
	i := &instance{dir: dir, log: newLines()}
	i.cmd = exec.Command(binary, append([]string{
		"serve", "--listen", addr, "--admin-listen", "127.0.0.1:0", "--drain-window", "100ms", "--log-format", "json",
	}, args...)...)
	i.cmd.Dir, i.cmd.Env = dir, cleanEnv()
	i.cmd.Stdout, i.cmd.Stderr = i.log, i.log
	if err := i.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { i.kill(t) })
	i.api = strings.TrimPrefix(i.log.wait(t, "curfew serves http"), "curfew serves ")
	i.admin = strings.TrimPrefix(i.log.wait(t, "health and metrics http"), "health and metrics ")
	return i
}

// addr is where the instance listens.
func (i *instance) addr() string { return strings.TrimPrefix(i.api, "http://") }

// cleanEnv is the environment without Curfew's own variables.
func cleanEnv(add ...string) []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "CURFEW_") {
			env = append(env, v)
		}
	}
	return append(env, add...)
}

// kill ends the process as kill -9 does.
func (i *instance) kill(t *testing.T) {
	t.Helper()
	if i.cmd.ProcessState != nil {
		return
	}
	_ = i.cmd.Process.Signal(syscall.SIGKILL)
	_ = i.cmd.Wait()
}

// terminate ends the process in an orderly way and returns its exit code.
func (i *instance) terminate(t *testing.T) int {
	t.Helper()
	if err := i.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	err := i.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return i.cmd.ProcessState.ExitCode()
}

// result is what a finished command left.
type result struct {
	stdout, stderr string
	code           int
}

// run runs a command to its end.
func run(t *testing.T, dir string, env []string, name string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, cleanEnv(env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", name, err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// curfew runs a verb against the instance.
func (i *instance) curfew(t *testing.T, args ...string) result {
	t.Helper()
	return run(t, i.dir, []string{"CURFEW_URL=" + i.api, "CURFEW_ADMIN_URL=" + i.admin}, binary, args...)
}

// curl calls the API with the admin key and returns the status code and the body.
func (i *instance) curl(t *testing.T, args ...string) (status, body string) {
	t.Helper()
	key, err := os.ReadFile(filepath.Join(i.dir, "curfew-data", "admin.key"))
	if err != nil {
		t.Fatal(err)
	}
	// The key goes over standard input, where no list of processes shows it.
	config := fmt.Sprintf("header = \"Authorization: Bearer %s\"\n", strings.TrimSpace(string(key)))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "curl", append([]string{"-sS", "-K", "-", "-w", "\n%{http_code}"}, args...)...)
	cmd.Stdin = strings.NewReader(config)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("curl: %v\n%s", err, out)
	}
	cut := bytes.LastIndexByte(out, '\n')
	return string(out[cut+1:]), string(out[:cut])
}
