package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationnats"
)

// replicaConfig is what a replica's process is given.
type replicaConfig struct {
	URL string
	// Session is checked without a pause, and so is Revoked, which somebody ends while the process is stopped.
	Session, Revoked string
	Budget           time.Duration
}

// replicaMain is the child process: a service that checks two sessions without a pause, and tells when it finds that it has been stopped, what the very
// first answer after that was.
func replicaMain() int {
	var cfg replicaConfig
	in := json.NewDecoder(os.Stdin)
	err := in.Decode(&cfg)
	if err == nil {
		ended := make(chan struct{})
		go func() {
			_, _ = io.Copy(io.Discard, io.MultiReader(in.Buffered(), os.Stdin))
			close(ended)
		}()
		err = checkForever(cfg, ended)
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func checkForever(cfg replicaConfig, ended <-chan struct{}) error {
	nc, err := nats.Connect(cfg.URL, revocationnats.Options("chaos")...)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	replica, err := revocation.Open(ctx, revocation.Config{Feed: revocationnats.NewFeed(js, feedConfig), StalenessBudget: cfg.Budget})
	if err != nil {
		return err
	}
	defer func() { _ = replica.Close() }()
	c := &checker{replica: replica, budget: cfg.Budget, last: time.Now()}
	fmt.Println("checking")
	for {
		select {
		case <-ended:
			return io.EOF
		default:
		}
		if d, ok := c.check(cfg.Session); ok && c.woke && !c.fresh && d.State == revocation.Active {
			fmt.Println("fresh")
			c.fresh = true
		}
		switch d, ok := c.check(cfg.Revoked); {
		case ok && c.woke && d.State == revocation.Active:
			fmt.Println("passed")
		case ok && !c.over && d.State == revocation.Revoked:
			fmt.Println("revoked")
			c.over = true
		}
	}
}

// checker finds out by its own clock when the process has been stopped.
type checker struct {
	replica *revocation.Replica
	budget  time.Duration
	// last is when the last check had returned. woke is true once the process has been stopped, fresh once it is that again, and over once it
	// knows of the revocation.
	last              time.Time
	woke, fresh, over bool
}

// check returns an answer, and tells if it is the first since the process was stopped. It isn't ok if the process was stopped during the check, which
// may have looked at the clock before.
func (c *checker) check(session string) (d revocation.Decision, ok bool) {
	s := sessionOf(session)
	before := time.Now()
	d = c.replica.Check(s)
	after := time.Now()
	if after.Sub(before) > c.budget {
		c.last = before
		return d, false
	}
	if slept := before.Sub(c.last); slept > c.budget {
		fmt.Printf("first %s %s %v after %v\n", session, d.State, d.Cause, slept)
		c.woke = true
	}
	c.last = after
	return d, true
}

// Trap 9: a service's process is stopped for longer than its budget, as a machine does that is suspended, and goes on. Whatever lies in its socket, its
// very first answer can't be that somebody may pass.
func TestReplicaIsFrozen(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		// cut: nothing reaches the process's socket while it is stopped, so that even what it reads at once is as old as it has slept.
		cut bool
	}{{"and cut off", true}, {"and its socket fills up", false}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t)
			i := serve(t, n.url(), append([]string{"--roles", "publisher"}, tight...)...)
			proxy := natstest.NewProxy(t, n.addr())
			child := self(t, "replica", replicaConfig{URL: proxy.URL(), Session: "s-1", Revoked: "s-2", Budget: budget})
			child.wait("checking")
			child.stop()
			if tt.cut {
				proxy.Stall()
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if _, err := i.revoke(ctx, "s-2"); err != nil {
				t.Fatal(err)
			}
			select {
			case <-time.After(2 * budget):
			case <-ctx.Done():
				t.Fatal("out of time")
			}
			child.cont()
			first := child.wait("first ")
			t.Logf("the first answer is %s", first)
			// Both are undetermined, unless the process has read what was in its socket before the first check; then it knows what was in there.
			want := []string{"s-1 undetermined replica is stale", "s-2 undetermined replica is stale"}
			if !tt.cut {
				want = append(want, "s-1 active", "s-2 revoked")
			}
			if !slices.ContainsFunc(want, func(w string) bool { return strings.HasPrefix(first, w) }) {
				t.Errorf("the first answer is %s, want one of %q", first, want)
			}
			proxy.Heal()
			for fresh, over := false, strings.HasPrefix(first, "s-2 revoked"); !fresh || !over; {
				switch child.next("passed", "revoked", "fresh") {
				case "passed":
					t.Fatal("the session that was revoked while the process was stopped has passed")
				case "revoked":
					over = true
				case "fresh":
					fresh = true
				}
			}
		})
	}
}
