package fanout

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

func TestTicketForm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(0, 40, 256)
		want := ticket{
			ID: text.Draw(t, "id"), Tenant: text.Draw(t, "tenant"), User: text.Draw(t, "user"), Session: text.Draw(t, "session"), Device: text.Draw(t, "device"),
			Client: text.Draw(t, "client"), Origin: text.Draw(t, "origin"),
			AuthTime: rapid.Int64().Draw(t, "auth time"), Expires: rapid.Int64().Draw(t, "end"), SessionExpires: rapid.Int64().Draw(t, "session's end"),
		}
		body := want.append(nil)
		got, err := parseTicket(body)
		if err != nil || got != want {
			t.Fatalf("got %+v, %v; want %+v", got, err, want)
		}
		cut := rapid.IntRange(0, len(body)-1).Draw(t, "cut")
		if _, err := parseTicket(body[:cut]); err == nil {
			t.Fatalf("cut at %d of %d it passes", cut, len(body))
		}
		if _, err := parseTicket(append(bytes.Clone(body), 0)); err == nil {
			t.Fatal("with a byte too many it passes")
		}
	})
}

// FuzzTicketForm: whatever a body is, parsing it doesn't panic, and what it makes of it is written the same way, but for numbers that could be shorter.
func FuzzTicketForm(f *testing.F) {
	f.Add(ticket{ID: "i", Tenant: "acme", User: "ann", Session: "s1", AuthTime: 1}.append(nil))
	f.Add([]byte{ticketForm, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{ticketForm, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := parseTicket(body)
		if err != nil {
			return
		}
		if again, err := parseTicket(got.append(nil)); err != nil || again != got {
			t.Errorf("%x: %+v became %+v, %v", body, got, again, err)
		}
	})
}
