package problem

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"reflect"
	"regexp"
	"strings"

	"github.com/curfewhq/curfew/events"
)

// MaxBodyBytes bounds the body of every request.
const MaxBodyBytes = 1 << 20

// ReadBody reads a JSON body of at most MaxBodyBytes. The returned problem has status 0 when all is well.
func ReadBody(w http.ResponseWriter, r *http.Request) ([]byte, Problem) {
	if ct := r.Header.Get("Content-Type"); ct != "" {
		if media, _, err := mime.ParseMediaType(ct); err != nil || media != "application/json" {
			return nil, New(http.StatusUnsupportedMediaType, "unsupported_media_type", "Send the body as application/json.")
		}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBodyBytes))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, New(http.StatusRequestEntityTooLarge, "body_too_large", "The body is longer than 1 MiB: send fewer items at once.")
	case err != nil:
		return nil, New(http.StatusBadRequest, "unreadable_body", "The body ended early: send it again.")
	}
	return body, Problem{}
}

// Read reads a body of JSON into v, as ReadBody and DecodeStrict do. The returned problem has status 0 when all is well.
func Read(w http.ResponseWriter, r *http.Request, v any) Problem {
	body, p := ReadBody(w, r)
	if p.Status != 0 {
		return p
	}
	if err := DecodeStrict(body, v); err != nil {
		return Malformed(err)
	}
	return Problem{}
}

// Malformed is the answer to a body that DecodeStrict has refused with err.
func Malformed(err error) Problem {
	return New(http.StatusBadRequest, "malformed_body", "The body can't be read: "+err.Error()+".")
}

// DecodeStrict reads exactly one JSON value into v, whose members have names of lower-case letters, digits and underscores. It refuses
// whatever two readers could read differently, because they would end different sessions: what events.CheckJSON refuses, members that v
// doesn't have, and names in another case. The error names the member at most and quotes no value.
func DecodeStrict(body []byte, v any) error {
	if err := events.CheckJSON(body); err != nil {
		return err
	}
	if err := checkNames(body); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	if err == nil {
		return nil
	}
	var typ *json.UnmarshalTypeError
	if errors.As(err, &typ) {
		what := "the body"
		if typ.Field != "" {
			what = "member " + typ.Field
		}
		return errors.New(what + " has the wrong type, want " + jsonType(typ.Type))
	}
	if name, unknown := strings.CutPrefix(err.Error(), "json: unknown field "); unknown {
		// checkNames has seen the name: it is short and harmless.
		return errors.New("member " + strings.Trim(name, `"`) + " isn't known")
	}
	// What is left is time.Time's, whose error quotes the value.
	return errors.New("a time isn't written as RFC 3339, such as 2006-01-02T15:04:05.000Z")
}

// jsonType says in JSON's words what a Go type is read from.
func jsonType(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return jsonType(t.Elem())
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Struct, reflect.Map:
		return "an object"
	}
	return "a whole number"
}

// memberName is the form of all names of this API.
var memberName = regexp.MustCompile(`^[a-z0-9_]{1,40}$`)

// checkNames refuses names that encoding/json would take for another: it ignores case. body is valid JSON.
func checkNames(body []byte) error {
	type level struct {
		// object is false for an array; name is true where a name comes next.
		object, name bool
	}
	open := []level{{}}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	for {
		token, err := dec.Token()
		if err != nil {
			return nil // the end: the body is valid
		}
		top := &open[len(open)-1]
		switch token {
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
			continue
		}
		if name, ok := token.(string); ok && top.name && !memberName.MatchString(name) {
			return errors.New("a member isn't known: names are lower-case")
		}
		top.name = top.object && !top.name
		switch token {
		case json.Delim('{'):
			open = append(open, level{object: true, name: true})
		case json.Delim('['):
			open = append(open, level{})
		}
	}
}
