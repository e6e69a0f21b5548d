package redistest

import (
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Server is a running redis-server.
type Server struct {
	port int
	mu   sync.Mutex
	cmd  *exec.Cmd // guarded by mu; nil while it is stopped
}

// Start starts a server that ends with the test.
func Start(t testing.TB) *Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{port: l.Addr().(*net.TCPAddr).Port}
	_ = l.Close()
	t.Cleanup(s.Stop)
	s.Start(t)
	return s
}

// URL is where it is.
func (s *Server) URL() string { return "redis://127.0.0.1:" + strconv.Itoa(s.port) + "/0" }

// Start starts a server that was stopped, with nothing of what it had, and waits until it answers.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		path = "/usr/bin/redis-server"
	}
	s.cmd = exec.Command(path, "--bind", "127.0.0.1", "--port", strconv.Itoa(s.port), "--save", "", "--appendonly", "no", "--dir", os.TempDir())
	if err := s.cmd.Start(); err != nil {
		t.Fatalf("start a Redis (Debian's package redis-server): %v", err)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); ; <-tick.C {
		c, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(s.port))
		if err == nil {
			_ = c.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("redis-server doesn't answer: %v", err)
		}
	}
}

// Do sends one command, whose words have no spaces, and waits for its answer.
func (s *Server) Do(t testing.TB, command string) {
	t.Helper()
	if answer := s.ask(t, command); answer[0] == '-' {
		t.Fatalf("%s: %s", command, answer)
	}
}

// Expect is Do for a command whose answer's first line must be want.
func (s *Server) Expect(t testing.TB, command, want string) {
	t.Helper()
	if got, _, _ := strings.Cut(s.ask(t, command), "\r\n"); got != want {
		t.Errorf("%s: %s, want %s", command, got, want)
	}
}

// ask returns the beginning of an answer.
func (s *Server) ask(t testing.TB, command string) string {
	t.Helper()
	c, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(s.port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(command + "\r\n")); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 512)
	n, err := c.Read(answer)
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	return string(answer[:n])
}

// Stop kills the server.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait() // it was killed
	s.cmd = nil
}
