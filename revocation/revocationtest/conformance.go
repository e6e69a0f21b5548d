package revocationtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
)

// patience bounds every wait of the suite. A feed that needs longer has failed.
const patience = 15 * time.Second

// Harness is one stream, empty at first and without beats but those of Beat, and a feed that follows it. Its methods fail the test
// themselves.
type Harness interface {
	// Feed returns the feed, the same each time.
	Feed() revocation.Feed
	// Publish stores an event on its topic and returns its position.
	Publish(e events.Event) uint64
	// PublishRaw stores any bytes on any topic.
	PublishRaw(topic string, data []byte) uint64
	// Beat stores a beat.
	Beat() uint64
	// RemoveLast removes the last message that is left. The stream's last position stays what it was.
	RemoveLast()
	// Recreate deletes the stream and makes an empty one.
	Recreate()
	// Cut breaks the link between the feed and the stream; Publish and Beat go on working. Heal mends it.
	Cut()
	Heal()
}

// TestFeed holds a feed to what [revocation.Feed] and [revocation.Sink] promise. newHarness is called once for each subtest, and cleans up
// with t.Cleanup. The feed should notice a cut link and a stream that was made anew within a few seconds.
func TestFeed(t *testing.T, newHarness func(t *testing.T) Harness) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(t *testing.T, h Harness)
	}{
		{"begins once and first", beginsOnceAndFirst},
		{"the head is the stream's", headIsTheStreams},
		{"in order and without gaps", inOrderWithoutGaps},
		{"after the position that Begin names", afterPosition},
		{"again after the last position", againAfterPosition},
		{"Begin's error ends it", beginErrorEndsIt},
		{"ctx ends it", ctxEndsIt},
		{"skips what it can't read", skips},
		{"dates beats by when they were stored", datesBeats},
		{"reaching the head is no proof, a beat is", headIsNoProof},
		{"reaches a tail that was removed", reachesRemovedTail},
		{"reaches the end of an emptied stream", reachesEmptied},
		{"notices a stream that was made anew", noticesRecreated},
		{"a replica syncs with a stream that was made anew", replicaOfRecreated},
		{"delivers after healing what was published while cut", deliversAfterHeal},
		{"a replica catches up after healing", replicaAfterHeal},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, newHarness(t)) })
	}
}

func beginsOnceAndFirst(t *testing.T, h Harness) {
	h.Publish(event(1))
	r := newRecorder(0)
	f := follow(t, h.Feed(), r)
	h.Beat()
	last := h.Publish(event(2))
	r.wait(t, "the last event", func(calls []call) bool { return position(calls) >= last })
	f.stop(t)
	for i, c := range r.all() {
		if (c.what == "begin") != (i == 0) {
			t.Errorf("call %d is %s, want begin once and first", i, c.what)
		}
	}
}

func headIsTheStreams(t *testing.T, h Harness) {
	r := newRecorder(0)
	f := follow(t, h.Feed(), r)
	r.wait(t, "Begin", func(calls []call) bool { return len(calls) > 0 })
	f.stop(t)
	if head := r.all()[0].head; head.Last != 0 || head.Stream == "" {
		t.Errorf("head of an empty stream: %+v, want Last 0 and a stream", head)
	}
	first := h.Publish(event(1))
	last := h.Publish(event(2))
	r2 := newRecorder(0)
	f = follow(t, h.Feed(), r2)
	r2.wait(t, "Begin", func(calls []call) bool { return len(calls) > 0 })
	f.stop(t)
	head, same := r2.all()[0].head, r.all()[0].head.Stream
	if head.First != first || head.Last != last || head.Stream != same {
		t.Errorf("head = %+v, want First %d, Last %d, Stream %s", head, first, last, same)
	}
}

func inOrderWithoutGaps(t *testing.T, h Harness) {
	const n = 300
	want := make([]uint64, 0, n)
	for i := range n / 2 {
		want = append(want, h.Publish(event(i)))
	}
	r := newRecorder(0)
	f := follow(t, h.Feed(), r)
	for i := n / 2; i < n; i++ {
		want = append(want, h.Publish(event(i)))
	}
	r.wait(t, "the last event", func(calls []call) bool { return position(calls) >= want[n-1] })
	f.stop(t)
	checkEvents(t, r.all(), want, 0)
}

func afterPosition(t *testing.T, h Harness) {
	var want []uint64
	for i := range 20 {
		want = append(want, h.Publish(event(i)))
	}
	for _, skip := range []int{7, 19, 20} {
		t.Run(fmt.Sprintf("%d of 20", skip), func(t *testing.T) {
			r := newRecorder(want[skip-1])
			f := follow(t, h.Feed(), r)
			more := h.Publish(event(len(want)))
			want = append(want, more)
			r.wait(t, "the new event", func(calls []call) bool { return position(calls) >= more })
			f.stop(t)
			checkEvents(t, r.all(), want[skip:], skip)
		})
	}
}

