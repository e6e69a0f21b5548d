package problem_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/internal/problem"
)

type inner struct {
	Type string `json:"type"`
}

type request struct {
	Session string     `json:"session"`
	Cutoff  *time.Time `json:"cutoff"`
	Except  []string   `json:"except"`
	Count   int        `json:"count"`
	By      *inner     `json:"initiator"`
	Yes     bool       `json:"yes"`
}

func TestDecodeStrict(t *testing.T) {
	const wrongTime = "a time isn't written as RFC 3339, such as 2006-01-02T15:04:05.000Z"
	tests := []struct{ name, body, want string }{
		{name: "an object", body: ` {"session":"a","except":["b","b"],"initiator":{"type":"user"}} ` + "\n"},
		{name: "a whole surrogate pair", body: `{"session":"\ud83d\ude00 \\ud800 \n"}`},
		{name: "null is left out", body: `{"cutoff":null}`},
		{name: "the same name in two objects", body: `{"initiator":{"type":"user"},"session":"type"}`},
		{name: "empty", body: "", want: "not JSON"},
		{name: "cut off", body: `{"session":"a"`, want: "not JSON"},
		{name: "two values", body: `{} {}`, want: "not JSON"},
		// json.Decoder.More says no at a closing bracket.
		{name: "a brace too many", body: `{}}`, want: "not JSON"},
		{name: "a bracket too many", body: `{}]`, want: "not JSON"},
		{name: "unknown member", body: `{"sesion":"topsecret"}`, want: "member sesion isn't known"},
		{name: "unknown member in a member", body: `{"initiator":{"typ":"topsecret"}}`, want: "member typ isn't known"},
		{name: "a token as a name", body: `{"cfw_TOPSECRET":1}`, want: "a member isn't known: names are lower-case"},
		{name: "a long name", body: `{"` + strings.Repeat("a", 41) + `":1}`, want: "a member isn't known: names are lower-case"},
		// encoding/json ignores case, also that of U+017F, which folds to s.
		{name: "another case", body: `{"Session":"a"}`, want: "a member isn't known: names are lower-case"},
		{name: "another letter of the same fold", body: `{"ſession":"a"}`, want: "a member isn't known: names are lower-case"},
		{name: "another case behind a value", body: `{"session":"a","initiator":{"type":"b"},"Count":1}`, want: "a member isn't known: names are lower-case"},
		{name: "another case in an element of an array", body: `[1,["x"],{"except":["Y"],"Session":"a"}]`, want: "a member isn't known: names are lower-case"},
		{name: "twice by an escape", body: `{"session":"a","\u0073ession":"b"}`, want: "a name stands twice in an object"},
		{name: "twice", body: `{"session":"a","count":1,"session":"b"}`, want: "a name stands twice in an object"},
		{name: "twice in a member", body: `{"initiator":{"type":"a","type":"b"}}`, want: "a name stands twice in an object"},
		{name: "twice in an element", body: `[[{"session":"a","session":"b"}]]`, want: "a name stands twice in an object"},
		{name: "not UTF-8", body: "{\"session\":\"\xff\"}", want: "not UTF-8"},
		{name: "half a pair", body: `{"session":"\ud800"}`, want: "half a surrogate pair"},
		{name: "the other half", body: `{"session":"\udc00x"}`, want: "half a surrogate pair"},
		{name: "two first halves", body: `{"session":"\ud800\ud800"}`, want: "half a surrogate pair"},
		{name: "half a pair behind a backslash", body: `{"session":"\\\ud800"}`, want: "half a surrogate pair"},
		{name: "a number for a string", body: `{"session":1}`, want: "member session has the wrong type, want a string"},
		{name: "a string for a list", body: `{"except":"topsecret"}`, want: "member except has the wrong type, want an array"},
		{name: "a string for a number", body: `{"count":"topsecret"}`, want: "member count has the wrong type, want a whole number"},
		{name: "a fraction", body: `{"count":1.5}`, want: "member count has the wrong type, want a whole number"},
		{name: "a string for an object", body: `{"initiator":"topsecret"}`, want: "member initiator has the wrong type, want an object"},
		{name: "a number for a bool", body: `{"yes":1}`, want: "member yes has the wrong type, want true or false"},
		{name: "an array for an object", body: `["topsecret"]`, want: "the body has the wrong type, want an object"},
		{name: "a string for an object at the top", body: `"topsecret"`, want: "the body has the wrong type, want an object"},
		{name: "no time", body: `{"cutoff":"topsecret"}`, want: wrongTime},
		{name: "a number for a time", body: `{"cutoff":1754300000}`, want: wrongTime},
		{name: "too deep", body: strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000), want: "not JSON"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			if err := problem.DecodeStrict([]byte(tt.body), &request{}); err != nil {
				// Where in the body isn't what this is about.
				got, _, _ = strings.Cut(err.Error(), ", at byte ")
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if strings.Contains(got, "topsecret") {
				t.Error("the error quotes a value")
			}
		})
	}
}

