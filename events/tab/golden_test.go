package tab_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/events/tab"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const goldenDir = "testdata/golden"

const (
	noticeID = "019ca8bb-b5c0-7000-8000-000000000001"
	ticket   = "tkt_Zm9vYmFyYmF6cXV4Cg"
)

// goldenFrame is a frame in one of its golden files: what encodes it and what a reader makes of the bytes.
type goldenFrame struct {
	encode func() ([]byte, error)
	decode func([]byte) (any, error)
	want   any
}

func hello(h tab.Hello) goldenFrame {
	return goldenFrame{
		encode: func() ([]byte, error) { return tab.EncodeHello(h) },
		decode: func(b []byte) (any, error) { return tab.DecodeHello(b) },
		want:   tab.Hello{Type: tab.TypeHello, Ticket: h.Ticket, After: h.After, Position: h.Position},
	}
}

func ack(outcome tab.Outcome) goldenFrame {
	return goldenFrame{
		encode: func() ([]byte, error) { return tab.EncodeAck(tab.Ack{ID: noticeID, Outcome: outcome}) },
		decode: func(b []byte) (any, error) {
			a, known, err := tab.DecodeAck(b)
			if !known {
				return nil, err
			}
			return a, err
		},
		want: tab.Ack{Type: tab.TypeAck, ID: noticeID, Outcome: outcome},
	}
}

func server(encode func() ([]byte, error), want tab.Frame) goldenFrame {
	return goldenFrame{encode: encode, decode: func(b []byte) (any, error) { return tab.DecodeFrame(b) }, want: want}
}

func logout(l tab.Logout) goldenFrame {
	return server(func() ([]byte, error) { return tab.EncodeLogout(l) },
		tab.Frame{Type: tab.TypeLogout, ID: l.ID, Scope: l.Scope, Reason: l.Reason, Message: l.Message, At: l.At, Stream: l.Stream, LoginAfterMS: l.LoginAfterMS})
}

// golden returns file → frame, for every frame in both directions.
func golden() map[string]goldenFrame {
	return map[string]goldenFrame{
		"hello.minimal.json":  hello(tab.Hello{Ticket: ticket}),
		"hello.full.json":     hello(tab.Hello{Ticket: ticket, After: noticeID, Position: 1<<53 - 1}),
		"ack.signed_out.json": ack(tab.OutcomeSignedOut),
		"ack.already.json":    ack(tab.OutcomeAlready),
		"ack.ignored.json":    ack(tab.OutcomeIgnored),
		"logout.minimal.json": logout(tab.Logout{ID: noticeID, Scope: "session", Reason: "idle_timeout", At: "2026-03-01T09:30:00.000Z"}),
		"logout.full.json":    logout(tab.Logout{ID: noticeID, Scope: "user", Reason: "password_changed", Message: "Dein Passwort wurde geändert 🔒 <b>&\n\u2028", At: "2026-03-01T09:30:00.123Z"}),
		"logout.later.json":   logout(tab.Logout{ID: noticeID, Scope: "tenant", Reason: "admin", At: "2026-03-01T09:30:00.000Z", LoginAfterMS: 300_000}),
		"logout.stream.json":  logout(tab.Logout{ID: noticeID, Scope: "session", Reason: "user_logout", At: "2026-03-01T09:30:00.000Z", Stream: "Zm9v.YmFy"}),
		"sessions_changed.json": server(
			func() ([]byte, error) { return tab.EncodeSessionsChanged(tab.SessionsChanged{Position: 1<<53 - 1}) },
			tab.Frame{Type: tab.TypeSessionsChanged, Position: 1<<53 - 1},
		),
		"session_expiring.json": server(
			func() ([]byte, error) {
				return tab.EncodeSessionExpiring(tab.SessionExpiring{Reason: "idle_timeout", At: "2026-03-01T09:30:00.000Z", InMS: 60000})
			},
			tab.Frame{Type: tab.TypeSessionExpiring, Reason: "idle_timeout", At: "2026-03-01T09:30:00.000Z", InMS: 60000},
		),
		"session_renewed.json": server(
			func() ([]byte, error) { return tab.EncodeSessionRenewed(tab.SessionRenewed{}) },
			tab.Frame{Type: tab.TypeSessionRenewed},
		),
		"heartbeat.json": server(
			func() ([]byte, error) { return tab.EncodeHeartbeat(tab.Heartbeat{}) },
			tab.Frame{Type: tab.TypeHeartbeat},
		),
		"ready.stream.json": server(
			func() ([]byte, error) {
				return tab.EncodeReady(tab.Ready{Session: "s1", Position: 7, HeartbeatMS: 45000, Stream: "Zm9v.YmFy"})
			},
			tab.Frame{Type: tab.TypeReady, Session: "s1", Position: 7, HeartbeatMS: 45000, Stream: "Zm9v.YmFy"},
		),
		"close.minimal.json": server(
			func() ([]byte, error) { return tab.EncodeClose(tab.Close{Code: tab.CloseNormal}) },
			tab.Frame{Type: tab.TypeClose, Code: tab.CloseNormal},
		),
		"close.full.json": server(
			func() ([]byte, error) {
				return tab.EncodeClose(tab.Close{Code: tab.CloseDrain, Reason: tab.DrainReason(1500 * time.Millisecond)})
			},
			tab.Frame{Type: tab.TypeClose, Code: tab.CloseDrain, Reason: `{"retry_ms":1500}`},
		),
		"ready.json": server(
			func() ([]byte, error) {
				return tab.EncodeReady(tab.Ready{Session: "sid/\"ü\"/<1>", Position: 1<<53 - 1, HeartbeatMS: 25000})
			},
			tab.Frame{Type: tab.TypeReady, Session: "sid/\"ü\"/<1>", Position: 1<<53 - 1, HeartbeatMS: 25000},
		),
		"drain.json": server(
			func() ([]byte, error) { return tab.EncodeDrain(tab.Drain{ReconnectAfterMS: 1500}) },
			tab.Frame{Type: tab.TypeDrain, ReconnectAfterMS: 1500},
		),
	}
}

