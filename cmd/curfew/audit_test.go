package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
)

func TestAuditVerify(t *testing.T) {
	e := newEvidence(t)
	e.verify(exitDone, []string{"6 events are as they were signed", "the chain holds", "--checkpoints", "--key"})
	e.verify(exitDone, []string{"known from " + e.key, "the chain holds"}, "--key", e.key, "--checkpoints", e.checkpoints)
	must(t, "revoke", "session", "s-7")
	e.verify(exitDone, []string{"1              behind the last checkpoint"})
	var v verified
	if err := json.Unmarshal([]byte(must(t, "audit", "verify", "--json", "--key", e.key)), &v); err != nil || v.Events != 6 || v.Unsigned != 1 || v.KeysFrom != e.key || v.CheckpointsFrom != "server" {
		t.Errorf("%v: %+v", err, v)
	}
	if out := must(t, "audit", "ls"); !strings.Contains(out, "begun: first") || strings.Count(out, "\n") < 7 {
		t.Error(out)
	}
	// Another process's key, another's checkpoints, and files that hold neither.
	other := newEvidence(t)
	e2 := *other
	other.verify(exitBroken, []string{"signature, by checkpoint 1"}, "--key", e.key)
	other.verify(exitBroken, []string{"forked, by checkpoint 1"}, "--checkpoints", e.checkpoints)
	for _, args := range [][]string{{"--key", e2.checkpoints}, {"--max-gap", "0s"}, {"x"}} {
		if _, stderr, code := command(t, append([]string{"audit", "verify"}, args...)...); code != exitUsage {
			t.Errorf("%v: exit code %d: %s", args, code, stderr)
		}
	}
	for _, path := range []string{e.key, filepath.Join(t.TempDir(), "none"), other.file("twice", strings.Repeat(must(t, "audit", "ls", "--json"), 2))} {
		if _, stderr, code := command(t, "audit", "verify", "--checkpoints", path); code != exitFailed || !strings.Contains(stderr, path) {
			t.Errorf("%s: exit code %d: %s", path, code, stderr)
		}
	}
}

// TestNothingSignedYet: a deployment that was started a moment ago isn't one that somebody has tampered with, and isn't one that holds either.
func TestNothingSignedYet(t *testing.T) {
	startServer(t)
	must(t, "revoke", "session", "s-1")
	out, _, code := command(t, "audit", "verify")
	if code != exitBroken || !strings.Contains(out, "NOTHING IS SIGNED") || !strings.Contains(out, "--from lies behind the last of them") || strings.Contains(out, "THE CHAIN") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	if out := must(t, "audit", "ls"); !strings.HasPrefix(out, "NUMBER") {
		t.Error(out)
	}
}

// TestTamperedLedger: whoever has the disk changes the ledger, with sums that fit, and the position is named.
func TestTamperedLedger(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func([]natstest.Stored) []natstest.Stored
		// bad is the index of the event whose position is named, and kind what is found there.
		bad  int
		kind string
	}{
		{"a byte of an event", func(s []natstest.Stored) []natstest.Stored {
			s[2].Data = []byte(strings.Replace(string(s[2].Data), "u-1", "u-2", 1))
			return s
		}, 2, "changed"},
		{"a header of an event", func(s []natstest.Stored) []natstest.Stored {
			s[1].Header = []byte(strings.Replace(string(s[1].Header), "Curfew-Request", "Curfew-Refused", 1))
			return s
		}, 1, "changed"},
		{"a nanosecond", func(s []natstest.Stored) []natstest.Stored { s[0].Time++; return s }, 0, "changed"},
		{"another tenant's topic", func(s []natstest.Stored) []natstest.Stored {
			s[3].Subject = strings.Replace(s[3].Subject, ".default.", ".another.", 1)
			return s
		}, 3, "changed"},
		{"one is removed", func(s []natstest.Stored) []natstest.Stored { return append(s[:2], s[3:]...) }, 2, "removed"},
		{"two change places", func(s []natstest.Stored) []natstest.Stored {
			s[1].Header, s[4].Header, s[1].Data, s[4].Data = s[4].Header, s[1].Header, s[4].Data, s[1].Data
			return s
		}, 1, "changed"},
		{"the tail is cut off", func(s []natstest.Stored) []natstest.Stored { return s[:4] }, 4, "removed"},
		{"the front is cut off", func(s []natstest.Stored) []natstest.Stored { return s[1:] }, 0, "removed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := newEvidence(t)
			e.rewrite(bus.LedgerStream, onEvents(tt.change))
			e.verify(exitBroken, []string{fmt.Sprintf("FIRST BAD POSITION: %d (%s)", e.at[tt.bad], tt.kind), "THE CHAIN IS BROKEN"})
		})
	}
}

// TestAddedEvent: an event at a position where a beat lay. A beat's position isn't known before there is one.
func TestAddedEvent(t *testing.T) {
	e := newEvidence(t)
	beat := uint64(0)
	e.rewrite(bus.LedgerStream, func(s []natstest.Stored) []natstest.Stored {
		for i := range s {
			if s[i].Sequence < e.at[5] && len(s[i].Data) < 100 && beat == 0 {
				beat = s[i].Sequence
				event := s[len(s)-1]
				for _, m := range s {
					if m.Sequence == e.at[0] {
						event = m
					}
				}
				event.Sequence, event.Time = s[i].Sequence, s[i].Time
				s[i] = event
			}
		}
		return s
	})
	e.verify(exitBroken, []string{fmt.Sprintf("FIRST BAD POSITION: %d (added)", beat)})
}

