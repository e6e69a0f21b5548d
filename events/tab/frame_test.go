package tab_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/curfewhq/curfew/events/tab"
	"github.com/google/go-cmp/cmp"
)

// secret stands in tickets and ids. No error may quote it.
const secret = "s3cr3t-t1cket"

func noSecret(t testing.TB, err error) {
	t.Helper()
	for ; err != nil; err = errors.Unwrap(err) {
		if text := fmt.Sprintf("%v %+v %q", err, err, err); strings.Contains(text, secret) {
			t.Errorf("error quotes the frame: %s", text)
		}
	}
}

// padded returns a hello of exactly n bytes.
func padded(n int) string {
	const head, tail = `{"type":"hello","ticket":"` + secret, `"}`
	return head + strings.Repeat("x", n-len(head)-len(tail)) + tail
}

func TestDecodeHello(t *testing.T) {
	for _, c := range []struct {
		name, frame string
		want        tab.Hello // zero: refused
	}{
		{name: "ticket", frame: `{"type":"hello","ticket":"t"}`, want: tab.Hello{Type: "hello", Ticket: "t"}},
		{name: "after", frame: `{"after":"n-1","ticket":"t","type":"hello"}`, want: tab.Hello{Type: "hello", Ticket: "t", After: "n-1"}},
		{name: "position", frame: `{"type":"hello","ticket":"t","position":42}`, want: tab.Hello{Type: "hello", Ticket: "t", Position: 42}},
		{name: "negative position", frame: `{"type":"hello","ticket":"` + secret + `","position":-1}`},
		{name: "position of a wrong type", frame: `{"type":"hello","ticket":"` + secret + `","position":"1"}`},
		{name: "empty after", frame: `{"type":"hello","ticket":"t","after":""}`, want: tab.Hello{Type: "hello", Ticket: "t"}},
		{name: "unknown members", frame: ` {"type":"hello","ticket":"t","user":"u","topics":[">"]} `, want: tab.Hello{Type: "hello", Ticket: "t"}},
		{
			name: "the longest after", frame: `{"type":"hello","ticket":"t","after":"` + strings.Repeat("x", 64) + `"}`,
			want: tab.Hello{Type: "hello", Ticket: "t", After: strings.Repeat("x", 64)},
		},
		{name: "after too long", frame: `{"type":"hello","ticket":"` + secret + `","after":"` + strings.Repeat("x", 65) + `"}`},
		{name: "after with a line feed", frame: `{"type":"hello","ticket":"` + secret + `","after":"` + secret + `\n"}`},
		{name: "after not ASCII", frame: `{"type":"hello","ticket":"` + secret + `","after":"é"}`},
		{name: "after of a wrong type", frame: `{"type":"hello","ticket":"` + secret + `","after":1}`},
		{name: "no ticket", frame: `{"type":"hello"}`},
		{name: "empty ticket", frame: `{"type":"hello","ticket":""}`},
		{name: "null ticket", frame: `{"type":"hello","ticket":null}`},
		{name: "ticket of a wrong type", frame: `{"type":"hello","ticket":["` + secret + `"]}`},
		{name: "another type", frame: `{"type":"ack","ticket":"` + secret + `"}`},
		{name: "type in upper case", frame: `{"type":"HELLO","ticket":"` + secret + `"}`},
		{name: "type of a wrong type", frame: `{"type":1,"ticket":"` + secret + `"}`},
		{name: "the ticket as type", frame: `{"type":"` + secret + `","ticket":"` + secret + `"}`},
		{name: "no type", frame: `{"ticket":"` + secret + `"}`},
		{name: "empty", frame: ``},
		{name: "null", frame: `null`},
		{name: "a string", frame: `"` + secret + `"`},
		{name: "an array", frame: `[{"type":"hello","ticket":"` + secret + `"}]`},
		{name: "cut short", frame: `{"type":"hello","ticket":"` + secret},
		{name: "not JSON", frame: secret},
		{name: "two frames", frame: `{"type":"hello","ticket":"t"}{"type":"hello","ticket":"` + secret + `"}`},
		{name: "too large", frame: padded(tab.MaxClientFrameBytes + 1)},
		{name: "too large by spaces", frame: `{"type":"hello","ticket":"` + secret + `"}` + strings.Repeat(" ", tab.MaxClientFrameBytes)},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := tab.DecodeHello([]byte(c.frame))
			noSecret(t, err)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if refused := c.want == (tab.Hello{}); refused != errors.Is(err, tab.ErrFrame) || refused != (err != nil) {
				t.Errorf("error %v", err)
			}
		})
	}
	if h, err := tab.DecodeHello([]byte(padded(tab.MaxClientFrameBytes))); err != nil || !strings.HasPrefix(h.Ticket, secret) {
		t.Errorf("the largest frame: %v", err)
	}
}