func TestDecodeStrictReadsAll(t *testing.T) {
	var got []request
	if err := problem.DecodeStrict([]byte(`[{"session":"a","cutoff":"2026-08-04T12:00:00.5+02:00","count":3}]`), &got); err != nil {
		t.Fatal(err)
	}
	cutoff := time.Date(2026, 8, 4, 10, 0, 0, 5e8, time.UTC)
	if diff := cmp.Diff([]request{{Session: "a", Cutoff: &cutoff, Count: 3}}, got); diff != "" {
		t.Error(diff)
	}
}

type brokenBody struct{}

func (brokenBody) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

func TestReadBody(t *testing.T) {
	exact := strings.Repeat("x", problem.MaxBodyBytes)
	tests := []struct {
		name, contentType string
		body              io.Reader
		want              int
		code              string
	}{
		{name: "JSON", contentType: "application/json", body: strings.NewReader("{}")},
		{name: "with a parameter", contentType: "Application/JSON; charset=utf-8", body: strings.NewReader("{}")},
		{name: "without a type", body: strings.NewReader("{}")},
		{name: "as large as may be", contentType: "application/json", body: strings.NewReader(exact)},
		{name: "one byte more", contentType: "application/json", body: strings.NewReader(exact + "x"), want: 413, code: "body_too_large"},
		{name: "a form", contentType: "application/x-www-form-urlencoded", body: strings.NewReader("a=b"), want: 415, code: "unsupported_media_type"},
		{name: "plain text, as a cross-site form would send it", contentType: "text/plain", body: strings.NewReader("{}"), want: 415, code: "unsupported_media_type"},
		{name: "no media type", contentType: "json;;", body: strings.NewReader("{}"), want: 415, code: "unsupported_media_type"},
		{name: "cut off", contentType: "application/json", body: brokenBody{}, want: 400, code: "unreadable_body"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/", tt.body)
			if tt.contentType != "" {
				r.Header.Set("Content-Type", tt.contentType)
			}
			body, p := problem.ReadBody(httptest.NewRecorder(), r)
			if p.Status != tt.want || p.Code != tt.code {
				t.Errorf("got %d %s, want %d %s", p.Status, p.Code, tt.want, tt.code)
			}
			if (body == nil) != (tt.want != 0) {
				t.Errorf("a body of %d bytes came with status %d", len(body), p.Status)
			}
		})
	}
}

