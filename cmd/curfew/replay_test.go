package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/curfewhq/curfew/internal/config"
	"github.com/curfewhq/curfew/services/replay"
)

// TestReplay: a dry run does nothing and says so loudly; with --execute the events are in the file, and the record says whose order it was.
func TestReplay(t *testing.T) {
	folder := t.TempDir()
	startServer(t, func(c *config.Config) { c.Replay.Folder = folder })
	for i := range 6 {
		must(t, "revoke", "session", fmt.Sprint("s-", i), "--user", fmt.Sprint("u-", i%2))
	}
	plan := must(t, "replay", "plan", "--to", "file", "--user", "u-1")
	if !regexp.MustCompile(`(?s)events +3\n.*users +1\nsessions +3\nopen tabs +0\nexpected time +0s at 100000 events/s`).MatchString(plan) {
		t.Error(plan)
	}
	out, loud, code := command(t, "replay", "run", "--to", "file", "--user", "u-1")
	if code != exitDone || !strings.Contains(loud, "DRY RUN: NOTHING WAS SENT. Give the same command with --execute") || !strings.Contains(out, "sessions") {
		t.Errorf("%d %s %s", code, out, loud)
	}
	if list, hint, code := command(t, "replay", "status"); code != exitDone || list != "" || !strings.Contains(hint, "no replays") {
		t.Errorf("%d %s %s", code, list, hint)
	}
	var asJSON replay.Plan
	if err := json.Unmarshal([]byte(must(t, "replay", "run", "--to", "webhook=https://receiver.example.com/x", "--json")), &asJSON); err != nil || !asJSON.DryRun || asJSON.Events != 6 || asJSON.WebhookSecret == "" {
		t.Errorf("%+v %v", asJSON, err)
	}
	out, progress, code := command(t, "replay", "run", "--to", "file=u1.ndjson.gz", "--user", "u-1", "--after", "1", "--execute")
	if code != exitDone || !strings.Contains(out, "3 events") || !strings.Contains(progress, "done: 3 sent") {
		t.Fatalf("%d %s %s", code, out, progress)
	}
	if out := must(t, "export", "verify", filepath.Join(folder, "u1.ndjson.gz")); !strings.Contains(out, "3 events, positions ") {
		t.Error(out)
	}
	id := strings.Fields(out)[1]
	if out := must(t, "replay", "status", id); !regexp.MustCompile(`state +done\n`).MatchString(out) || !strings.Contains(out, "by key ") || !strings.Contains(out, "to         file=u1.ndjson.gz") {
		t.Error(out)
	}
	if out := must(t, "replay", "status"); !strings.Contains(out, id) || !strings.Contains(out, "3 sent") {
		t.Error(out)
	}
	if out := must(t, "replay", "run", "--to", "replicas", "--execute"); !strings.Contains(out, "and held the same before (digest ") {
		t.Error(out)
	}
	for args, want := range map[string]int{
		"plan": exitUsage, "plan --to tabs=x": exitUsage, "plan --to file x": exitUsage, "plan --to file --after x": exitUsage, "plan --to file --rate -1": exitUsage, "status a b": exitUsage,
		"cancel": exitUsage, "resume": exitUsage, "status --follow": exitUsage,
		"plan --to oidc": exitRefused, "plan --to tabs": exitRefused, "run --to tabs --execute": exitRefused, "plan --to file --user=": exitRefused, "status nobody": exitRefused, "cancel nobody": exitRefused,
		"resume " + id: exitRefused, "cancel " + id: exitRefused,
	} {
		if _, stderr, code := command(t, append([]string{"replay"}, strings.Fields(args)...)...); code != want || stderr == "" {
			t.Errorf("replay %s: exit code %d, %s", args, code, stderr)
		}
	}
}

// TestReplayFollowed: an interrupted command leaves the replay running and says how to find it; a cancelled one says how far it came and how it goes on, and it does.
func TestReplayFollowed(t *testing.T) {
	startServer(t)
	for i := range 8 {
		must(t, "revoke", "session", fmt.Sprint("s-", i))
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stdout, stderr := &output{}, &output{}
	begun := stdout.until("waiting\n")
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"replay", "run", "--to", "file", "--rate", "1", "--execute"}, stdout, stderr)
	}()
	<-begun
	cancel()
	if code := <-done; code != exitUnavailable || !strings.Contains(stderr.String(), "the replay goes on without this command") || !strings.Contains(stderr.String(), "hint: curfew replay status ") {
		t.Errorf("%d %s", code, stderr.String())
	}
	id := strings.Fields(stdout.String())[1]
	if out := must(t, "replay", "cancel", id); !strings.Contains(out, "'curfew replay resume "+id+"' has it go on") {
		t.Error(out)
	}
	_, told, code := command(t, "replay", "status", id, "--follow")
	if code != exitFailed || !strings.Contains(told, "the replay is cancelled: it came to position ") || !strings.Contains(told, "hint: curfew replay resume "+id) {
		t.Errorf("%d %s", code, told)
	}
	if out := must(t, "replay", "resume", id, "--detach"); !strings.Contains(out, "curfew replay status "+id) {
		t.Error(out)
	}
	deadline, stop := context.WithTimeout(t.Context(), 60*time.Second)
	defer stop()
	var last replay.Replay
	jsonOut := &output{}
	if code := run(deadline, []string{"replay", "status", id, "--follow", "--json"}, jsonOut, &output{}); code != exitDone {
		t.Errorf("exit code %d", code)
	}
	if err := json.Unmarshal([]byte(jsonOut.String()), &last); err != nil || last.State != replay.StateDone || last.Sent != 8 {
		t.Errorf("%+v %v", last, err)
	}
}