func TestDecodeAck(t *testing.T) {
	long := strings.Repeat("x", 64)
	for _, c := range []struct {
		name, frame string
		want        tab.Ack // zero: refused, or ignored
		ignored     bool
	}{
		{name: "signed out", frame: `{"type":"ack","id":"n-1","outcome":"signed_out"}`, want: tab.Ack{Type: "ack", ID: "n-1", Outcome: tab.OutcomeSignedOut}},
		{name: "already", frame: `{"type":"ack","id":"n-1","outcome":"already"}`, want: tab.Ack{Type: "ack", ID: "n-1", Outcome: tab.OutcomeAlready}},
		{name: "ignored", frame: `{"type":"ack","id":"n-1","outcome":"ignored"}`, want: tab.Ack{Type: "ack", ID: "n-1", Outcome: tab.OutcomeIgnored}},
		{name: "unknown members", frame: `{"type":"ack","id":"n-1","outcome":"already","took":{"ms":3}}`, want: tab.Ack{Type: "ack", ID: "n-1", Outcome: tab.OutcomeAlready}},
		{name: "the longest id", frame: `{"type":"ack","id":"` + long + `","outcome":"already"}`, want: tab.Ack{Type: "ack", ID: long, Outcome: tab.OutcomeAlready}},
		{name: "another type", frame: `{"type":"future"}`, ignored: true},
		{name: "another type with other members", frame: `{"type":"future","id":1,"outcome":{"a":[]}}`, ignored: true},
		{name: "a second hello", frame: `{"type":"hello","ticket":"` + secret + `"}`, ignored: true},
		{name: "id too long", frame: `{"type":"ack","id":"` + long + `x","outcome":"already"}`},
		{name: "no id", frame: `{"type":"ack","outcome":"already"}`},
		{name: "empty id", frame: `{"type":"ack","id":"","outcome":"already"}`},
		{name: "id with a line feed", frame: `{"type":"ack","id":"` + secret + `\n","outcome":"already"}`},
		{name: "id with a space", frame: `{"type":"ack","id":"a b","outcome":"already"}`},
		{name: "id of a wrong type", frame: `{"type":"ack","id":["` + secret + `"],"outcome":"already"}`},
		{name: "no outcome", frame: `{"type":"ack","id":"n-1"}`},
		{name: "unknown outcome", frame: `{"type":"ack","id":"n-1","outcome":"` + secret + `"}`},
		{name: "outcome of a wrong type", frame: `{"type":"ack","id":"n-1","outcome":7}`},
		{name: "no type", frame: `{"id":"n-1","outcome":"already"}`},
		{name: "empty type", frame: `{"type":""}`},
		{name: "type of a wrong type", frame: `{"type":["ack"]}`},
		{name: "empty", frame: ``},
		{name: "null", frame: `null`},
		{name: "an array", frame: `[]`},
		{name: "not JSON", frame: secret},
		{name: "too large", frame: `{"type":"future","pad":"` + strings.Repeat("x", tab.MaxClientFrameBytes) + `"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, known, err := tab.DecodeAck([]byte(c.frame))
			noSecret(t, err)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			wantKnown := c.want != tab.Ack{}
			if known != wantKnown || (err == nil) != (wantKnown || c.ignored) || err != nil && !errors.Is(err, tab.ErrFrame) {
				t.Errorf("known %v, error %v", known, err)
			}
		})
	}
}

func TestDecodeFrame(t *testing.T) {
	for _, c := range []struct {
		name, frame string
		want        tab.Frame // zero: refused
	}{
		{name: "unknown members", frame: `{"type":"drain","reconnect_after_ms":5,"why":{}}`, want: tab.Frame{Type: tab.TypeDrain, ReconnectAfterMS: 5}},
		{name: "unknown type", frame: `{"type":"future"}`, want: tab.Frame{Type: "future"}},
		{name: "unknown type with other members", frame: `{"type":"future","id":1,"message":{},"position":-1}`, want: tab.Frame{Type: "future"}},
		{name: "the largest position", frame: `{"type":"ready","position":18446744073709551615}`, want: tab.Frame{Type: tab.TypeReady, Position: 1<<64 - 1}},
		{name: "a negative position", frame: `{"type":"ready","position":-1}`},
		{name: "an id of a wrong type", frame: `{"type":"logout","id":1}`},
		{name: "no type", frame: `{}`},
		{name: "null", frame: `null`},
		{name: "not JSON", frame: `logout`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := tab.DecodeFrame([]byte(c.frame))
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if refused := c.want == (tab.Frame{}); refused != errors.Is(err, tab.ErrFrame) || refused != (err != nil) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestEncodeSetsTheType: what a caller wrote as type doesn't matter.
func TestEncodeSetsTheType(t *testing.T) {
	const wrong = "wrong"
	for want, encode := range map[tab.FrameType]func() ([]byte, error){
		tab.TypeHello:           func() ([]byte, error) { return tab.EncodeHello(tab.Hello{Type: wrong}) },
		tab.TypeAck:             func() ([]byte, error) { return tab.EncodeAck(tab.Ack{Type: wrong}) },
		tab.TypeReady:           func() ([]byte, error) { return tab.EncodeReady(tab.Ready{Type: wrong}) },
		tab.TypeLogout:          func() ([]byte, error) { return tab.EncodeLogout(tab.Logout{Type: wrong}) },
		tab.TypeDrain:           func() ([]byte, error) { return tab.EncodeDrain(tab.Drain{Type: wrong}) },
		tab.TypeSessionsChanged: func() ([]byte, error) { return tab.EncodeSessionsChanged(tab.SessionsChanged{Type: wrong}) },
		tab.TypeClose:           func() ([]byte, error) { return tab.EncodeClose(tab.Close{Type: wrong}) },
	} {
		b, err := encode()
		if err != nil {
			t.Fatal(err)
		}
		var got struct{ Type tab.FrameType }
		if err := json.Unmarshal(b, &got); err != nil || got.Type != want {
			t.Errorf("%s: %v, want %s", b, err, want)
		}
	}
}

func TestTerminal(t *testing.T) {
	for code, want := range map[tab.CloseCode]bool{
		0: false, 1000: false, 1012: false, 3999: false, 4000: false, 4499: false, 4500: true, 4501: true, 4999: true, 5000: false, 65535: false,
	} {
		if got := code.Terminal(); got != want {
			t.Errorf("%d: terminal %v, want %v", code, got, want)
		}
	}
}

func TestDrainReason(t *testing.T) {
	for after, want := range map[time.Duration]int64{
		0: 0, time.Microsecond: 0, 1500 * time.Millisecond: 1500, time.Hour: 3_600_000, -time.Second: 0, 1<<63 - 1: 9_223_372_036_854,
	} {
		reason := tab.DrainReason(after)
		var got struct {
			RetryMS *int64 `json:"retry_ms"`
		}
		if err := json.Unmarshal([]byte(reason), &got); err != nil || got.RetryMS == nil || *got.RetryMS != want {
			t.Errorf("DrainReason(%v) = %s, want %d", after, reason, want)
		}
		if len(reason) > tab.MaxCloseReasonBytes {
			t.Errorf("%q doesn't fit into a close frame", reason)
		}
	}
}

// FuzzClientFrame holds what tabs send to the protocol: no panic, bounds kept, errors of one class and short.
func FuzzClientFrame(f *testing.F) {
	for _, name := range fileNames(f, goldenDir) {
		f.Add(readFile(f, goldenDir+"/"+name))
	}
	f.Add([]byte(`{"type":"future","id":1}`))
	f.Add([]byte(padded(tab.MaxClientFrameBytes + 1)))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, b []byte) {
		checkError := func(err error) {
			if err != nil && (!errors.Is(err, tab.ErrFrame) || len(err.Error()) > 256) {
				t.Fatalf("error %v", err)
			}
		}
		hello, err := tab.DecodeHello(b)
		checkError(err)
		switch {
		case err != nil && hello != tab.Hello{}:
			t.Fatalf("%+v beside the error %v", hello, err)
		case err == nil && (len(b) > tab.MaxClientFrameBytes || hello.Type != tab.TypeHello || hello.Ticket == "" || len(hello.After) > tab.MaxNoticeIDBytes):
			t.Fatalf("accepted %+v", hello)
		case err == nil:
			encoded, err := tab.EncodeHello(hello)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := tab.DecodeHello(encoded); len(encoded) <= tab.MaxClientFrameBytes && (err != nil || again != hello) {
				t.Fatalf("%+v became %+v, %v", hello, again, err)
			}
		}

		ack, known, err := tab.DecodeAck(b)
		checkError(err)
		switch {
		case !known && ack != tab.Ack{}, known && err != nil:
			t.Fatalf("%+v, %v, %v", ack, known, err)
		case known && (len(b) > tab.MaxClientFrameBytes || ack.Type != tab.TypeAck || ack.ID == "" || len(ack.ID) > tab.MaxNoticeIDBytes):
			t.Fatalf("accepted %+v", ack)
		case known:
			encoded, err := tab.EncodeAck(ack)
			if err != nil {
				t.Fatal(err)
			}
			if again, known, err := tab.DecodeAck(encoded); !known || err != nil || again != ack {
				t.Fatalf("%+v became %+v, %v", ack, again, err)
			}
		}

		// The client's reader takes the same bytes: it must not panic either.
		_, err = tab.DecodeFrame(b)
		checkError(err)
	})
}

// TestOffers reads what a tab offers as subprotocols.
func TestOffers(t *testing.T) {
	for _, c := range []struct {
		name    string
		offered []string
		want    tab.Offers
		refused bool
	}{
		{name: "nothing"},
		{name: "the protocol alone", offered: []string{tab.Subprotocol}, want: tab.Offers{Speaks: true}},
		{name: "another version", offered: []string{"curfew.v2"}},
		{name: "all", offered: []string{tab.Subprotocol, "ticket.a-_9.b", "after." + noticeID, "position.18446744073709551615"},
			want: tab.Offers{Speaks: true, Ticket: "a-_9.b", After: noticeID, Position: 1<<64 - 1}},
		{name: "unknown ones", offered: []string{"chat", "later.1", tab.Subprotocol}, want: tab.Offers{Speaks: true}},
		{name: "two tickets", offered: []string{tab.Subprotocol, "ticket.a", "ticket.b"}, refused: true},
		{name: "an empty ticket", offered: []string{"ticket."}, refused: true},
		{name: "an empty id", offered: []string{"after."}, refused: true},
		{name: "a negative position", offered: []string{"position.-1"}, refused: true},
		{name: "a position that is too large", offered: []string{"position.18446744073709551616"}, refused: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got tab.Offers
			var err error
			for _, o := range c.offered {
				if err = got.Add(o); err != nil {
					break
				}
			}
			if c.refused {
				if !errors.Is(err, tab.ErrFrame) {
					t.Errorf("got %v, want ErrFrame", err)
				}
				return
			}
			if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}
