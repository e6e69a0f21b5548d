package problem

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
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

// DecodeStrict reads exactly one JSON value into v and refuses members that v doesn't have, so that a misspelt member isn't silently
// without effect. The error names the member and quotes no value.
func DecodeStrict(body []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	var typ *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &typ):
		return errors.New("member " + typ.Field + " has the wrong type, want " + typ.Type.String())
	case errors.As(err, &syntax), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the body isn't JSON")
	case err != nil:
		return err
	}
	if dec.More() {
		return errors.New("the body holds more than one JSON value")
	}
	return nil
}
