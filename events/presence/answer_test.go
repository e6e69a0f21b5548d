package presence_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/events/presence"
)

// An answer may name its process's id, or, as one that isn't of this library may, leave it out; what isn't an id is none.
func TestAnswerIDs(t *testing.T) {
	for _, id := range []string{"", "PQ7XN2VAKDPA"} {
		want := presence.Answer{ID: id, Name: "billing-7", Group: "billing", Position: 7}
		data, err := presence.EncodeAnswer(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := presence.DecodeAnswer(data)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	}
	for _, id := range []string{`"short"`, `"billing\u0000billing-7"`, `"PQ7XN2VA.KDPA"`, `7`} {
		if a, err := presence.DecodeAnswer([]byte(`{"v":1,"id":` + id + `,"name":"n","position":7}`)); !errors.Is(err, presence.ErrMalformed) {
			t.Errorf("%s: %+v, %v", id, a, err)
		}
	}
}