// TestByteOnTheDisk: nats-server notices by itself, and goes on without what follows.
func TestByteOnTheDisk(t *testing.T) {
	e := newEvidence(t)
	e.stopped(func() {
		msgs := filepath.Join(e.dir, "ledger", "jetstream", "$G", "streams", bus.LedgerStream, "msgs")
		flip(t, filepath.Join(msgs, "1.blk"), "s-4")
		if err := os.Remove(filepath.Join(msgs, "index.db")); err != nil {
			t.Fatal(err)
		}
	})
	e.verify(exitBroken, []string{fmt.Sprintf("FIRST BAD POSITION: %d (", e.at[3])})
}

// TestTailCutOfBoth shows what a chain alone doesn't: a ledger that is cut off together with its checkpoints looks whole, but for the time since the last of them; a copy knows.
func TestTailCutOfBoth(t *testing.T) {
	e := newEvidence(t)
	cut := int64(0)
	e.rewrite(bus.LedgerStream, func(s []natstest.Stored) []natstest.Stored {
		for i, m := range s {
			if m.Sequence == e.at[4] {
				cut = m.Time
				return s[:i]
			}
		}
		return s
	})
	e.rewrite(bus.AuditStream, func(s []natstest.Stored) []natstest.Stored {
		for i, m := range s {
			if m.Time >= cut {
				return s[:i]
			}
		}
		return s
	})
	e.verify(exitDone, []string{"the chain holds"})
	e.verify(exitDoubts, []string{"stale"}, "--max-gap", "10ms")
	e.verify(exitBroken, []string{fmt.Sprintf("FIRST BAD POSITION: %d (removed)", e.at[4]), "checkpoints_missing"}, "--checkpoints", e.checkpoints)
	// The chain goes on from where it was cut to, and the copy still knows.
	must(t, "revoke", "session", "s-9")
	e.sign()
	e.verify(exitDone, nil)
	e.verify(exitBroken, []string{fmt.Sprintf("FIRST BAD POSITION: %d (", e.at[4]), "forked"}, "--checkpoints", e.checkpoints)
}

// TestForgedCheckpoint: one whose text was changed, and one that was left out.
func TestForgedCheckpoint(t *testing.T) {
	e := newEvidence(t)
	e.rewrite(bus.AuditStream, func(s []natstest.Stored) []natstest.Stored {
		first := strings.Split(string(s[1].Data), ".")
		second := strings.Split(string(s[2].Data), ".")
		s[2].Data = []byte(second[0] + "." + first[1] + "." + second[2])
		return s
	})
	e.verify(exitBroken, []string{"signature, by checkpoint 3: expected a signature by a trusted key; found the signature doesn't fit", "link, by checkpoint 4", "6 events are as they were signed"})
	e.rewrite(bus.AuditStream, func(s []natstest.Stored) []natstest.Stored { return append(s[:2], s[3:]...) })
	e.verify(exitBroken, []string{"checkpoints_missing, by checkpoint 3"})
}

// TestExchangedKey: whoever can exchange the key signs another history, which holds; the key that was kept knows, and so does the copy.
func TestExchangedKey(t *testing.T) {
	e := newEvidence(t)
	e.rewrite(bus.LedgerStream, onEvents(func(s []natstest.Stored) []natstest.Stored { return s[1:] }))
	kv, err := e.srv.Bus().KeyValue(t.Context(), bus.SecretsBucket())
	if err != nil {
		t.Fatal(err)
	}
	if err := kv.Delete(t.Context(), "signing"); err != nil {
		t.Fatal(err)
	}
	e.stopped(func() {
		if err := os.RemoveAll(filepath.Join(e.dir, "ledger", "jetstream", "$G", "streams", bus.AuditStream)); err != nil {
			t.Fatal(err)
		}
	})
	e.sign()
	e.verify(exitDone, []string{"5 events are as they were signed"})
	e.verify(exitBroken, []string{"signature", "key that isn't among those given"}, "--key", e.key)
	e.verify(exitBroken, []string{"forked", fmt.Sprintf("FIRST BAD POSITION: %d (removed)", e.at[0])}, "--key", e.key, "--checkpoints", e.checkpoints)
}

// TestReplacedLedger: one that was deleted and made anew has other events at its positions; a new chain begins, loudly.
func TestReplacedLedger(t *testing.T) {
	e := newEvidence(t)
	e.stopped(func() {
		if err := os.RemoveAll(filepath.Join(e.dir, "ledger", "jetstream", "$G", "streams", bus.LedgerStream)); err != nil {
			t.Fatal(err)
		}
	})
	e.verify(exitBroken, []string{"ledger_replaced", "6              of ledgers that aren't there any more"})
	must(t, "revoke", "session", "s-1")
	e.sign()
	e.verify(exitBroken, []string{"new_chain", "begun because: replaced", "1 events are as they were signed"})
	out := must(t, "audit", "ls", "--json", "--all")
	begun := uint64(0)
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		var l listed
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		if l.Checkpoint.Cause == "replaced" {
			begun = l.Number
		}
	}
	// Who knows why leaves out what was before.
	e.verify(exitDone, []string{"1 events are as they were signed"}, "--from", fmt.Sprint(begun))
}
