package publisher_test

import (
	"strings"
	"testing"

	"github.com/curfewhq/curfew/internal/natstest"
)

func TestTraceparent(t *testing.T) {
	const good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	tests := []struct{ name, header, want string }{
		{name: "valid", header: good, want: good},
		{name: "a later version", header: "01" + good[2:], want: "01" + good[2:]},
		{name: "none"},
		{name: "upper case", header: strings.ToUpper(good)},
		{name: "the forbidden version", header: "ff" + good[2:]},
		{name: "no trace", header: "00-00000000000000000000000000000000-b7ad6b7169203331-01"},
		{name: "no parent", header: "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"},
		{name: "too long", header: good + "-x"},
		{name: "junk", header: "PLANTED"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t, natstest.Bus(t), nil)
			if got := d.revoke(t, `{"scope":"session","session":"PLANTED"}`, "traceparent", tt.header); got.status != 200 {
				t.Fatalf("got %s", got.body)
			}
			if got := d.one(t).Meta().TraceParent; got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
