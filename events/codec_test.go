package events_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// maxErrorText bounds what Decode may write into a log line.
const maxErrorText = 8 << 10

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := genEvent().Draw(t, "event")
		before := clone(e)
		b, err := events.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, e); diff != "" {
			t.Fatalf("Encode changed the event:\n%s", diff)
		}
		if len(b) > events.MaxEncodedBytes || bytes.ContainsRune(b, '\n') || !json.Valid(b) {
			t.Fatalf("not one line of JSON: %s", b)
		}
		got, err := events.Decode(b)
		if err != nil {
			t.Fatalf("%v\n%s", err, b)
		}
		if diff := cmp.Diff(floored(e), got); diff != "" {
			t.Fatalf("Decode (-want +got):\n%s", diff)
		}
		again, err := events.Encode(got)
		if err != nil || !bytes.Equal(b, again) {
			t.Fatalf("Encode isn't stable: %v\n%s\n%s", err, b, again)
		}
	})
}

// TestEqualEventsGiveEqualBytes: another clone, zone, precision below the millisecond, monotonic reading or empty list is the
// same event.
func TestEqualEventsGiveEqualBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := genEvent().Draw(t, "event")
		zone := time.FixedZone("", rapid.IntRange(-14*3600, 14*3600).Draw(t, "zone"))
		below := time.Duration(rapid.Int64Range(0, 999_999).Draw(t, "below"))
		same := mapTimes(e, func(at time.Time) time.Time {
			if !at.IsZero() {
				at = events.Floor(at).Add(below)
			}
			return at.In(zone)
		})
		if u, ok := same.(*events.UserLoggedOutEverywhere); ok {
			u.Except = append([]string{}, u.Except...)
			u.KnownSessions = append([]string{}, u.KnownSessions...)
		}
		a, err := events.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		b, err := events.Encode(same)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Fatalf("two encodings of one event:\n%s\n%s", a, b)
		}
	})
}