func againAfterPosition(t *testing.T, h Harness) {
	var want []uint64
	var got []call
	after := uint64(0)
	for round := range 4 {
		r := newRecorder(after)
		f := follow(t, h.Feed(), r)
		for i := range 25 {
			want = append(want, h.Publish(event(25*round+i)))
		}
		r.wait(t, "some of the events", func(calls []call) bool { return position(calls) > after })
		f.stop(t)
		got = append(got, r.all()...)
		after = position(got)
	}
	r := newRecorder(after)
	f := follow(t, h.Feed(), r)
	last := h.Publish(event(len(want)))
	want = append(want, last)
	r.wait(t, "the last event", func(calls []call) bool { return position(calls) >= last })
	f.stop(t)
	checkEvents(t, append(got, r.all()...), want, 0)
}

func beginErrorEndsIt(t *testing.T, h Harness) {
	h.Publish(event(1))
	refusal := errors.New("refused")
	r := newRecorder(0)
	r.refuse = refusal
	f := follow(t, h.Feed(), r)
	if err := f.wait(t); err != refusal { //nolint:errorlint // the error is returned as it is, unwrapped
		t.Errorf("Follow = %v, want Begin's own error", err)
	}
	if calls := r.all(); len(calls) != 1 {
		t.Errorf("%d calls after a Begin that refused, want none", len(calls)-1)
	}
}

func ctxEndsIt(t *testing.T, h Harness) {
	r := newRecorder(0)
	f := follow(t, h.Feed(), r)
	r.wait(t, "Begin", func(calls []call) bool { return len(calls) > 0 })
	began := time.Now()
	f.cancel()
	if err := f.wait(t); err == nil {
		t.Error("Follow = nil, want an error")
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("Follow returned %v after its ctx had ended", took)
	}
	n := len(r.all())
	// Following once more shows that what is published now isn't delivered to the first sink.
	r2 := newRecorder(0)
	f = follow(t, h.Feed(), r2)
	last := h.Publish(event(1))
	r2.wait(t, "the event", func(calls []call) bool { return position(calls) >= last })
	f.stop(t)
	if got := len(r.all()); got != n {
		t.Errorf("%d calls after Follow had returned", got-n)
	}
}

func skips(t *testing.T, h Harness) {
	encoded, err := events.Encode(event(1))
	if err != nil {
		t.Fatal(err)
	}
	topic := events.TopicOf(event(1))
	retype := func(typ string) []byte {
		var m map[string]json.RawMessage
		if err := json.Unmarshal(encoded, &m); err != nil {
			t.Fatal(err)
		}
		m["type"] = json.RawMessage(`"` + typ + `"`)
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	foreign := topic
	foreign.Tenant = "another"
	cases := []struct {
		name  string
		topic events.Topic
		data  []byte
		want  error
	}{
		{"garbage", topic, []byte("\x00no event"), events.ErrMalformed},
		{"nothing", topic, nil, events.ErrMalformed},
		{"an unknown type", topic, retype("io.github.curfewhq.Unheard.v1"), events.ErrUnknownType},
		{"a newer version", topic, retype(strings.TrimSuffix(events.Type(event(1)), "1") + "2"), events.ErrUnknownVersion},
		{"another tenant's topic", foreign, encoded, events.ErrForeignTopic},
	}
	positions := make([]uint64, len(cases))
	for i, c := range cases {
		positions[i] = h.PublishRaw(c.topic.String(), c.data)
	}
	last := h.Publish(event(2))
	r := newRecorder(0)
	f := follow(t, h.Feed(), r)
	r.wait(t, "the event behind what can't be read", func(calls []call) bool { return position(calls) >= last })
	f.stop(t)
	delivered := r.all()[1:]
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := delivered[i]
			if got.what != "skip" || got.position != positions[i] || !errors.Is(got.err, c.want) {
				t.Errorf("got %s at %d with error %v; want skip at %d with %v", got.what, got.position, got.err, positions[i], c.want)
			}
		})
	}
}

func datesBeats(t *testing.T, h Harness) {
	before := time.Now()
	first := h.Beat()
	between := time.Now()
	r := newRecorder(0)
	f := follow(t, h.Feed(), r)
	r.wait(t, "the beat from before", func(calls []call) bool { return position(calls) >= first })
	second := h.Beat()
	after := time.Now()
	r.wait(t, "the second beat", func(calls []call) bool { return position(calls) >= second })
	f.stop(t)
	for _, c := range r.all() {
		stored := after
		switch {
		case c.what != "beat":
			continue
		case c.position == first:
			stored = between
		}
		if c.asOf.After(stored) {
			t.Errorf("the beat at %d is dated %v after it had been stored", c.position, c.asOf.Sub(stored))
		}
		// A date that is too early is safe, but a feed that exaggerates is of no use.
		if early := before.Sub(c.asOf); early > 2*time.Second {
			t.Errorf("the beat at %d is dated %v before it was stored", c.position, early)
		}
	}
}

