package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
)

// CheckJSON returns nil if b is exactly one JSON value that two readers can't read differently: UTF-8, without half a surrogate
// pair in a string, and without a name that stands twice in one object, at any depth. Whoever reads JSON that ends sessions
// calls it first, so that one rule holds everywhere.
//
// Names are compared as they read, so `"a"` and `"\u0061"` are the same one. `"a"` and `"A"` are not, but encoding/json takes
// each for the other when it decodes into a struct: the caller has to refuse names that it doesn't know. Errors say what is
// wrong at which byte, and quote nothing of b.
func CheckJSON(b []byte) error {
	if err := checkText(b); err != nil {
		return err
	}
	return checkNames(b)
}

// container is an object or an array that is open.
type container struct {
	names map[string]struct{} // nil for an array
	named bool                // in an object, a name has come and its value hasn't
}

// checkNames refuses names that stand twice in one object. checkText has passed b.
func checkNames(b []byte) error {
	open := []container{{}} // the value itself, as in an array
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber() // a number is none of our business, however large
	for {
		token, err := dec.Token()
		if err != nil {
			return nil // io.EOF: b is valid
		}
		top := &open[len(open)-1]
		if name, ok := token.(string); ok && top.names != nil && !top.named {
			if _, twice := top.names[name]; twice {
				return errors.New("a name stands twice in an object, at byte " + strconv.FormatInt(dec.InputOffset(), 10))
			}
			top.names[name], top.named = struct{}{}, true
			continue
		}
		switch token {
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
			continue // the value was counted when it began
		}
		top.named = false
		switch token {
		case json.Delim('{'):
			open = append(open, container{names: map[string]struct{}{}})
		case json.Delim('['):
			open = append(open, container{})
		}
	}
}
