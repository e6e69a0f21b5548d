package sessionstore

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/curfewhq/curfew/events"
)

// stored is a session as it is written. Its names are short, for there may be millions.
type stored struct {
	Tenant    string     `json:"t"`
	ID        string     `json:"s"`
	User      string     `json:"u"`
	Device    string     `json:"d,omitempty"`
	Client    string     `json:"c,omitempty"`
	AuthTime  int64      `json:"a"`
	CreatedAt int64      `json:"b"`
	SeenAt    int64      `json:"l"`
	ExpiresAt int64      `json:"x"`
	Agent     Agent      `json:"g,omitzero"`
	Network   string     `json:"n,omitempty"`
	Warned    bool       `json:"w,omitempty"`
	Ended     *storedEnd `json:"e,omitempty"`
}

type storedEnd struct {
	At       int64         `json:"a"`
	Reason   events.Reason `json:"r"`
	Event    string        `json:"i,omitempty"`
	Position uint64        `json:"p,omitempty"`
}

// Encode returns the session as JSON.
func Encode(s Session) []byte {
	out := stored{
		Tenant: s.Tenant, ID: s.ID, User: s.User, Device: s.Device, Client: s.Client, AuthTime: s.AuthTime.UnixMilli(), CreatedAt: s.CreatedAt.UnixMilli(),
		SeenAt: s.SeenAt.UnixMilli(), ExpiresAt: s.ExpiresAt.UnixMilli(), Agent: s.Agent, Network: s.Network, Warned: s.Warned,
	}
	if e := s.Ended; e != nil {
		out.Ended = &storedEnd{At: e.At.UnixMilli(), Reason: e.Reason, Event: e.Event, Position: e.Position}
	}
	// Strings, numbers and a bool can't fail to marshal.
	b, _ := json.Marshal(out)
	return b
}

// Decode reads what Encode has written. The error quotes nothing.
func Decode(b []byte) (Session, error) {
	var in stored
	if json.Unmarshal(b, &in) != nil || in.Tenant == "" || in.ID == "" || in.User == "" {
		return Session{}, errors.New("not a stored session")
	}
	s := Session{
		Tenant: in.Tenant, ID: in.ID, User: in.User, Device: in.Device, Client: in.Client, AuthTime: instant(in.AuthTime), CreatedAt: instant(in.CreatedAt),
		SeenAt: instant(in.SeenAt), ExpiresAt: instant(in.ExpiresAt), Agent: in.Agent, Network: in.Network, Warned: in.Warned,
	}
	if e := in.Ended; e != nil {
		s.Ended = &End{At: instant(e.At), Reason: e.Reason, Event: e.Event, Position: e.Position}
	}
	return s, nil
}

func instant(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
