package events

import (
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
	var s scanner
	if err := s.scan(b); err != nil {
		return err
	}
	type name struct {
		object int32
		text   string
	}
	seen := make(map[name]struct{}, s.n)
	for i := 1; i < s.n; i++ {
		e := s.entry(i)
		text, err := text(b, e.name)
		if err != nil {
			return errors.New("a name isn't a string, at byte " + strconv.Itoa(int(e.name.from)))
		}
		n := name{e.object, string(text)}
		if _, twice := seen[n]; twice {
			return errors.New("a name stands twice in an object, at byte " + strconv.Itoa(int(e.name.to)))
		}
		seen[n] = struct{}{}
	}
	return nil
}
