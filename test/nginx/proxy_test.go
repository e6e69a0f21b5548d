package nginx_test

import (
	"bytes"
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

// patience bounds waits that end in a moment unless something is broken.
const patience = 30 * time.Second

// binary is where Debian puts nginx; root's PATH alone names the folder.
const binary = "/usr/sbin/nginx"

// mainConf is what the packages' nginx.conf is to the file under test. It stays in the foreground and writes nothing outside of its prefix,
// for which root's worker has to be root. nginx 1.22 without a master crashes on a socket that it is handed.
const mainConf = `
daemon off;
user root root;
worker_processes 1;
pid nginx.pid;
error_log stderr warn;
events { worker_connections 256; }
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include forward-auth.conf;
}
`

// output is what a process writes.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// forwardAuthConf is deploy/nginx/forward-auth.conf with other addresses.
func forwardAuthConf(t *testing.T, listen, curfew, application string) string {
	t.Helper()
	b, err := os.ReadFile("../../deploy/nginx/forward-auth.conf")
	if err != nil {
		t.Fatal(err)
	}
	conf := string(b)
	for was, is := range map[string]string{
		"listen 127.0.0.1:8080;": "listen " + listen + ";", "server 127.0.0.1:7080;": "server " + curfew + ";",
		"server 127.0.0.1:3000;": "server " + application + ";",
	} {
		if strings.Count(conf, was) != 1 {
			t.Fatalf("forward-auth.conf doesn't hold %q once", was)
		}
		conf = strings.Replace(conf, was, is, 1)
	}
	return conf
}

// startNginx starts nginx in front of an application and returns its address. It is stopped with the test.
func startNginx(t *testing.T, curfew, application string) string {
	t.Helper()
	if _, err := os.Stat(binary); err != nil {
		t.Fatalf("%s isn't there: apt-get install nginx-light", binary)
	}
	// nginx takes the socket over, as at an upgrade of its binary: so the port is ours, and callers may come at once.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	socket, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	prefix := t.TempDir()
	for name, text := range map[string]string{"nginx.conf": mainConf, "forward-auth.conf": forwardAuthConf(t, addr, curfew, application)} {
		if err := os.WriteFile(filepath.Join(prefix, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out output
	cmd := exec.Command(binary, "-p", prefix, "-c", filepath.Join(prefix, "nginx.conf"))
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.ExtraFiles = []*os.File{socket}
	cmd.Env = append(os.Environ(), "NGINX=3;")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// Now the socket lives as long as nginx does.
	_ = l.Close()
	_ = socket.Close()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { stopNginx(t, cmd.Process, ended, &out) })
	return addr
}

// stopNginx ends the master, by its id, which ends its worker first, and makes sure that it has ended.
func stopNginx(t *testing.T, process *os.Process, ended <-chan error, out *output) {
	t.Helper()
	if err := process.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("nginx had ended before it was told: %v\n%s", err, out)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("nginx: %v\n%s", err, out)
		}
	case <-time.After(patience):
		_ = process.Kill()
		t.Errorf("nginx didn't end within %v and was killed: %v\n%s", patience, <-ended, out)
	}
	if strings.Contains(out.String(), "[emerg]") {
		t.Errorf("nginx: %s", out)
	}
	if t.Failed() {
		t.Logf("nginx wrote: %s", out)
	}
}