func headIsNoProof(t *testing.T, h Harness) {
	h.Publish(event(0))
	last := h.Beat()
	h.RemoveLast()
	r := newRecorder(0)
	f := follow(t, h.Feed(), r)
	r.wait(t, "the end", func(calls []call) bool { return position(calls) >= last })
	f.stop(t)
	for i, c := range r.all() {
		if c.what == "beat" {
			t.Errorf("call %d is a beat at %d, and none was left", i, c.position)
		}
	}
	o := startOpen(t, h.Feed())
	o.waitSynced(t)
	o.cancel()
	if _, err := o.wait(t); !errors.Is(err, revocation.ErrNoBeat) {
		t.Errorf("Open = %v without a beat, want ErrNoBeat", err)
	}
	o = startOpen(t, h.Feed())
	o.waitSynced(t)
	h.Beat()
	replica, err := o.wait(t)
	if err != nil {
		t.Fatalf("Open = %v with a beat", err)
	}
	if d := replica.Check(session(1)); d.State != revocation.Active {
		t.Errorf("%v (%v) once opened, want active", d.State, d.Cause)
	}
	checkRevoked(t, replica, 0)
}

func reachesRemovedTail(t *testing.T, h Harness) {
	kept := h.Publish(event(1))
	h.Beat()
	last := h.Beat()
	h.RemoveLast()
	h.RemoveLast()
	for _, after := range []uint64{0, kept} {
		t.Run(fmt.Sprintf("after %d", after), func(t *testing.T) {
			r := newRecorder(after)
			f := follow(t, h.Feed(), r)
			r.wait(t, "the end", func(calls []call) bool { return position(calls) >= last })
			f.stop(t)
			calls := r.all()
			if got := calls[len(calls)-1]; got.what != "reach" || got.position != last {
				t.Errorf("last call is %s %d, want reach %d", got.what, got.position, last)
			}
		})
	}
}

func reachesEmptied(t *testing.T, h Harness) {
	last := h.Beat()
	h.RemoveLast()
	o := startOpen(t, h.Feed())
	if got := o.waitSynced(t); got != last {
		t.Errorf("synced at %d, want %d", got, last)
	}
	beat := h.Beat()
	replica, err := o.wait(t)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	if got := replica.Status(); got.Position != beat || !got.Synced || !got.Fresh {
		t.Errorf("position %d, synced %t, fresh %t; want %d, synced and fresh", got.Position, got.Synced, got.Fresh, beat)
	}
}

func noticesRecreated(t *testing.T, h Harness) {
	for i := range 5 {
		h.Publish(event(i))
	}
	r := newRecorder(0)
	f := follow(t, h.Feed(), r)
	r.wait(t, "the events", func(calls []call) bool { return position(calls) >= 5 })
	h.Recreate()
	if err := f.wait(t); err == nil {
		t.Error("Follow = nil, want an error")
	}
	want := []uint64{h.Publish(event(0)), h.Publish(event(1))}
	r2 := newRecorder(0)
	f = follow(t, h.Feed(), r2)
	r2.wait(t, "the new stream's events", func(calls []call) bool { return position(calls) >= want[1] })
	f.stop(t)
	if before, now := r.all()[0].head.Stream, r2.all()[0].head.Stream; before == now {
		t.Errorf("the new stream has the old one's identity %s", now)
	}
	checkEvents(t, r2.all(), want, 0)
}

func deliversAfterHeal(t *testing.T, h Harness) {
	first := h.Publish(event(0))
	r := newRecorder(0)
	f := follow(t, h.Feed(), r)
	r.wait(t, "the first event", func(calls []call) bool { return position(calls) >= first })
	h.Cut()
	want := []uint64{first, h.Publish(event(1)), h.Publish(event(2))}
	h.Heal()
	// A feed may bridge the cut or give up. Either way it goes on where it was.
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var earlier []call // of the Follows that have returned
	for {
		now := r.all()
		calls := slices.Concat(earlier, now)
		if position(calls) >= want[2] {
			break
		}
		if f.ended() {
			// Nothing comes after Follow has returned, so this is all of it.
			earlier = slices.Concat(earlier, r.all())
			r = newRecorder(position(earlier))
			f = follow(t, h.Feed(), r)
			continue
		}
		select {
		case <-ctx.Done():
			t.Fatal("what was published while cut wasn't delivered after healing")
		case <-r.after(len(now)):
		case <-f.done:
		}
	}
	f.stop(t)
	checkEvents(t, slices.Concat(earlier, r.all()), want, 0)
}