func TestGolden(t *testing.T) {
	for name, frame := range golden() {
		t.Run(name, func(t *testing.T) {
			got, err := frame.encode()
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(goldenDir, name)
			if *update {
				if err := os.WriteFile(path, append(bytes.Clone(got), '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			file := readFile(t, path)
			want, ended := bytes.CutSuffix(file, []byte("\n"))
			if !ended {
				t.Error("the file doesn't end with a newline")
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("encode (-file +got), `go test -run TestGolden -update` if you mean it:\n%s", diff)
			}
			decoded, err := frame.decode(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(frame.want, decoded); diff != "" {
				t.Errorf("decode (-want +got):\n%s", diff)
			}
		})
	}
}

// TestGoldenIsComplete holds files and table together, and both to the frame types of the code.
func TestGoldenIsComplete(t *testing.T) {
	var want []string
	types := map[tab.FrameType]bool{}
	for name := range golden() {
		want = append(want, name)
		typ, _, _ := strings.Cut(name, ".")
		types[tab.FrameType(typ)] = true
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, fileNames(t, goldenDir)); diff != "" {
		t.Errorf("table and folder differ (-table +folder):\n%s", diff)
	}
	for name, typ := range constants(t, "FrameType") {
		if !types[tab.FrameType(typ)] {
			t.Errorf("%s (%s) has no golden file", name, typ)
		}
		delete(types, tab.FrameType(typ))
	}
	if len(types) > 0 {
		t.Errorf("golden files of types that the code doesn't know: %v", types)
	}
	for name, outcome := range constants(t, "Outcome") {
		if !slices.Contains(want, "ack."+outcome+".json") {
			t.Errorf("%s (%s) has no golden file", name, outcome)
		}
	}
}

func TestGoldenFilesMatchTheSchema(t *testing.T) {
	c := jsonschema.NewCompiler()
	c.UseLoader(jsonschema.SchemeURLLoader{})
	c.AssertFormat()
	const base = "https://github.com/curfewhq/curfew/events/schema/"
	for _, file := range []string{"tab.schema.json", "common.schema.json"} {
		b, err := events.Schemas.ReadFile("schema/" + file)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.AddResource(base+file, doc); err != nil {
			t.Fatal(err)
		}
	}
	all, err := c.Compile(base + "tab.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for name := range golden() {
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(readFile(t, filepath.Join(goldenDir, name))))
		if err != nil {
			t.Fatal(err)
		}
		typ, _, _ := strings.Cut(name, ".")
		own, err := c.Compile(base + "tab.schema.json#/$defs/" + typ)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []*jsonschema.Schema{own, all} {
			if err := s.Validate(doc); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		frame := doc.(map[string]any)
		frame["unknown"] = map[string]any{"type": 1}
		if err := all.Validate(doc); err != nil {
			t.Errorf("%s with an unknown member: %v", name, err)
		}
		for member := range frame {
			if member == "unknown" {
				continue
			}
			kept := frame[member]
			frame[member] = []any{}
			if all.Validate(doc) == nil {
				t.Errorf("%s passes with a list as %s", name, member)
			}
			frame[member] = kept
		}
	}
}

// closeCode is an entry of close_codes.json.
type closeCode struct {
	Code     tab.CloseCode `json:"code"`
	Name     string        `json:"name"`
	Terminal bool          `json:"terminal"`
}

// TestCloseCodes holds close_codes.json, from which clients in other languages are generated, to the constants of the code.
func TestCloseCodes(t *testing.T) {
	var want []closeCode
	for name, value := range constants(t, "CloseCode") {
		var code tab.CloseCode
		if err := json.Unmarshal([]byte(value), &code); err != nil {
			t.Fatal(err)
		}
		want = append(want, closeCode{Code: code, Name: snake(strings.TrimPrefix(name, "Close")), Terminal: code.Terminal()})
	}
	slices.SortFunc(want, func(a, b closeCode) int { return int(a.Code) - int(b.Code) })

	const path = "testdata/close_codes.json"
	if *update {
		var b bytes.Buffer
		b.WriteString("[\n")
		for i, c := range want {
			line, err := json.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			b.WriteString("  " + string(line))
			if i < len(want)-1 {
				b.WriteByte(',')
			}
			b.WriteByte('\n')
		}
		b.WriteString("]\n")
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var got []closeCode
	dec := json.NewDecoder(bytes.NewReader(readFile(t, path)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("close_codes.json (-code +file), `go test -run TestCloseCodes -update` if you mean it:\n%s", diff)
	}
}

// snake turns SignedOut into signed_out.
func snake(s string) string {
	var b strings.Builder
	for i, r := range s {
		if i > 0 && r >= 'A' && r <= 'Z' {
			b.WriteByte('_')
		}
		b.WriteRune(r)
	}
	return strings.ToLower(b.String())
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func fileNames(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