func TestWrite(t *testing.T) {
	unauthorized := problem.New(401, "api_key_missing", "Send a key.")
	unauthorized.Authenticate = `Bearer realm="curfew"`
	index := 0
	tests := []struct {
		name                    string
		p                       problem.Problem
		retryAfter, auth, wants string
	}{
		{name: "plain", p: problem.New(404, "no_such_key", "No."), wants: `{"type":"about:blank","title":"Not Found","status":404,"detail":"No.","code":"no_such_key","retry":false}`},
		{name: "authenticate", p: unauthorized, auth: `Bearer realm="curfew"`, wants: `{"type":"about:blank","title":"Unauthorized","status":401,"detail":"Send a key.","code":"api_key_missing","retry":false}`},
		{name: "a second", p: problem.Unavailable("not_stored", "", time.Second), retryAfter: "1", wants: `{"type":"about:blank","title":"Service Unavailable","status":503,"code":"not_stored","retry":true}`},
		{name: "a moment is rounded up", p: problem.Unavailable("not_stored", "", time.Nanosecond), retryAfter: "1", wants: `{"type":"about:blank","title":"Service Unavailable","status":503,"code":"not_stored","retry":true}`},
		{name: "a bit more than a second", p: problem.Unavailable("not_stored", "", time.Second+1), retryAfter: "2", wants: `{"type":"about:blank","title":"Service Unavailable","status":503,"code":"not_stored","retry":true}`},
		{name: "without a time", p: problem.Unavailable("not_stored", "", 0), wants: `{"type":"about:blank","title":"Service Unavailable","status":503,"code":"not_stored","retry":true}`},
		{name: "faults", p: problem.Invalid(problem.Fault{Field: "a", Detail: "b"}, problem.Fault{Index: &index, Field: "c", Detail: "d"}),
			wants: `{"type":"about:blank","title":"Unprocessable Entity","status":422,"detail":"Some members of the request are invalid; nothing was done.","code":"invalid_request","retry":false,"errors":[{"field":"a","detail":"b"},{"index":0,"field":"c","detail":"d"}]}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			tt.p.Write(w)
			h := w.Result().Header
			got := []any{w.Code, h.Get("Content-Type"), h.Get("Cache-Control"), h.Get("Retry-After"), h.Get("WWW-Authenticate"), strings.TrimSpace(w.Body.String())}
			want := []any{tt.p.Status, "application/problem+json", "no-store", tt.retryAfter, tt.auth, tt.wants}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A body with more members comes with the same status and headers.
func TestWriteBody(t *testing.T) {
	p := problem.Unavailable("not_stored", "", time.Second)
	p.Authenticate = "Bearer"
	plain, more := httptest.NewRecorder(), httptest.NewRecorder()
	p.Write(plain)
	p.WriteBody(more, struct {
		problem.Problem
		State string `json:"state"`
	}{p, "undetermined"})
	if diff := cmp.Diff(plain.Result().Header, more.Result().Header); diff != "" || more.Code != plain.Code {
		t.Errorf("%d and %d: %s", plain.Code, more.Code, diff)
	}
	if got, want := more.Body.String(), strings.Replace(plain.Body.String(), "}\n", ",\"state\":\"undetermined\"}\n", 1); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestInvalidListsNoMoreThanItMay(t *testing.T) {
	p := problem.Invalid(make([]problem.Fault, 250_000)...)
	if len(p.Faults) != problem.MaxFaults || !strings.Contains(p.Detail, "only the first") {
		t.Errorf("got %d faults and %q", len(p.Faults), p.Detail)
	}
}

func TestJSON(t *testing.T) {
	w := httptest.NewRecorder()
	problem.JSON(w, http.StatusCreated, map[string]int{"a": 1})
	got := []any{w.Code, w.Header().Get("Content-Type"), w.Header().Get("Cache-Control"), w.Body.String()}
	if diff := cmp.Diff([]any{201, "application/json", "no-store", "{\"a\":1}\n"}, got); diff != "" {
		t.Error(diff)
	}
}

// FuzzDecodeStrict holds DecodeStrict to what it promises: what it accepts is valid JSON that stays itself when it is written again.
func FuzzDecodeStrict(f *testing.F) {
	for _, seed := range []string{`{"session":"a"}`, `{"session":"\ud83d\ude00"}`, `{"session":"\ud800"}`, `{}]`, `{"a":{"b":[1,{"c":null}]}}`, `"\\u`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var got request
		if problem.DecodeStrict(body, &got) != nil {
			return
		}
		if !json.Valid(body) || bytes.ContainsRune([]byte(got.Session), '�') && !bytes.ContainsRune(body, '�') && !bytes.Contains(bytes.ToLower(body), []byte(`\ufffd`)) {
			t.Errorf("%q was read as %q", body, got.Session)
		}
	})
}
