package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/curfewhq/curfew/internal/config"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/internal/receipts"
	"github.com/curfewhq/curfew/services/publisher"
)

func TestReceipts(t *testing.T) {
	startServer(t)
	out := must(t, "revoke", "session", "s-1", "--user", "u-1", "--wait", "applied", "--timeout", "10s")
	if !strings.Contains(out, " (answered in ") || !strings.Contains(out, "complete: applied by 1/1 replicas in ") {
		t.Errorf("revoke --wait applied:\n%s", out)
	}
	var stored publisher.Stored
	if err := json.Unmarshal([]byte(must(t, "revoke", "user", "u-1", "--wait", "shown", "--timeout", "10s", "--json")), &stored); err != nil || stored.Receipt == nil || stored.Receipt.Tabs == nil || !stored.Receipt.Complete {
		t.Fatalf("%v: %+v", err, stored)
	}
	// One that nobody has waited for: by its id and by its position.
	var unwaited publisher.Stored
	if err := json.Unmarshal([]byte(must(t, "revoke", "session", "s-2", "--json")), &unwaited); err != nil || unwaited.Receipt != nil {
		t.Fatalf("%v: %+v", err, unwaited)
	}
	if out := must(t, "receipt", "show", unwaited.ID); !strings.Contains(out, "complete: applied by 1/1 replicas") || strings.Contains(out, " in ") && strings.Contains(out, "slowest") {
		t.Errorf("receipt show:\n%s", out)
	}
	if out := must(t, "receipt", "show", "2"); !strings.Contains(out, "at position 2, as of 20") {
		t.Errorf("receipt show by position:\n%s", out)
	}
	var answer receipts.Answer
	if err := json.Unmarshal([]byte(must(t, "receipt", "show", stored.ID, "--wait", "shown", "--json")), &answer); err != nil || answer.Token == "" || answer.Tabs == nil {
		t.Errorf("%v: %+v", err, answer)
	}
	if out := must(t, "receipt", "ls"); !strings.Contains(out, unwaited.ID) {
		t.Errorf("receipt ls:\n%s", out)
	}

	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	token := must(t, "receipt", "show", unwaited.ID, "--token")
	printed := must(t, "receipt", "keys")
	kept, keys := write("receipt.jws", token), write("keys.json", printed)
	var set struct{ Keys []struct{ Kid string } }
	if err := json.Unmarshal([]byte(printed), &set); err != nil || len(set.Keys) != 1 {
		t.Fatalf("%s: %v", printed, err)
	}
	if out := must(t, "receipt", "verify", kept); !strings.Contains(out, "verified") || !strings.Contains(out, "whose word this takes") {
		t.Errorf("receipt verify:\n%s", out)
	}
	// With a kept key nobody is asked.
	if out := must(t, "receipt", "verify", kept, "--key", keys, "--url", "http://127.0.0.1:1"); !strings.Contains(out, "verified") || !strings.Contains(out, "kept in") || !strings.Contains(out, unwaited.ID) {
		t.Errorf("receipt verify --key:\n%s", out)
	}
	parts := strings.Split(token, ".")
	for name, args := range map[string][]string{
		"changed":           {"receipt", "verify", write("changed", parts[0]+"."+parts[1]+"A."+parts[2]), "--key", keys},
		"no receipt":        {"receipt", "verify", write("none", "receipt")},
		"keys of a liar":    {"receipt", "verify", kept, "--key", write("liar", strings.ReplaceAll(printed, set.Keys[0].Kid, "another"))},
		"no keys":           {"receipt", "verify", kept, "--key", write("nothing", "{}")},
		"a file that isn't": {"receipt", "verify", filepath.Join(dir, "missing")},
	} {
		if stdout, stderr, code := command(t, args...); code != exitFailed || strings.Contains(stdout, "verified") {
			t.Errorf("%s: exit code %d: %s%s", name, code, stdout, stderr)
		}
	}
	for _, args := range [][]string{{"receipt", "show"}, {"receipt", "verify", "a", "b"}, {"receipt", "ls", "more"}} {
		if _, stderr, code := command(t, args...); code != exitUsage {
			t.Errorf("%v: exit code %d: %s", args, code, stderr)
		}
	}
	for _, args := range [][]string{{"receipt", "show", "no-event"}, {"revoke", "session", "s", "--wait", "seen"}} {
		if _, stderr, code := command(t, args...); code != exitRefused {
			t.Errorf("%v: exit code %d: %s", args, code, stderr)
		}
	}
}

// A gateway that began after an event never knows whom it was told to. Nobody is sent to ask it again and again.
func TestReceiptOfAGatewayThatBeganLater(t *testing.T) {
	ledger := natstest.Start(t)
	brisk := func(c *config.Config) {
		c.NATS.URL, c.StalenessBudget, c.Ledger.BeatInterval = ledger.URL(), time.Second, 300*time.Millisecond
	}
	startServer(t, brisk)
	keys := os.Getenv("CURFEW_DATA_DIR")
	var stored publisher.Stored
	if err := json.Unmarshal([]byte(must(t, "revoke", "session", "s-1", "--json")), &stored); err != nil {
		t.Fatal(err)
	}
	startServer(t, brisk)
	t.Setenv("CURFEW_DATA_DIR", keys)
	var out string
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(out, "asking again won't tell more"); {
		var code int
		out, _, code = command(t, "receipt", "show", stored.ID, "--wait", "shown", "--timeout", "100ms")
		// A server that has heard of no gateway yet finds nothing to wait for, and says that it isn't certain.
		if early := code == exitDone && strings.Contains(out, "isn't certain yet"); code != exitIncomplete && !early || time.Now().After(deadline) {
			t.Fatalf("exit code %d\n%s", code, out)
		}
	}
	if !strings.Contains(out, "doesn't know any more whom it has told") || strings.Contains(out, "ask again") {
		t.Errorf("receipt show:\n%s", out)
	}
}
