package events_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/curfewhq/curfew/events"
)

func TestCheckJSON(t *testing.T) {
	for _, tt := range []struct {
		name, json string
		want       string // part of the error; "" if it passes
	}{
		{name: "an object", json: `{"a":1,"b":{"a":2},"c":[{"a":3},{"a":4}]}`},
		{name: "an array", json: ` [1, "a", "a", null, true, {}, []] `},
		{name: "a value", json: `"a"`},
		{name: "a value like a name", json: `{"a":"b","b":"a","c":["a","a"]}`},
		{name: "names in another case", json: `{"a":1,"A":2}`},
		{name: "a whole pair", json: `{"\ud83d\ude00":"\ud83d\ude00 \\ud800"}`},
		{name: "a number without end", json: `{"a":1e999999,"b":` + strings.Repeat("9", 4000) + `}`},
		{name: "nothing", json: ``, want: "not JSON"},
		{name: "two values", json: `{} {}`, want: "not JSON, at byte 4"},
		{name: "cut short", json: `{"a":`, want: "not JSON"},
		{name: "not UTF-8", json: "{\"a\":\"\xff\"}", want: "not UTF-8"},
		{name: "half a pair", json: `{"a":"\ud800"}`, want: "half a surrogate pair, at byte 7"},
		{name: "half a pair in a name", json: `{"\udc00":1}`, want: "half a surrogate pair"},
		{name: "twice", json: `{"PLANTED":1,"PLANTED":2}`, want: "a name stands twice in an object, at byte 22"},
		{name: "twice, escaped", json: `{"a":1,"\u0061":2}`, want: "twice"},
		{name: "twice, empty", json: `{"":1,"":2}`, want: "twice"},
		{name: "twice around an object", json: `{"a":{"b":1},"a":{"c":[]}}`, want: "twice"},
		{name: "twice, deep", json: `[[{"b":[{"a":1,"c":{},"a":1}]}]]`, want: "twice"},
		{name: "too deep", json: strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000), want: "not JSON"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := events.CheckJSON([]byte(tt.json))
			switch {
			case err == nil && tt.want != "":
				t.Errorf("passes, want %q", tt.want)
			case err != nil && (tt.want == "" || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "PLANTED")):
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

// TestCheckJSONTakesWhatIsJSON tries every text of up to five characters, of those that mean something in JSON.
func TestCheckJSONTakesWhatIsJSON(t *testing.T) {
	longest := 5
	if testing.Short() {
		longest = 4
	}
	var try func(text []byte)
	try = func(text []byte) {
		err := events.CheckJSON(text)
		if notJSON := err != nil && strings.HasPrefix(err.Error(), "not JSON"); notJSON == json.Valid(text) {
			t.Fatalf("%q: %v, and encoding/json says valid: %t", text, err, json.Valid(text))
		}
		if len(text) == longest {
			return
		}
		for _, c := range []byte(`{}[]",: \u01-.e`) {
			try(append(text, c))
		}
	}
	try(nil)
	for _, text := range []string{
		`true`, `false`, `null`, `tru`, `nulll`, `[true,false,null]`, `"\u12fE"`, `"\u12f"`, `"\u+123"`, `"\u12g4"`, "\"\x1f\"", `-0.10E+02`, `1e+`, `01`, `+1`, `.5`,
		`"\ud800\u+c00"`, `"\ud800\u"`, `"\b\f\n\r\t\/\\\""`, `"\x"`, "\ufeff1", strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000),
		strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001), strings.Repeat(`{"":`, 10_000) + "1" + strings.Repeat("}", 10_000),
	} {
		err := events.CheckJSON([]byte(text))
		if notJSON := err != nil && strings.HasPrefix(err.Error(), "not JSON"); notJSON == json.Valid([]byte(text)) {
			t.Errorf("%.40q: %v, and encoding/json says valid: %t", text, err, json.Valid([]byte(text)))
		}
	}
}

// FuzzCheckJSON: what passes is JSON, passes again as encoding/json writes it, and doesn't pass once a name is said again.
func FuzzCheckJSON(f *testing.F) {
	for _, seed := range []string{`{"a":1,"a":2}`, `{"a":{"a":[]},"b":"\ud800"}`, `[{"\u0061":null,"a":""}]`, `"\ud83d\ude00"`, ` {"":[]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		err := events.CheckJSON(b)
		if notJSON := err != nil && strings.HasPrefix(err.Error(), "not JSON"); utf8.Valid(b) && notJSON == json.Valid(b) {
			t.Fatalf("%v, and encoding/json says valid: %t", err, json.Valid(b))
		}
		if err != nil {
			return
		}
		var v any
		dec := json.NewDecoder(bytes.NewReader(b))
		dec.UseNumber()
		if err := dec.Decode(&v); err != nil {
			t.Fatalf("passes, and can't be decoded: %v", err)
		}
		again, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := events.CheckJSON(again); err != nil {
			t.Errorf("written anew: %v", err)
		}
		object, _ := v.(map[string]any)
		for name := range object {
			quoted, err := json.Marshal(name)
			if err != nil {
				t.Fatal(err)
			}
			twice := "{" + string(quoted) + ":0," + string(bytes.TrimLeft(b, " \t\r\n")[1:])
			if err := events.CheckJSON([]byte(twice)); err == nil || !strings.Contains(err.Error(), "twice") {
				t.Errorf("a name stands twice: %v", err)
			}
		}
	})
}

func TestTraceParentFault(t *testing.T) {
	const good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for s, valid := range map[string]bool{
		good: true, "7f" + good[2:]: true, "00-" + strings.Repeat("0", 32) + "-" + strings.Repeat("0", 16) + "-00": true,
		"": false, strings.ToUpper(good): false, good + "-x": false, good[1:]: false, good + "\n": false, "00_" + good[3:]: false, "PLANTED": false,
	} {
		if fault := events.TraceParentFault(s); (fault == "") != valid || strings.Contains(fault, "PLANTED") {
			t.Errorf("%q: %q, want valid %t", s, fault, valid)
		}
	}
}
