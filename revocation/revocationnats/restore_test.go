package revocationnats_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/revocation"
)

// backup is a stream as 'nats stream backup' keeps it.
type backup struct {
	Config json.RawMessage `json:"config"`
	State  json.RawMessage `json:"state"`
	chunks [][]byte
}

// api asks the JetStream API and fails the test if it refuses.
func (r *rig) api(topic string, request []byte, answer any) {
	r.t.Helper()
	reply, err := r.js.Conn().Request(topic, request, patience)
	if err != nil {
		r.t.Fatal(err)
	}
	var refused struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(reply.Data, &refused); err != nil || refused.Error != nil {
		r.t.Fatalf("%s: %v %v", topic, err, refused.Error)
	}
	if err := json.Unmarshal(reply.Data, answer); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) backup() (b backup) {
	r.t.Helper()
	inbox := nats.NewInbox()
	sub, err := r.js.Conn().SubscribeSync(inbox)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	request, err := json.Marshal(map[string]any{"deliver_subject": inbox, "no_consumers": true})
	if err != nil {
		r.t.Fatal(err)
	}
	r.api("$JS.API.STREAM.SNAPSHOT.CURFEW", request, &b)
	for {
		m, err := sub.NextMsg(patience)
		if err != nil {
			r.t.Fatal(err)
		}
		if len(m.Data) == 0 {
			return b
		}
		b.chunks = append(b.chunks, m.Data)
		if m.Reply != "" {
			if err := m.Respond(nil); err != nil {
				r.t.Fatal(err)
			}
		}
	}
}

// restore deletes the stream and puts the backup in its place.
func (r *rig) restore(b backup) {
	r.t.Helper()
	folder := filepath.Join(r.srv.Server().JetStreamConfig().StoreDir, "$G", "streams", "CURFEW")
	if _, err := os.Stat(folder); err != nil {
		r.t.Fatal(err)
	}
	// With the last of the streams the server removes the folder of all of them, too, some time or other.
	if _, err := r.js.CreateStream(r.t.Context(), jetstream.StreamConfig{Name: "OTHER", Subjects: []string{"other"}}); err != nil {
		r.t.Fatal(err)
	}
	if err := r.js.DeleteStream(r.t.Context(), "CURFEW"); err != nil {
		r.t.Fatal(err)
	}
	// The server removes its folder afterwards, and can't restore while it is there.
	eventually(r.t, "the deleted stream's folder is gone", func() bool {
		_, err := os.Stat(folder)
		return errors.Is(err, fs.ErrNotExist)
	})
	request, err := json.Marshal(b)
	if err != nil {
		r.t.Fatal(err)
	}
	var answer struct {
		DeliverSubject string `json:"deliver_subject"`
	}
	r.api("$JS.API.STREAM.RESTORE.CURFEW", request, &answer)
	for _, chunk := range b.chunks {
		if _, err := r.js.Conn().Request(answer.DeliverSubject, chunk, patience); err != nil {
			r.t.Fatal(err)
		}
	}
	var created struct{}
	r.api(answer.DeliverSubject, nil, &created)
}

// An operator restores the stream from a backup. It keeps the identity that it had, gives its last positions out anew, and the replica was
// looking on.
func TestStreamIsRestoredFromABackup(t *testing.T) {
	for _, tt := range []struct {
		name string
		// beat: the last message before the restore is a beat.
		beat bool
		// grown is how many events have come by the time that the replica is connected again.
		grown int
	}{
		{"after an event", false, 0}, {"after a beat", true, 0}, {"and has grown, after an event", false, 5}, {"and has grown, after a beat", true, 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, quick)
			replica := r.open(revocation.Config{StalenessBudget: time.Minute})
			waitFor(t, replica, r.Publish(logout(1)))
			b := r.backup()
			waitFor(t, replica, r.Publish(logout(2)))
			if tt.beat {
				waitFor(t, replica, r.Beat())
			}
			before := replica.Status()
			if tt.grown > 0 {
				r.Cut()
			}
			r.restore(b)
			stream, err := r.js.Stream(t.Context(), "CURFEW")
			if err != nil {
				t.Fatal(err)
			}
			if last := stream.CachedInfo().State.LastSeq; last >= before.Position {
				t.Fatalf("restored up to %d, want less than %d", last, before.Position)
			}
			for n := range tt.grown {
				r.Publish(logout(10 + n))
			}
			last := r.Publish(logout(3))
			r.beats(20 * time.Millisecond)
			r.Heal()
			eventually(t, "the session is over that was revoked last", func() bool {
				return replica.Check(session(3)).State == revocation.Revoked
			})
			waitFor(t, replica, last)
			eventually(t, "fresh", func() bool { return replica.Check(session(99)).State == revocation.Active })
			for n := 1; n <= 3; n++ {
				if d := replica.Check(session(n)); d.State != revocation.Revoked {
					t.Errorf("session %d is %v (%v), want revoked", n, d.State, d.Cause)
				}
			}
			for n := range tt.grown {
				if d := replica.Check(session(10 + n)); d.State != revocation.Revoked {
					t.Errorf("session %d is %v (%v), want revoked", 10+n, d.State, d.Cause)
				}
			}
		})
	}
}