// TestDecodeNeverPanics feeds noise, and real events with bytes changed, cut out, doubled and inserted.
func TestDecodeNeverPanics(t *testing.T) {
	noise := rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) []byte { return b })
	damaged := rapid.Custom(func(t *rapid.T) []byte {
		b, err := events.Encode(genEvent().Draw(t, "event"))
		if err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(1, 4).Draw(t, "damages") {
			from := rapid.IntRange(0, len(b)).Draw(t, "from")
			to := min(len(b), from+rapid.IntRange(0, 40).Draw(t, "length"))
			with := rapid.OneOf(
				rapid.SampledFrom([][]byte{nil, b[from:to], []byte(`"`), []byte(`\`), []byte(`\ud800`), []byte(`{`), []byte(`}`), []byte(`null`), []byte(`,"id":1`)}),
				noise,
			).Draw(t, "with")
			b = bytes.Join([][]byte{b[:from], with, b[to:]}, nil)
		}
		return b
	})
	rapid.Check(t, func(t *rapid.T) {
		checkDecode(t, rapid.OneOf(noise, damaged).Draw(t, "bytes"))
	})
}

// checkDecode holds any bytes to what Decode promises. FuzzDecode uses it too.
func checkDecode(t testingT, b []byte) {
	t.Helper()
	input := bytes.Clone(b)
	e, err := events.Decode(b)
	if !bytes.Equal(input, b) {
		t.Fatalf("Decode changed its input %q", input)
	}
	if err != nil {
		if e != nil {
			t.Fatalf("an event beside the error %v", err)
		}
		if classOf(err) == "" {
			t.Fatalf("error of no class: %v", err)
		}
		if n := len(err.Error()); n > maxErrorText {
			t.Fatalf("error of %d bytes", n)
		}
		return
	}
	if err := e.Validate(); err != nil {
		t.Fatalf("decoded, but: %v", err)
	}
	encoded, err := events.Encode(e)
	if err != nil {
		t.Fatalf("decoded, but can't be encoded: %v", err)
	}
	again, err := events.Decode(encoded)
	if err != nil {
		t.Fatalf("%s can't be decoded: %v", encoded, err)
	}
	if diff := cmp.Diff(e, again); diff != "" {
		t.Fatalf("another event the second time:\n%s", diff)
	}
	if topic := events.TopicOf(e); topic.String() != events.TopicOf(again).String() {
		t.Fatalf("another topic the second time")
	} else if parsed, err := events.ParseTopic(topic.String()); err != nil || parsed != topic {
		t.Fatalf("topic %q: %v", topic, err)
	}
	// The event holds its own copy: what happens to the buffer afterwards is not its business.
	for i := range b {
		b[i] = '#'
	}
	if diff := cmp.Diff(again, e); diff != "" {
		t.Fatalf("the event changes with the buffer:\n%s", diff)
	}
	copy(b, input)
}

// testingT is what *testing.T and *rapid.T share.
type testingT interface {
	Helper()
	Fatalf(format string, args ...any)
}

func TestDecodeIsBounded(t *testing.T) {
	file := readFile(t, goldenDir+"/SessionRevoked.minimal.json")
	space := bytes.Repeat([]byte(" "), events.MaxEncodedBytes-len(file))
	if _, err := events.Decode(append(file, space...)); err != nil {
		t.Errorf("%d bytes: %v", events.MaxEncodedBytes, err)
	}
	if _, err := events.Decode(append(append(file, space...), ' ')); classOf(err) != malformed {
		t.Errorf("%d bytes: %v, want %s", events.MaxEncodedBytes+1, err, malformed)
	}
	for _, open := range []string{"[", `{"data":`, `{"data":{"initiator":`, `{"unknown":[`} {
		if _, err := events.Decode([]byte(strings.Repeat(open, 200_000/len(open)))); classOf(err) != malformed {
			t.Errorf("%s…: %v, want %s", open, err, malformed)
		}
	}
}

// TestLargestEventFits: every valid event can be encoded and read back, also when each byte of each id needs escaping.
func TestLargestEventFits(t *testing.T) {
	long := strings.Repeat(`"`, events.MaxIDBytes)
	sids := make([]string, events.MaxExcept+events.MaxKnownSessions)
	for i := range sids {
		suffix := fmt.Sprintf("%x", i)
		sids[i] = long[len(suffix):] + suffix
	}
	e := full(&events.UserLoggedOutEverywhere{}).(*events.UserLoggedOutEverywhere)
	e.Except, e.KnownSessions = sids[:events.MaxExcept], sids[events.MaxExcept:]
	e.User, e.Replay, e.Initiator.ID = long, long, long
	e.ReasonAdmin, e.ReasonUser = strings.Repeat("\n", events.MaxTextBytes), strings.Repeat(`\`, events.MaxTextBytes)
	b, err := events.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > events.MaxEncodedBytes {
		t.Errorf("%d bytes, more than %d", len(b), events.MaxEncodedBytes)
	}
	got, err := events.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(events.Event(e), got); diff != "" {
		t.Errorf("Decode (-want +got):\n%s", diff)
	}
}

func TestEncodeRefusesInvalid(t *testing.T) {
	for _, e := range allEvents() {
		b, err := events.Encode(e)
		var faults *events.InvalidError
		if b != nil || !errors.As(err, &faults) {
			t.Errorf("%s: %s, %v", events.Name(e), b, err)
		}
	}
}

// TestEmbeddedEventKeepsItsType: a struct that embeds an event is an Event too. It must not become another, wider one.
func TestEmbeddedEventKeepsItsType(t *testing.T) {
	for file, e := range golden() {
		wrapped := struct{ events.Event }{e}
		if events.Type(wrapped) != events.Type(e) || events.Name(wrapped) != events.Name(e) {
			t.Errorf("%s: type %s, name %s", file, events.Type(wrapped), events.Name(wrapped))
		}
		want, err := events.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := events.Encode(wrapped); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v\n%s", file, err, got)
		}
	}
}

// TestDecodeSkipsWhateverANewerWriterAdds puts any number of members of any depth before, between and behind those that there are, in the envelope
// and in data. Some are called like ours, but stand elsewhere.
func TestDecodeSkipsWhateverANewerWriterAdds(t *testing.T) {
	const session = `"session":"s-1","tenant":"default","reason":"user_logout",%s"initiator":{%s"type":"user"}`
	const envelope = `{%s"specversion":"1.0","id":"0195b0f0-4a2e-7c3d-9f01-23456789abcd","type":"io.github.curfewhq.SessionRevoked.v1",%s"source":"billing",` +
		`"time":"2026-03-01T12:00:00.000Z","data":{%s` + session + `%s}%s}`
	plain := fmt.Sprintf(envelope, "", "", "", "", "", "", "")
	want, err := events.Decode([]byte(plain))
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		number := 0
		added := rapid.Custom(func(t *rapid.T) string {
			number++
			value := rapid.SampledFrom([]string{
				`1`, `"a\"b"`, `null`, `[]`, `{}`, `[{"session":"s-2","a":[{}]}, {"session":"s-2"}]`, `{"data":{"session":"s-3","b":{"c":{"type":"x"}}},"id":"y"}`,
			}).Draw(t, "value")
			return fmt.Sprintf(`"new-%d" : %s`, number, value)
		})
		some := func(what string) string {
			return strings.Join(rapid.SliceOfN(added, 0, rapid.SampledFrom([]int{0, 1, 12, 60}).Draw(t, "most")).Draw(t, what), ",")
		}
		before := func(what string) string {
			if members := some(what); members != "" {
				return members + ","
			}
			return ""
		}
		behind := func(what string) string {
			if members := some(what); members != "" {
				return "," + members
			}
			return ""
		}
		body := fmt.Sprintf(envelope, before("first"), before("second"), before("third"), before("fourth"), before("fifth"), behind("sixth"), behind("seventh"))
		got, err := events.Decode([]byte(body))
		if err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s: %s", body, diff)
		}
		twice := fmt.Sprintf(envelope, "", "", before("eighth"), before("ninth"), "", behind("tenth")+`,"session":"s-1"`, "")
		if _, err := events.Decode([]byte(twice)); !errors.Is(err, events.ErrMalformed) {
			t.Fatalf("a member that stands there twice: %v: %s", err, twice)
		}
	})
}

// TestDecodeReadsWhatOthersRead compares the strict reader with encoding/json on objects where both must agree: member names of
// one spelling, each once.
func TestDecodeReadsWhatOthersRead(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		e := genEvent().Draw(rt, "event")
		b, err := events.Encode(e)
		if err != nil {
			rt.Fatal(err)
		}
		var doc map[string]any
		if err := json.Unmarshal(b, &doc); err != nil {
			rt.Fatal(err)
		}
		junk := rapid.OneOf(
			rapid.Just[any](nil), rapid.Bool().AsAny(), rapid.Float64().AsAny(), rapid.String().AsAny(), rapid.SliceOf(rapid.String()).AsAny(),
			rapid.MapOf(rapid.String(), rapid.SliceOf(rapid.String())).AsAny(),
		)
		for _, in := range []map[string]any{doc, doc["data"].(map[string]any)} {
			for name, value := range rapid.MapOfN(rapid.StringMatching(`["\\{}\[\],:é]+`), junk, 0, 5).Draw(rt, "junk") {
				in[name] = value
			}
		}
		foreign, err := json.MarshalIndent(doc, "\t", " ") // sorted members, escaped HTML, other spaces
		if err != nil {
			rt.Fatal(err)
		}
		got, err := events.Decode(foreign)
		if err != nil {
			rt.Fatalf("%v\n%s", err, foreign)
		}
		if diff := cmp.Diff(floored(e), got); diff != "" {
			rt.Fatalf("Decode (-want +got):\n%s\n%s", diff, foreign)
		}
	})
}

func TestFloor(t *testing.T) {
	date := func(year, sec, nsec int) time.Time { return time.Date(year, 1, 1, 0, 0, sec, nsec, time.UTC) }
	for _, c := range []struct {
		name      string
		got, want time.Time
	}{
		{"whole", date(2026, 0, 5e6), date(2026, 0, 5e6)},
		{"above", date(2026, 0, 5e6+1), date(2026, 0, 5e6)},
		{"just below the next", date(2026, 0, 6e6-1), date(2026, 0, 5e6)},
		{"never into the next second", date(2026, 0, 999_999_999), date(2026, 0, 999e6)},
		{"the epoch", date(1970, 0, 0), date(1970, 0, 0)},
		{"before the epoch", date(1970, 0, -1), date(1969, 31_535_999, 999e6)},
		{"a millisecond before the epoch", date(1970, 0, -1e6), date(1969, 31_535_999, 999e6)},
		{"just over a millisecond before the epoch", date(1970, 0, -1e6-1), date(1969, 31_535_999, 998e6)},
		{"long before the epoch", date(1, 0, 1e6+1), date(1, 0, 1e6)},
		{"before year 1", date(1, 0, -1), date(1, 0, -1e6)},
		{"zero", time.Time{}, time.Time{}},
		{"zero elsewhere", time.Time{}.In(time.FixedZone("", 3600)), time.Time{}},
		{"farther than milliseconds count", time.Unix(1<<55, 1e6+1), time.Unix(1<<55, 1e6).UTC()},
	} {
		if got := events.Floor(c.got); got != c.want {
			t.Errorf("%s: Floor(%v) = %v, want %v", c.name, c.got, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(rapid.Int64Range(-1<<50, 1<<50).Draw(t, "sec"), rapid.Int64Range(0, 999_999_999).Draw(t, "nsec"))
		got := events.Floor(at)
		if off := at.Sub(got); off < 0 || off >= time.Millisecond || got.Nanosecond()%1e6 != 0 || got.Location() != time.UTC {
			t.Fatalf("Floor(%v) = %v", at, got)
		}
		if events.Floor(got) != got {
			t.Fatalf("Floor isn't stable at %v", at)
		}
	})
}

func TestNames(t *testing.T) {
	kinds := map[events.Kind]string{}
	for _, e := range allEvents() {
		if got, want := fmt.Sprintf("%T", e), "*events."+events.Name(e); got != want {
			t.Errorf("name of %s, want %s", got, want)
		}
		if got, want := events.Type(e), "io.github.curfewhq."+events.Name(e)+".v1"; got != want {
			t.Errorf("type %s, want %s", got, want)
		}
		kinds[e.Kind()] = events.Name(e)
	}
	if len(kinds) != len(events.Kinds()) {
		t.Errorf("kinds %v", kinds)
	}
	for _, k := range events.Kinds() {
		if kinds[k] == "" {
			t.Errorf("no event of kind %s", k)
		}
	}
}

func TestTargets(t *testing.T) {
	for name, want := range map[string]struct {
		kind         events.Kind
		target, user string
		cutoff       bool
	}{
		"SessionRevoked":          {events.KindSession, "sid/\"ü\"/<1>&\\", "auth0|5f7c8ec7c33c6c004bbafe82", false},
		"UserLoggedOutEverywhere": {events.KindUser, "用户-1", "用户-1", true},
		"DeviceLoggedOut":         {events.KindDevice, "device:π", "u-1", true},
		"ClientLoggedOut":         {events.KindClient, "https://app.example.com/", "", true},
		"TenantLoggedOut":         {events.KindTenant, "acme-eu", "", true},
	} {
		e := golden()[name+".full.json"]
		at, ok := events.Cutoff(e)
		if e.Kind() != want.kind || e.Target() != want.target || e.UserID() != want.user || ok != want.cutoff || at.IsZero() == ok {
			t.Errorf("%s: kind %s, target %q, user %q, cutoff %v %v", name, e.Kind(), e.Target(), e.UserID(), at, ok)
		}
	}
}

func TestNewID(t *testing.T) {
	last := ""
	for range 100 {
		id, err := events.NewID()
		if err != nil {
			t.Fatal(err)
		}
		if u, err := uuid.Parse(id); err != nil || u.Version() != 7 || id <= last {
			t.Fatalf("%q after %q: %v", id, last, err)
		}
		last = id
		e := full(&events.TenantLoggedOut{})
		e.Meta().ID = id
		if err := e.Validate(); err != nil {
			t.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, name := range []string{"SessionRevoked.minimal.json", "SessionRevoked.full.json", "UserLoggedOutEverywhere.minimal.json"} {
		b.Run(name, func(b *testing.B) {
			file := readFile(b, goldenDir+"/"+name)
			b.SetBytes(int64(len(file)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := events.Decode(file); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	e := golden()["SessionRevoked.full.json"]
	b.ReportAllocs()
	for b.Loop() {
		if _, err := events.Encode(e); err != nil {
			b.Fatal(err)
		}
	}
}
