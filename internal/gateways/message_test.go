package gateways

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/events/tab"
)

var update = flag.Bool("update", false, "write the golden files anew")

const goldenID = "00112233445566778899aabbccddeeff"

func goldenTime(s int) time.Time { return time.Date(2026, 1, 2, 3, 4, s, 678_000_000, time.UTC) }

// write returns what a gateway sends.
func write[T any](t *testing.T, list string, items ...T) []byte {
	t.Helper()
	var sent [][]byte
	done, unfit, err := batches(goldenID, list, items, maxMessageBytes, func(data []byte) error { sent = append(sent, data); return nil })
	if err != nil || done != len(items) || unfit != 0 || len(sent) != 1 {
		t.Fatalf("%d done with, %d unfit, %d messages, %v", done, unfit, len(sent), err)
	}
	return sent[0]
}

// The formats are read by processes of other versions: they change by another version only.
func TestGolden(t *testing.T) {
	g := &Gateway{id: goldenID, cfg: Config{Name: "gateway-3:4711"}}
	tabs := []Tab{
		{Session: "s-<1>", Device: "d-1", Since: goldenTime(5), Transport: TransportWebSocket},
		{Session: "s-2", Since: goldenTime(6), Transport: TransportSSE},
	}
	all, err := g.encodeAnswer(tabs, maxMessageBytes)
	if err != nil {
		t.Fatal(err)
	}
	some, err := g.encodeAnswer(append(tabs[:1:1], Tab{}), maxMessageBytes)
	if err != nil {
		t.Fatal(err)
	}
	q, err := encode(question{V: version, Tenant: "acme", User: "用户-1"})
	if err != nil {
		t.Fatal(err)
	}
	e, err := json.Marshal(entry{V: version, Name: "gateway-3:4711", Version: "v1.2.3", Started: goldenTime(0), Conns: 19_000})
	if err != nil {
		t.Fatal(err)
	}
	passed, err := encode(passedAck{V: version, PassedAck: PassedAck{Stream: "Zm9v.YmFy", Notice: "01980f3c-7b0a-7c1e-9f57-3a1d2b4c5d6e", Outcome: tab.OutcomeIgnored}})
	if err != nil {
		t.Fatal(err)
	}
	h, err := encode(hint{V: version, Hint: Hint{Kind: HintExpiring, Tenant: "acme", User: "用户-1", Session: "s-<1>", Reason: "idle_timeout", At: goldenTime(5)}})
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string][]byte{
		"hint":        h,
		"passed_ack":  passed,
		"question":    q,
		"answer":      all,
		"answer_more": some,
		"entry":       e,
		"changes": write(t, "changes",
			Change{Tenant: "acme", User: "ada", Online: true, Since: goldenTime(5)}, Change{Tenant: "default", User: "bob", Since: goldenTime(6)}),
		"acks": write(t, "acks",
			Ack{Tenant: "acme", Event: "01980f3c-7b0a-7c1e-9f57-3a1d2b4c5d6e", Outcome: tab.OutcomeSignedOut, At: goldenTime(5), Conn: 1},
			Ack{Tenant: "acme", Event: "01980f3c-7b0a-7c1e-9f57-3a1d2b4c5d6e", Outcome: tab.OutcomeAlready, At: goldenTime(6), Conn: 2}),
	} {
		file := filepath.Join("testdata", "golden", name+".json")
		if *update {
			if err := os.WriteFile(file, append(bytes.Clone(got), '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(strings.TrimSuffix(string(want), "\n"), string(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
	}
}

// Messages hold as many as fit, none is lost between them, and what can't be told costs the others nothing.
func TestBatches(t *testing.T) {
	item := func(n int) Change { return Change{Tenant: "acme", User: strings.Repeat("u", n), Since: goldenTime(0)} }
	huge := Change{Tenant: "acme", User: "x", Since: time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC)} // no time of RFC 3339
	for _, tt := range []struct {
		name            string
		items           []Change
		limit, failAt   int
		messages        []int
		wantDone, unfit int
	}{
		{"none", nil, 1_000, 9, nil, 0, 0},
		{"one", []Change{item(1)}, 1_000, 9, []int{1}, 1, 0},
		{"a few to a message", []Change{item(200), item(200), item(200), item(200), item(200)}, 700, 9, []int{2, 2, 1}, 5, 0},
		{"the first is too large", []Change{item(900), item(1), item(2)}, 700, 9, []int{2}, 3, 1},
		{"one in the middle is too large", []Change{item(1), item(900), item(2)}, 700, 9, []int{1, 1}, 3, 1},
		{"the last can't be written", []Change{item(1), huge}, 700, 9, []int{1}, 2, 1},
		{"none fits", []Change{item(900), huge, item(900)}, 700, 9, nil, 3, 3},
		{"the second message fails", []Change{item(200), huge, item(200), item(200), item(200)}, 700, 1, []int{2}, 3, 1},
		{"the first message fails", []Change{item(1), item(2)}, 700, 0, nil, 0, 0},
		{"many small ones", make([]Change, 2*maxList+1), maxMessageBytes, 9, []int{maxList, maxList, 1}, 2*maxList + 1, 0},
	} {
		var messages []int
		fails := errors.New("fails")
		done, unfit, err := batches(goldenID, "changes", tt.items, tt.limit, func(data []byte) error {
			if len(messages) == tt.failAt {
				return fails
			}
			var m changes
			if err := json.Unmarshal(data, &m); err != nil || len(data) > tt.limit {
				t.Errorf("%s: a message of %d bytes: %v", tt.name, len(data), err)
			}
			messages = append(messages, len(m.Changes))
			return nil
		})
		if done != tt.wantDone || unfit != tt.unfit || (err != nil) != (tt.failAt < 9) || fmt.Sprint(messages) != fmt.Sprint(tt.messages) {
			t.Errorf("%s: %d done with, %d unfit, messages of %v, %v; want %d, %d, %v", tt.name, done, unfit, messages, err, tt.wantDone, tt.unfit, tt.messages)
		}
	}
}

// Nothing that comes over NATS makes a reader panic, and what it takes is in form and can be written again.
func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob(filepath.Join("testdata", "golden", "*.json"))
	if err != nil || len(files) == 0 {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if q, err := decodeQuestion(data); err == nil {
			again, err := encode(q)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := decodeQuestion(again); err != nil || got != q {
				t.Errorf("question %+v, then %+v, %v", q, got, err)
			}
		} else if !errors.Is(err, errForm) {
			t.Error(err)
		}
		if a, err := decodeAnswer(data); err == nil {
			g := &Gateway{id: a.Gateway, cfg: Config{Name: a.Name}}
			again, err := g.encodeAnswer(a.Tabs, 16<<20)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := decodeAnswer(again); err != nil || len(got.Tabs) != len(a.Tabs) || got.More {
				t.Errorf("answer %+v, then %+v, %v", a, got, err)
			}
		}
		if list, _, err := decodeChanges(data); err == nil {
			for _, c := range list {
				if c.Gateway == "" || c.Since.IsZero() {
					t.Errorf("change %+v", c)
				}
			}
		}
		if list, _, err := decodeAcks(data); err == nil {
			for _, a := range list {
				if !a.inForm() || !isID(a.Gateway) {
					t.Errorf("acknowledgement %+v", a)
				}
			}
		}
	})
}
