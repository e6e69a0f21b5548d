package blackbox

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
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
	mu  sync.Mutex
	all []string
	// changed is closed and replaced at every line.
	changed chan struct{}
}

func newLines() *lines { return &lines{changed: make(chan struct{})} }

func (l *lines) read(from interface{ Read([]byte) (int, error) }) {
	s := bufio.NewScanner(from)
	for s.Scan() {
		l.mu.Lock()
		l.all = append(l.all, s.Text())
		close(l.changed)
		l.changed = make(chan struct{})
		l.mu.Unlock()
	}
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

// freePort returns a port that nobody had a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// serve starts the binary in dir, which holds its data, and waits until it is ready.
func serve(t *testing.T, dir, port, adminPort string, args ...string) *instance {
	t.Helper()
	i := &instance{dir: dir, api: "http://127.0.0.1:" + port, admin: "http://127.0.0.1:" + adminPort, log: newLines()}
	i.cmd = exec.Command(binary, append([]string{
		"serve", "--listen", "127.0.0.1:" + port, "--admin-listen", "127.0.0.1:" + adminPort, "--drain-window", "100ms", "--log-format", "json",
	}, args...)...)
	i.cmd.Dir = dir
	i.cmd.Env = cleanEnv()
	out, err := i.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	i.cmd.Stderr = i.cmd.Stdout
	if err := i.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go i.log.read(out)
	t.Cleanup(func() { i.kill(t) })
	i.log.wait(t, "curfew serves http")
	return i
}

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
