package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"

	"github.com/curfewhq/curfew/cmd/curfew/server"
	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/chain"
	"github.com/curfewhq/curfew/internal/config"
	"github.com/curfewhq/curfew/internal/ledger"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/internal/signing"
	"github.com/curfewhq/curfew/services/audit"
)

// evidence is a server whose ledger has six events, each with a checkpoint behind it, and copies of what was signed.
type evidence struct {
	t   *testing.T
	dir string
	srv *server.Server
	// at are the positions of the events.
	at []uint64
	// checkpoints and key are files that were kept.
	checkpoints, key string
}

func newEvidence(t *testing.T) *evidence {
	t.Helper()
	e := &evidence{t: t, dir: filepath.Join(t.TempDir(), "data")}
	e.start()
	for _, id := range []string{"s-1", "s-2", "s-3", "s-4", "s-5", "s-6"} {
		must(t, "revoke", "session", id, "--user", "u-1")
		e.sign()
	}
	for _, m := range e.stored() {
		e.at = append(e.at, m.Position)
	}
	e.checkpoints, e.key = e.file("checkpoints", must(t, "audit", "ls", "--all", "--json")), e.file("keys", must(t, "audit", "keys"))
	return e
}

func (e *evidence) start() {
	e.t.Helper()
	e.srv = startServer(e.t, func(c *config.Config) { c.DataDir = e.dir })
}

// stopped has something done while the server is stopped.
func (e *evidence) stopped(do func()) {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(e.t.Context(), 20*time.Second)
	defer cancel()
	if err := e.srv.Stop(ctx); err != nil {
		e.t.Fatal(err)
	}
	do()
	e.start()
}

// rewrite puts other messages into a stream.
func (e *evidence) rewrite(stream string, change func([]natstest.Stored) []natstest.Stored) {
	e.t.Helper()
	e.stopped(func() { natstest.Rewrite(e.t, filepath.Join(e.dir, "ledger"), stream, change) })
}

func (e *evidence) file(name, text string) string {
	e.t.Helper()
	path := filepath.Join(e.t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		e.t.Fatal(err)
	}
	return path
}

func (e *evidence) stored() []ledger.Entry {
	e.t.Helper()
	var list []ledger.Entry
	err := ledger.NewReader(e.srv.Bus().JetStream(), bus.LedgerStream).Read(e.t.Context(), ledger.Range{Topics: []string{events.TopicAll}, Raw: true}, func(m ledger.Entry) error {
		list = append(list, m)
		return nil
	}, nil)
	if err != nil {
		e.t.Fatal(err)
	}
	return list
}

// sign makes checkpoints, as another process does that was elected a moment ago, until there is one of all that the ledger holds.
func (e *evidence) sign() {
	e.t.Helper()
	b := e.srv.Bus()
	kv, err := b.KeyValue(e.t.Context(), bus.SecretsBucket())
	if err != nil {
		e.t.Fatal(err)
	}
	keys, err := signing.Open(e.t.Context(), kv)
	if err != nil {
		e.t.Fatal(err)
	}
	log := logrus.New()
	log.SetOutput(e.t.Output())
	book := ledger.NewReader(b.JetStream(), bus.LedgerStream)
	svc, err := audit.New(audit.Config{
		Ledger: book, Checkpoints: ledger.NewReader(b.JetStream(), bus.AuditStream), Topic: bus.AuditTopic, Stream: b, Signer: keys, Keys: e.srv.Keys(), Interval: 10 * time.Millisecond,
		Metrics: audit.NewMetrics(prometheus.NewRegistry(), func(string) {}), Log: log,
	})
	if err != nil {
		e.t.Fatal(err)
	}
	head, err := book.Head(e.t.Context())
	if err != nil {
		e.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(e.t.Context(), 20*time.Second)
	defer cancel()
	err = svc.Run(ctx, func() {
		data, _, err := b.LastCheckpoint(ctx)
		if err != nil {
			return
		}
		payload, _, err := signing.Verify(keys.Public(), chain.Type, string(data))
		if err != nil {
			return
		}
		if c, err := chain.Decode(payload); err == nil && c.Position >= head.Last {
			cancel()
		}
	})
	if ctx.Err() != context.Canceled {
		e.t.Fatalf("no checkpoint of position %d: %v", head.Last, err)
	}
}

// verify runs the verb, and fails unless it ends with this code and says all this.
func (e *evidence) verify(code int, want []string, args ...string) {
	e.t.Helper()
	out, stderr, got := command(e.t, append([]string{"audit", "verify"}, args...)...)
	if got != code {
		e.t.Errorf("%v: exit code %d, want %d:\n%s%s", args, got, code, out, stderr)
	}
	for _, text := range want {
		if !strings.Contains(out, text) {
			e.t.Errorf("%v: %q is missing in\n%s", args, text, out)
		}
	}
}

// onEvents is what rewrites do to the events of a ledger; beats stay.
func onEvents(change func(events []natstest.Stored) []natstest.Stored) func([]natstest.Stored) []natstest.Stored {
	return func(all []natstest.Stored) []natstest.Stored {
		var beats, others []natstest.Stored
		for _, m := range all {
			if m.Subject == events.TopicBeat {
				beats = append(beats, m)
			} else {
				others = append(others, m)
			}
		}
		return inOrder(append(beats, change(others)...))
	}
}

func inOrder(list []natstest.Stored) []natstest.Stored {
	for i := range list {
		for j := i; j > 0 && list[j].Sequence < list[j-1].Sequence; j-- {
			list[j], list[j-1] = list[j-1], list[j]
		}
	}
	return list
}

// flip changes a byte in a file, where a text stands.
func flip(t *testing.T, path, text string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	i := bytes.Index(data, []byte(text))
	if i < 0 {
		t.Fatalf("%s doesn't hold %s", path, text)
	}
	data[i] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
