package events

import (
	"encoding/binary"
	"math/bits"
	"strconv"
)

// maxDepth is how deep objects and arrays may stand in each other, as in encoding/json.
const maxDepth = 10_000

// scanner goes through one JSON text (RFC 8259), once, and notes where the members of its objects stand. It takes exactly what json.Valid takes, in a quarter
// of the time: a replica that starts without a snapshot reads every event there is.
type scanner struct {
	b []byte
	i int
	// half is where half a surrogate pair stands, plus one.
	half int
	// few and more are the entries: the value itself, and the members of all objects in the order in which they begin. An event has as many as few at most, if
	// its writer isn't a newer one, and so needs no memory for them.
	few     [32]entry
	more    []entry
	n       int
	objects int32
	// escaped is whether the last string has an escape.
	escaped bool
}

// entry is a member of an object, or the whole value, which has no name.
type entry struct {
	name, value span
	// object tells those of one object from those of others.
	object int32
	// within is how many entries follow that stand within the value.
	within int32
}

// span is where a name or a value stands, with its quotes.
type span struct {
	from, to int32
	// escaped is whether it is a string that has an escape. It means nothing for other values.
	escaped bool
}

// text reports whether b is one value and nothing else.
func (s *scanner) text() bool {
	if !s.valueOf(s.add(entry{}), 0) {
		return false
	}
	s.space()
	return s.i == len(s.b)
}

// valueOf goes behind the value that comes next, which is that of entry n.
func (s *scanner) valueOf(n, depth int) bool {
	s.space()
	from := s.i
	if !s.value(depth) {
		return false
	}
	e := s.entry(n)
	e.value, e.within = s.span(from), int32(s.n-n-1)
	return true
}

func (s *scanner) add(e entry) (n int) {
	n = s.n
	if n < len(s.few) {
		s.few[n] = e
	} else {
		s.more = append(s.more, e)
	}
	s.n++
	return n
}

// entry returns one of the entries, of which there are n.
func (s *scanner) entry(n int) *entry {
	if n < len(s.few) {
		return &s.few[n]
	}
	return &s.more[n-len(s.few)]
}

func (s *scanner) span(from int) span { return span{int32(from), int32(s.i), s.escaped} }

// value goes behind the value that comes next, within depth containers.
func (s *scanner) value(depth int) bool {
	s.space()
	if s.i == len(s.b) {
		return false
	}
	switch s.b[s.i] {
	case '"':
		return s.string()
	case '{':
		return depth < maxDepth && s.container('}', depth+1)
	case '[':
		return depth < maxDepth && s.container(']', depth+1)
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	}
	return s.number()
}

// container goes behind an object or an array, whose bracket comes next.
func (s *scanner) container(closing byte, depth int) bool {
	s.i++
	if s.next(closing) {
		return true
	}
	s.objects++
	for object := s.objects; ; {
		if closing == '}' && !s.member(object, depth) || closing == ']' && !s.value(depth) {
			return false
		}
		if s.next(closing) {
			return true
		}
		if !s.next(',') {
			return false
		}
	}
}

// member goes behind the member of an object that comes next.
func (s *scanner) member(object int32, depth int) bool {
	s.space()
	from := s.i
	if s.i == len(s.b) || s.b[s.i] != '"' || !s.string() {
		return false
	}
	n := s.add(entry{name: s.span(from), object: object})
	return s.next(':') && s.valueOf(n, depth)
}

// next goes behind c if that comes next.
func (s *scanner) next(c byte) bool {
	s.space()
	if s.i == len(s.b) || s.b[s.i] != c {
		return false
	}
	s.i++
	return true
}

func (s *scanner) space() {
	for s.i < len(s.b) && (s.b[s.i] == ' ' || s.b[s.i] == '\n' || s.b[s.i] == '\t' || s.b[s.i] == '\r') {
		s.i++
	}
}

func (s *scanner) word(w string) bool {
	if len(s.b)-s.i < len(w) || string(s.b[s.i:s.i+len(w)]) != w {
		return false
	}
	s.i += len(w)
	return true
}

// string goes behind a string, whose quote comes next.
func (s *scanner) string() bool {
	s.escaped = false
	for i := plainEnd(s.b, s.i+1); i < len(s.b) && s.b[i] >= ' '; {
		if s.b[i] == '"' {
			s.i = i + 1
			return true
		}
		s.escaped = true
		n := s.escape(i + 1)
		if n == 0 {
			return false
		}
		i = plainEnd(s.b, i+1+n)
	}
	return false
}

// plainEnd returns the first index from i on where a quote, a backslash or a control character stands; len(b) if there is none. It looks at eight
// bytes at a time: a byte is 0 if it borrows when 1 is taken from it and its own highest bit isn't set, and less than a space likewise. A borrow that
// goes on makes only later bytes look so.
func plainEnd(b []byte, i int) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		quotes, backslashes := w^ones*'"', w^ones*'\\'
		if found := ((quotes-ones)&^quotes | (backslashes-ones)&^backslashes | (w-ones*' ')&^w) & highs; found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for ; i < len(b) && b[i] != '"' && b[i] != '\\' && b[i] >= ' '; i++ {
	}
	return i
}

// escape returns how long the escape at i is that stands behind a backslash, or 0 if it is none. A pair of surrogates is one escape.
func (s *scanner) escape(i int) int {
	if i == len(s.b) {
		return 0
	}
	switch s.b[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 1
	case 'u':
	default:
		return 0
	}
	unit, ok := codeUnit(s.b[i+1:])
	if !ok {
		return 0
	}
	const digits = 5 // with the u
	if unit&^0x7ff != 0xd800 {
		return digits
	}
	if after := s.b[i+digits:]; unit < 0xdc00 && len(after) > 2 && after[0] == '\\' && after[1] == 'u' {
		if low, ok := codeUnit(after[2:]); ok && low&^0x3ff == 0xdc00 {
			return digits + 1 + digits
		}
	}
	if s.half == 0 {
		s.half = i + 1
	}
	return digits
}

// codeUnit reads four hex digits.
func codeUnit(b []byte) (unit uint64, ok bool) {
	if len(b) < 4 || b[0] == '+' {
		return 0, false
	}
	unit, err := strconv.ParseUint(string(b[:4]), 16, 16)
	return unit, err == nil
}

// number goes behind a number (RFC 8259 section 6).
func (s *scanner) number() bool {
	if s.b[s.i] == '-' {
		s.i++
	}
	leading := s.i
	if s.digits() == 0 || s.b[leading] == '0' && s.i > leading+1 {
		return false
	}
	if s.one(".") && s.digits() == 0 {
		return false
	}
	if s.one("eE") {
		s.one("+-")
		return s.digits() > 0
	}
	return true
}

// digits goes behind the digits that come next, and returns how many there were.
func (s *scanner) digits() int {
	from := s.i
	for s.i < len(s.b) && '0' <= s.b[s.i] && s.b[s.i] <= '9' {
		s.i++
	}
	return s.i - from
}

// one goes behind one of the characters if one of them comes next.
func (s *scanner) one(of string) bool {
	for i := range len(of) {
		if s.i < len(s.b) && s.b[s.i] == of[i] {
			s.i++
			return true
		}
	}
	return false
}
