package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// natsConfig is what a NATS server's process is given. Ports are fixed, so that it comes back where it was.
type natsConfig struct {
	Name        string
	Dir         string
	Port        int
	ClusterPort int // 0 for a server alone
	Routes      []string
}

// natsMain is the child process: a NATS server until it is killed, or its parent ends.
func natsMain() int {
	var cfg natsConfig
	in := json.NewDecoder(os.Stdin)
	if err := in.Decode(&cfg); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	opts := &server.Options{
		ServerName: cfg.Name, Host: "127.0.0.1", Port: cfg.Port, JetStream: true, StoreDir: cfg.Dir, NoSigs: true, NoLog: true,
		DisableJetStreamBanner: true, SyncInterval: 10 * time.Second,
	}
	if cfg.ClusterPort > 0 {
		opts.Cluster = server.ClusterOpts{Name: "chaos", Host: "127.0.0.1", Port: cfg.ClusterPort}
		for _, route := range cfg.Routes {
			u, err := url.Parse(route)
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
			opts.Routes = append(opts.Routes, u)
		}
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	srv.Start()
	if !srv.ReadyForConnections(patience) {
		fmt.Fprintln(os.Stderr, "not ready")
		return 1
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, io.MultiReader(in.Buffered(), os.Stdin))
	return 0
}

// node is a NATS server in a process of its own.
type node struct {
	*process
	t   *testing.T
	cfg natsConfig
}

// newNode starts a server alone.
func newNode(t *testing.T) *node {
	t.Helper()
	n := &node{t: t, cfg: natsConfig{Name: "alone", Dir: t.TempDir(), Port: freePorts(t, 1)[0]}}
	n.run()
	n.wait("ready")
	return n
}

func (n *node) run() { n.t.Helper(); n.process = self(n.t, "nats", n.cfg) }

// restart starts the server again where it was.
func (n *node) restart() { n.t.Helper(); n.kill(); n.run(); n.wait("ready") }

func (n *node) addr() string { return fmt.Sprintf("127.0.0.1:%d", n.cfg.Port) }

func (n *node) url() string { return "nats://" + n.addr() }

// cluster is three servers, each in a process of its own.
type cluster []*node

func newCluster(t *testing.T) cluster {
	t.Helper()
	c := planCluster(t)
	for _, n := range c {
		n.run()
	}
	for _, n := range c {
		n.wait("ready")
	}
	js := connect(t, c.urls(nil))
	eventually(t, "the cluster has a leader", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		_, err := js.AccountInfo(ctx)
		return err == nil
	})
	return c
}

// planCluster decides where the servers are, and starts none.
func planCluster(t *testing.T) cluster {
	t.Helper()
	const size = 3
	ports := freePorts(t, 2*size)
	c := make(cluster, size)
	for i := range c {
		c[i] = &node{t: t, cfg: natsConfig{Name: fmt.Sprintf("node-%d", i+1), Dir: t.TempDir(), Port: ports[i], ClusterPort: ports[size+i]}}
		for j := range size {
			if j != i {
				c[i].cfg.Routes = append(c[i].cfg.Routes, fmt.Sprintf("nats://127.0.0.1:%d", ports[size+j]))
			}
		}
	}
	return c
}

// urls are those of the nodes but one; nil leaves out none.
func (c cluster) urls(but *node) string {
	var urls []string
	for _, n := range c {
		if n != but {
			urls = append(urls, n.url())
		}
	}
	return strings.Join(urls, ",")
}

func (c cluster) named(t *testing.T, name string) *node {
	t.Helper()
	for _, n := range c {
		if n.cfg.Name == name {
			return n
		}
	}
	t.Fatalf("no node is named %q", name)
	return nil
}

// freePorts returns ports of 127.0.0.1 that nobody has. They aren't held: somebody could take one before the server does, and the test would say
// so.
func freePorts(t *testing.T, n int) []int {
	t.Helper()
	ports := make([]int, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports
}
