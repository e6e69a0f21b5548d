package events

import (
	"errors"
	"fmt"
	"strings"
)

// Errors of Decode. Both come wrapped in an [*UnsupportedError]; neither is fatal to a reader, which counts and goes on.
var (
	// ErrUnknownType is returned when the envelope's type isn't one of Curfew's.
	ErrUnknownType = errors.New("unknown event type")
	// ErrUnknownVersion is returned when the type is Curfew's, in a version that this reader doesn't know.
	ErrUnknownVersion = errors.New("unknown event version")
)

// ErrMalformed is returned when the bytes aren't a CloudEvents 1.0 envelope with a data object of the event's form, or when two
// readers could read them differently.
var ErrMalformed = errors.New("malformed event")

// ErrForeignTopic is returned by DecodeMessage for an event that doesn't belong on the topic that it came by.
var ErrForeignTopic = errors.New("event doesn't belong on its topic")

// UnsupportedError says that an event is well-formed and of a type or version that this reader doesn't know.
type UnsupportedError struct {
	// Type is the envelope's type, cut to 128 bytes.
	Type string
	// Cause is ErrUnknownType or ErrUnknownVersion.
	Cause error
}

func (e *UnsupportedError) Error() string { return fmt.Sprintf("%v %q", e.Cause, e.Type) }

// Unwrap returns Cause.
func (e *UnsupportedError) Unwrap() error { return e.Cause }

// FieldFault is one fault of one field. Remedy says what to do, as a sentence without a period.
type FieldFault struct {
	// Field is the JSON name of the member, such as "session" or "except[3]".
	Field  string
	Remedy string
}

// InvalidError lists every fault of an event. It names fields and never their values.
type InvalidError struct {
	Faults []FieldFault
}

// maxErrorBytes is about how long the text of an InvalidError gets: a thousand faults are possible, a log line of them isn't.
const maxErrorBytes = 4 << 10

// Error names the faults, up to about 4 KiB of them, and then how many more there are.
func (e *InvalidError) Error() string {
	var b strings.Builder
	b.WriteString("invalid event: ")
	for i, f := range e.Faults {
		if b.Len() > maxErrorBytes {
			fmt.Fprintf(&b, "; and %d more", len(e.Faults)-i)
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(f.Field + ": " + f.Remedy)
	}
	return b.String()
}
