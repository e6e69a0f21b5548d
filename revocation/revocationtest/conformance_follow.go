package revocationtest

import (
	"errors"
	"testing"
	"time"
)

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
