package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

// member is a member that an object may have, and where its value goes. into is a *string, *bool, *[]string, *instant,
// *Initiator, *rawText or *place.
type member struct {
	name string
	into any
}

// rawText is a string that may alias what it was read from.
type rawText []byte

// place is the index of the entry whose value is meant; 0, which is the whole text's, if it was left out.
type place int

// scan goes through b, and returns an error unless that is one JSON value whose every string is Unicode text. encoding/json lets invalid UTF-8 and lone
// surrogates pass as U+FFFD, which would make one id of two different ones.
func (s *scanner) scan(b []byte) error {
	if len(b) > math.MaxInt32 {
		return errors.New("longer than 2 GiB")
	}
	if !utf8.Valid(b) {
		return errors.New("not UTF-8")
	}
	s.b = b
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

// readObject reads the object that is the value of an entry, more strictly than encoding/json: names match exactly ("Session" is not "session") and none
// of members stands there twice; otherwise two readers of the same bytes could end different sessions. Other members are skipped, and null is the same as
// left out (CloudEvents JSON format 1.0.2, section 2.2). Errors name a member of members and never quote the text.
func (s *scanner) readObject(at int, members ...member) error {
	if s.b[s.entry(at).value.from] != '{' {
		return errors.New("not an object")
	}
	var seen uint32 // one bit per member; no object has as many
	n := -1
	for i, end := at+1, at+1+int(s.entry(at).within); i < end; i += 1 + int(s.entry(i).within) {
		name, err := text(s.b, s.entry(i).name)
		if err != nil {
			return errors.New("a member's name isn't a string")
		}
		// Writers usually keep to our order.
		if n = find(members, n+1, name); n < 0 {
			continue
		}
		if seen&(1<<n) != 0 {
			return fmt.Errorf("member %q stands there twice", members[n].name)
		}
		seen |= 1 << n
		if err := s.readValue(i, members[n].into); err != nil {
			return fmt.Errorf("member %q %w", members[n].name, err)
		}
	}
	return nil
}

// find returns the index in members of a name, or -1. It looks at likely first.
func find(members []member, likely int, name []byte) int {
	if likely < len(members) && members[likely].name == string(name) {
		return likely
	}
	for i, m := range members {
		if m.name == string(name) {
			return i
		}
	}
	return -1
}

var errWrongType = errors.New("has the wrong type")

// readValue puts the value of an entry to where it belongs.
func (s *scanner) readValue(at int, into any) error {
	e := s.entry(at).value
	value := s.b[e.from:e.to]
	if string(value) == "null" {
		return nil
	}
	switch into := into.(type) {
	case *string:
		said, err := text(s.b, e)
		*into = string(said)
		return err
	case *instant:
		said, err := text(s.b, e)
		if err != nil {
			return err
		}
		return into.read(said)
	case *Initiator:
		if err := s.readObject(at, member{"type", (*string)(&into.Type)}, member{"id", &into.ID}); err != nil {
			return fmt.Errorf("is wrong: %w", err)
		}
		return nil
	case *place:
		*into = place(at)
		return nil
	case *rawText:
		said, err := text(s.b, e)
		*into = said
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

// text returns what a JSON string says. It may alias b.
func text(b []byte, s span) ([]byte, error) {
	if b[s.from] != '"' {
		return nil, errWrongType
	}
	if !s.escaped {
		return b[s.from+1 : s.to-1], nil
	}
	var said string
	if json.Unmarshal(b[s.from:s.to], &said) != nil {
		return nil, errWrongType
	}
	return []byte(said), nil
}
