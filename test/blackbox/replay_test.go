package blackbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// inbox is a webhook that remembers what it was sent.
type inbox struct {
	mu       sync.Mutex
	ids      map[string]int
	unmarked []string
	more     chan struct{}
}

func (b *inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var e struct {
		ID   string
		Data struct {
			Replayed bool
			Replay   string
			Tenant   string
		}
	}
	id := r.Header.Get("webhook-id")
	err := json.NewDecoder(r.Body).Decode(&e)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ids[id]++
	if err != nil || !e.Data.Replayed || e.Data.Replay == "" || id != e.Data.Replay+"/"+e.Data.Tenant+"/"+e.ID {
		b.unmarked = append(b.unmarked, id)
	}
	select {
	case b.more <- struct{}{}:
	default:
	}
}

// counts returns how many different events have come, and how many came again.
func (b *inbox) counts() (different, again int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, n := range b.ids {
		again += n - 1
	}
	return len(b.ids), again
}

// revokeMany stores n revocations, a thousand in a call.
func (i *instance) revokeMany(t *testing.T, n int) {
	t.Helper()
	for from := 0; from < n; from += 1000 {
		var list []map[string]string
		for k := from; k < min(from+1000, n); k++ {
			list = append(list, map[string]string{"scope": "session", "session": fmt.Sprint("s-", k), "user": fmt.Sprint("u-", k%50)})
		}
		body, err := json.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "body.json")
		if err := os.WriteFile(path, body, 0o600); err != nil {
			t.Fatal(err)
		}
		if status, answer := i.curl(t, "-H", "Content-Type: application/json", "--data-binary", "@"+path, i.api+"/v1/revocations"); status != "200" {
			t.Fatalf("%s %.300s", status, answer)
		}
	}
}

// TestReplaySurvivesKill: a server is killed in the middle of two replays. The same one, started anew, goes on with them: the webhook has every event, those that came again under the same id, and
// few of them; the file has each once.
func TestReplaySurvivesKill(t *testing.T) {
	dir := t.TempDir()
	const n, rate = 4000, 800
	box := &inbox{ids: map[string]int{}, more: make(chan struct{}, 1)}
	receiver := httptest.NewServer(box)
	defer receiver.Close()
	first := serve(t, dir, "127.0.0.1:0")
	first.revokeMany(t, n)
	order := func(to string) string {
		out := first.curfew(t, "replay", "run", "--to", to, "--rate", fmt.Sprint(rate), "--execute", "--detach")
		if out.code != 0 {
			t.Fatalf("%+v", out)
		}
		return strings.Fields(out.stdout)[1]
	}
	hook, file := order("webhook="+receiver.URL+"/hook"), order("file=all.ndjson.gz")
	deadline := time.After(60 * time.Second)
	for different, _ := box.counts(); different < n/3; different, _ = box.counts() {
		select {
		case <-box.more:
		case <-deadline:
			t.Fatalf("%d events have come; %s", different, first.log.text())
		}
	}
	first.kill(t)
	if different, _ := box.counts(); different >= n {
		t.Fatal("it was killed too late")
	}
	second := serve(t, dir, "127.0.0.1:0")
	for _, id := range []string{hook, file} {
		out := second.curfew(t, "replay", "status", id, "--follow", "--json")
		var got struct {
			State string
			Sent  int
			Runs  int
		}
		if err := json.Unmarshal([]byte(out.stdout), &got); err != nil || out.code != 0 || got.State != "done" || got.Sent != n || got.Runs < 2 {
			t.Errorf("%+v %v %+v", got, err, out)
		}
	}
	different, again := box.counts()
	if different != n || again > 2*rate {
		t.Errorf("%d different events have come, and %d came again", different, again)
	}
	t.Logf("%d of %d came again", again, n)
	if len(box.unmarked) > 0 {
		t.Errorf("%d events aren't marked as those of the replay, such as %s", len(box.unmarked), box.unmarked[0])
	}
	// Each has one record, whoever ran it and how often, and it names who asked.
	var records struct {
		Replays []struct {
			ID    string
			KeyID string `json:"key_id"`
		}
	}
	if out := second.curfew(t, "replay", "status", "--json"); json.Unmarshal([]byte(out.stdout), &records) != nil || len(records.Replays) != 2 || records.Replays[0].KeyID == "" || records.Replays[1].KeyID == "" {
		t.Errorf("%+v %+v", records, out)
	}
	if out := second.curfew(t, "export", "verify", filepath.Join(dir, "curfew-data", "replays", "all.ndjson.gz")); out.code != 0 || !strings.Contains(out.stdout, fmt.Sprintf("%d events", n)) {
		t.Errorf("%+v", out)
	}
}
