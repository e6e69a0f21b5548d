package main

import (
	"strings"
	"testing"
)

func TestDoctorFindsNothingWrong(t *testing.T) {
	startServer(t)
	out := must(t, "doctor", "--show-config")
	for _, want := range []string{"ok    configuration", "ok    api key", "ok    replica", "ok    ledger_write", "ok    streams", "staleness_budget = 15s"} {
		if !strings.Contains(out, want) {
			t.Errorf("want %q in\n%s", want, out)
		}
	}
}

func TestDoctorSaysWhatToDo(t *testing.T) {
	s := startServer(t)
	t.Setenv("CURFEW_DATA_DIR", t.TempDir())
	t.Setenv("CURFEW_DANGEROUSLY_FAIL_OPEN", "true")
	stdout, _, code := command(t, "doctor")
	if code != exitFailed || !strings.Contains(stdout, "fail  api key") || !strings.Contains(stdout, "warn  fail open") || !strings.Contains(stdout, "hint: give --api-key-file") {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
	// Somebody publishes what this version doesn't know.
	ack, err := s.Bus().JetStream().Publish(t.Context(), "curfew.v1.default.00.session", []byte(`{"specversion":"1.0"}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Replica().WaitFor(t.Context(), ack.Sequence); err != nil {
		t.Fatal(err)
	}
	if stdout, _, _ = command(t, "doctor"); !strings.Contains(stdout, "warn  skipped: 1 messages") {
		t.Errorf("doctor doesn't tell of the message:\n%s", stdout)
	}
}
