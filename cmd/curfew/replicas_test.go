package main

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/replicas"
)

// TestReplicasList: all that answer are listed, and what was heard last of one that doesn't any more.
func TestReplicasList(t *testing.T) {
	s, nc := startWithBilling(t)
	list := func(want string) (out string) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); !regexp.MustCompile(want).MatchString(out); {
			if out = must(t, "replicas", "ls"); time.Now().After(deadline) {
				t.Fatalf("want %s in\n%s", want, out)
			}
		}
		return out
	}
	list(`(?m)^billing-7 +billing +4\.2\.1 +\d+ +fresh +proof \d+\.\d s old$`)
	if err := json.Unmarshal([]byte(must(t, "replicas", "ls", "--json")), new(replicas.Survey)); err != nil {
		t.Error(err)
	}
	nc.Close()
	list(`(?m)^billing-7 +billing +4\.2\.1 +\d+ +silent +last heard 2`)
	// The names of processes are for operators.
	t.Setenv("CURFEW_API_KEY", newKey(t, s, access.ScopeRead))
	if out := list(`(?m)^1 +- +- +\d+ +fresh`); strings.Contains(out, "billing") {
		t.Errorf("without the scope operator:\n%s", out)
	}
}

func TestPrintReplicas(t *testing.T) {
	cmd := newReplicasList(&remote{})
	var out, told strings.Builder
	cmd.SetOut(&out)
	cmd.SetErr(&told)
	since := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	never := replicas.Answer{Name: "b", StalenessMS: -1}
	err := printReplicas(cmd, replicas.Survey{Replicas: []replicas.Answer{never, {Name: "c", StalenessMS: 16_000}}})
	if err != nil || !strings.Contains(out.String(), "not synced  without proof") || !strings.Contains(out.String(), "stale       proof 16.0 s old") || told.Len() > 0 {
		t.Errorf("%v\n%s%s", err, out.String(), told.String())
	}
	err = printReplicas(cmd, replicas.Survey{Silent: []replicas.SilentReplica{{Name: "a", Position: 7, LeaseEnded: true, FailsClosedSince: since}}})
	if err != nil || !strings.Contains(out.String(), "lease ended  fails closed since 2026-03-01T12:00:00.000Z") || !strings.Contains(told.String(), "curfew doctor") {
		t.Errorf("%v\n%s%s", err, out.String(), told.String())
	}
}
