package chaos

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/curfewhq/curfew/internal/receipts"
)

// waited revokes a session, and waits for replicas as long as it is told to.
func (i *instance) waited(session string, timeout time.Duration) receipts.Answer {
	i.t.Helper()
	body, err := json.Marshal(map[string]string{"scope": "session", "session": session, "user": "ada", "reason": "admin"})
	if err != nil {
		i.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(i.t.Context(), http.MethodPost, fmt.Sprintf("%s/v1/revocations?wait=applied&timeout=%s", i.api, timeout), bytes.NewReader(body))
	if err != nil {
		i.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+i.key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		i.t.Fatal(err)
	}
	defer resp.Body.Close()
	var stored struct{ Receipt receipts.Answer }
	if err := json.NewDecoder(resp.Body).Decode(&stored); err != nil || resp.StatusCode != http.StatusOK {
		i.t.Fatalf("%s: %v", resp.Status, err)
	}
	return stored.Receipt
}

// until revokes until a receipt is as it should be.
func (i *instance) until(what string, ok func(receipts.Answer) bool) receipts.Answer {
	i.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for n, deadline := 0, time.Now().Add(patience); ; n++ {
		r := i.waited(fmt.Sprintf("%s-%d", strings.ReplaceAll(what, " ", "-"), n), 200*time.Millisecond)
		if ok(r) {
			return r
		}
		if time.Now().After(deadline) {
			i.t.Fatalf("never %s: %s", what, r.Sentence)
		}
		<-tick.C
	}
}

func named(r receipts.Answer, state receipts.State) (list []receipts.Replica) {
	for _, one := range r.Replicas.Named {
		if one.State == state {
			list = append(list, one)
		}
	}
	return list
}

// A replica's process is stopped: it is late as long as it may answer active, and once it can't any more it is named as failing closed, and waited for no longer. When it goes on it is
// one of all again.
func TestReceiptsWhileAReplicaIsStopped(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	a := serve(t, n.url(), tight...)
	b, c := serve(t, n.url(), tight...), serve(t, n.url(), tight...)
	name := func(i *instance) string { return fmt.Sprintf(":%d", i.cmd.Process.Pid) }
	a.until("three replicas", func(r receipts.Answer) bool { return r.Complete && r.Replicas.Applied == 3 })

	b.stop()
	stopped := time.Now()
	r := a.waited("while stopped", 300*time.Millisecond)
	late := named(r, receipts.StateLate)
	if r.Complete || r.Replicas.Expected != 3 || r.Replicas.Applied != 2 || len(late) != 1 || !strings.HasSuffix(late[0].Name, name(b)) || late[0].Position >= r.Position {
		t.Errorf("it isn't named as late: %s", r.Sentence)
	}
	r = a.until("failing closed", func(r receipts.Answer) bool { return r.Complete })
	ended := named(r, receipts.StateLeaseEnded)
	if len(ended) != 1 || !strings.HasSuffix(ended[0].Name, name(b)) || r.Replicas.Expected != 2 {
		t.Fatalf("it isn't named as failing closed: %s", r.Sentence)
	}
	// A budget of a second and an interval of another after its last report, which came before it was stopped.
	if since := ended[0].FailsClosedSince; since.Before(stopped) || since.After(stopped.Add(2*budget+500*time.Millisecond)) || since.After(r.Made) {
		t.Errorf("stopped at %v, it fails closed since %v", stopped, since)
	}
	if !strings.Contains(r.Sentence, "not heard any more, and failing closed: ") {
		t.Error(r.Sentence)
	}

	b.cont()
	r = a.until("three again", func(r receipts.Answer) bool { return r.Complete && r.Replicas.Applied == 3 })
	// One that is killed is late, and then fails closed; one that stops in order is gone at once.
	c.kill()
	if r = a.waited("while killed", 200*time.Millisecond); r.Complete || len(named(r, receipts.StateLate)) != 1 {
		t.Errorf("it isn't named as late: %s", r.Sentence)
	}
	a.until("two are left", func(r receipts.Answer) bool { return r.Complete && r.Replicas.Applied == 2 })
}
