package replay

import (
	"testing"
	"time"
)

// What a look has found holds for less than the ledger's window for duplicates, whichever process of the deployment signed it, and no other's.
func TestLookHolds(t *testing.T) {
	s, same, other := &Service{cfg: Config{ImportKey: []byte("a")}}, &Service{cfg: Config{ImportKey: []byte("a")}}, &Service{cfg: Config{ImportKey: []byte("b")}}
	began := time.Now()
	signed := s.signLook(began)
	for _, tt := range []struct {
		who  *Service
		text string
		age  time.Duration
		want bool
	}{
		{s, signed, 0, true}, {same, signed, 0, true}, {other, signed, 0, false},
		{s, signed, lookLasts - time.Second, true}, {s, signed, lookLasts + time.Second, false},
		{s, signed, -30 * time.Second, true}, {s, signed, -2 * time.Minute, false},
		{s, "", 0, false}, {s, "-", 0, false}, {s, signed[1:], 0, false}, {s, signed + "0", 0, false}, {s, "0" + signed, 0, false},
	} {
		if got := tt.who.lookHolds(tt.text, began.Add(tt.age)); got != tt.want {
			t.Errorf("%q after %v: %v", tt.text, tt.age, got)
		}
	}
}

func TestIsID(t *testing.T) {
	const good = "01a222c5-405d-7dbc-b6e5-6ed5c77090fb"
	if !isID(good) {
		t.Errorf("%q doesn't pass", good)
	}
	for _, bad := range []string{"", good[1:], good + "0", "01A222c5-405d-7dbc-b6e5-6ed5c77090fb", "01a222c54405d-7dbc-b6e5-6ed5c77090fb", "01g222c5-405d-7dbc-b6e5-6ed5c77090fb", "{1a222c5-405d-7dbc-b6e5-6ed5c77090f}", "urn:uuid:" + good, "{" + good + "}"} {
		if isID(bad) {
			t.Errorf("%q passes", bad)
		}
	}
}
