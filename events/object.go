package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// member is a member that an object may have, and where its value goes. into is a *string, *bool, *[]string, *instant,
// *Initiator, *rawText or *json.RawMessage.
type member struct {
	name string
	into any
}

// rawText is a string that may alias what it was read from.
type rawText []byte

// checkText returns nil if b is one JSON value whose every string is Unicode text. encoding/json lets invalid UTF-8 and lone
// surrogates pass as U+FFFD, which would make one id of two different ones.
func checkText(b []byte) error {
	if !utf8.Valid(b) {
		return errors.New("not UTF-8")
	}
	s := scanner{b: b}
	switch {
	case !s.text():
		var syntax *json.SyntaxError
		if errors.As(json.Unmarshal(b, new(json.RawMessage)), &syntax) {
			return errors.New("not JSON, at byte " + strconv.FormatInt(syntax.Offset, 10))
		}
		return errors.New("not JSON")
	case s.half > 0:
		return errors.New("half a surrogate pair, at byte " + strconv.Itoa(s.half-1))
	}
	return nil
}

// readObject reads one JSON object that checkText has passed, more strictly than encoding/json: names match exactly ("Session"
// is not "session") and none of members stands there twice; otherwise two readers of the same bytes could end different
// sessions. Other members are skipped, and null is the same as left out (CloudEvents JSON format 1.0.2, section 2.2). Errors
// name a member of members and never quote b.
func readObject(b []byte, members ...member) error {
	b = bytes.TrimLeft(b, " \t\r\n")
	if len(b) == 0 || b[0] != '{' {
		return errors.New("not an object")
	}
	var seen uint32 // one bit per member; no object has as many
	for i := 1; ; {
		i = skipSpace(b, i)
		switch b[i] {
		case '}':
			return nil
		case ',':
			i++
			continue
		}
		end := valueEnd(b, i)
		name := b[i:end]
		i = skipSpace(b, skipSpace(b, end)+len(":"))
		end = valueEnd(b, i)
		value := b[i:end]
		i = end

		n, err := find(members, name)
		switch {
		case err != nil:
			return err
		case n < 0:
			continue
		case seen&(1<<n) != 0:
			return fmt.Errorf("member %q stands there twice", members[n].name)
		}
		seen |= 1 << n
		if err := readValue(value, members[n].into); err != nil {
			return fmt.Errorf("member %q %w", members[n].name, err)
		}
	}
}

// find returns the index in members of a name as it stands in JSON, with its quotes, or -1.
func find(members []member, quoted []byte) (int, error) {
	name := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(name, '\\') >= 0 {
		var s string
		if err := json.Unmarshal(quoted, &s); err != nil {
			return 0, errors.New("a member's name isn't a string")
		}
		name = []byte(s)
	}
	for i, m := range members {
		if m.name == string(name) {
			return i, nil
		}
	}
	return -1, nil
}

var errWrongType = errors.New("has the wrong type")

func readValue(value []byte, into any) error {
	if string(value) == "null" {
		return nil
	}
	switch into := into.(type) {
	case *string:
		return readString(value, into)
	case *instant:
		return into.read(value)
	case *Initiator:
		if err := readObject(value, member{"type", (*string)(&into.Type)}, member{"id", &into.ID}); err != nil {
			return fmt.Errorf("is wrong: %w", err)
		}
		return nil
	case *json.RawMessage:
		*into = value
		return nil
	case *rawText:
		s, err := text(value)
		*into = s
		return err
	}
	if json.Unmarshal(value, into) != nil {
		return errWrongType
	}
	if ids, ok := into.(*[]string); ok && len(*ids) == 0 {
		*ids = nil // an empty list is a list left out, so that equal bytes give equal events
	}
	return nil
}

func readString(value []byte, into *string) error {
	s, err := text(value)
	*into = string(s)
	return err
}

// text returns what a JSON string says. It may alias value.
func text(value []byte) ([]byte, error) {
	if value[0] != '"' {
		return nil, errWrongType
	}
	if bytes.IndexByte(value, '\\') < 0 {
		return value[1 : len(value)-1], nil
	}
	var s string
	if json.Unmarshal(value, &s) != nil {
		return nil, errWrongType
	}
	return []byte(s), nil
}

func skipSpace(b []byte, i int) int {
	for b[i] == ' ' || b[i] == '\t' || b[i] == '\r' || b[i] == '\n' {
		i++
	}
	return i
}

// valueEnd returns the index behind the value that begins at i. b is valid JSON, so brackets match and strings end.
func valueEnd(b []byte, i int) int {
	for depth := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			i = stringEnd(b, i)
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i // of the object around a number, true, false or null
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
		}
	}
	return i
}

// stringEnd returns the index of the quote that ends the string that begins at i.
func stringEnd(b []byte, i int) int {
	for i = plainEnd(b, i+1); b[i] != '"'; i = plainEnd(b, i+2) { // behind what is escaped
	}
	return i
}
