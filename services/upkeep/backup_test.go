package upkeep_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/internal/backup"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
)

func TestBackup(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	topic, data := event(t)
	for range 10 {
		if _, err := d.bus.JetStream().Publish(t.Context(), topic, data); err != nil {
			t.Fatal(err)
		}
	}
	for query, streams := range map[string]int{"": 1, "?all=false": 1, "?all=true": 3} {
		r := d.do(t, d.operator, "GET", "/v1/backup"+query)
		path := filepath.Join(t.TempDir(), "b.zip")
		if err := os.WriteFile(path, r.body, 0o600); err != nil || r.status != http.StatusOK {
			t.Fatal(r.status, err)
		}
		f, err := backup.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		ledger, _ := f.Manifest.Ledger()
		if err := f.Verify(); err != nil || len(f.Manifest.Streams) != streams || ledger.Events != 10 {
			t.Errorf("%q: %v, %+v", query, err, f.Manifest)
		}
		_ = f.Close()
	}
	if !strings.Contains(d.log.String(), "a backup was taken") || !strings.Contains(d.log.String(), d.operatorID) {
		t.Errorf("the log doesn't say who: %s", d.log.String())
	}
}

// large fills the ledger with more than a connection holds on its way.
func large(t *testing.T, b *bus.Bus) {
	t.Helper()
	filler := make([]byte, 300<<10)
	for i := range 60 {
		_, _ = rand.Read(filler) // never fails; what repeats would be compressed
		if _, err := b.JetStream().Publish(t.Context(), fmt.Sprintf("curfew.v1.acme.%02x.session", i), filler, jetstream.WithMsgID(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
}

// begin takes a backup and reads nothing of it but its first line.
func (d *desk) begin(t *testing.T) (answer *bufio.Reader, leave func()) {
	t.Helper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(d.api.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "GET /v1/backup HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", d.operator); err != nil {
		t.Fatal(err)
	}
	answer = bufio.NewReader(conn)
	if line, err := answer.ReadString('\n'); err != nil || !strings.Contains(line, "200") {
		t.Fatal(line, err)
	}
	return answer, func() { _ = conn.Close() }
}

// TestBackupAtOnce: there is one at a time, and when its caller has gone away there can be another.
func TestBackupAtOnce(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	large(t, d.bus)
	_, leave := d.begin(t)
	if r := d.do(t, d.operator, "GET", "/v1/backup"); r.status != 503 || r.Code != "backup_busy" || !r.Retry {
		t.Errorf("%d %.200s", r.status, r.body)
	}
	leave()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for d.do(t, d.operator, "GET", "/v1/backup").status != http.StatusOK {
		select {
		case <-ctx.Done():
			t.Fatal("the place isn't given back")
		case <-tick.C:
		}
	}
}

// TestBackupThatBreaksOff never looks whole: to a key that is revoked meanwhile, or when the stream is gone.
func TestBackupThatBreaksOff(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	large(t, d.bus)
	answer, leave := d.begin(t)
	defer leave()
	if _, err := d.keys.Revoke(t.Context(), d.operatorID); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(answer)
	if len(rest) > 17<<20 {
		t.Errorf("%d bytes came all the same", len(rest))
	}
	if strings.HasSuffix(string(rest), "0\r\n\r\n") {
		t.Errorf("it ends as a whole answer does, after %d bytes, %v", len(rest), err)
	}
}

// TestBackupThatMayNotBe tells what is missing, instead of an answer that breaks off.
func TestBackupThatMayNotBe(t *testing.T) {
	srv := natstest.Run(t, natstest.With(func(o *server.Options) {
		o.Users = []*server.User{{Username: "u", Password: "p", Permissions: &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"$JS.API.STREAM.SNAPSHOT.>"}}}}}
	}))
	d := newDesk(t, natstest.Open(t, bus.Config{URL: strings.Replace(srv.ClientURL(), "nats://", "nats://u:p@", 1)}))
	if r := d.do(t, d.operator, "GET", "/v1/backup"); r.status != 503 || r.Code != "backup_unavailable" || !strings.Contains(string(r.body), "$JS.API.STREAM.SNAPSHOT") {
		t.Errorf("got %d %s", r.status, r.body)
	}
}
