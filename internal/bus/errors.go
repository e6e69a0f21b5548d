package bus

import "errors"

// Outcomes of a publish. Every error of [Publisher] is one of ErrNotStored and ErrUnknownOutcome; ErrFull, ErrInvalid and
// ErrClosed come with one of them and say more.
var (
	// ErrNotStored is returned when the message is certainly not in the stream and will not get there later: the
	// connection was down before anything was sent, no stream took it, or the stream refused it.
	ErrNotStored = errors.New("not stored")
	// ErrUnknownOutcome is returned when the message was sent and no answer came in time: it may have been stored.
	// Publishing it again with the same message id is safe within the duplicate window.
	ErrUnknownOutcome = errors.New("outcome unknown")
	// ErrFull is returned when the stream has reached its limit or the embedded server's disk is full. Retrying doesn't
	// help until an operator has made room.
	ErrFull = errors.New("full")
	// ErrInvalid is returned when the message can't be published as it is: too large, a topic that isn't one, metadata
	// that NATS would obey. Retrying doesn't help.
	ErrInvalid = errors.New("invalid message")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("closed")
)

// Errors of opening and of streams. They come wrapped in an [*Error], which carries a hint.
var (
	// ErrDirInUse is returned by Open when another process (or another Bus of this one) has the folder open.
	ErrDirInUse = errors.New("folder is in use by another process")
	// ErrUnreachable is returned by Open when no server could be connected to.
	ErrUnreachable = errors.New("no NATS server could be reached")
	// ErrNoJetStream is returned by Open when the server has no JetStream, or not for this account.
	ErrNoJetStream = errors.New("the NATS server has no JetStream for this account")
	// ErrStreamBroken is returned by EnsureStreams for a stream whose settings break a promise. See [*StreamError].
	ErrStreamBroken = errors.New("stream settings break a promise")
	// ErrRestoring is returned by EnsureStreams for a stream that a restore hasn't brought back whole yet.
	ErrRestoring = errors.New("the stream is being restored and isn't whole")
	// ErrExists is returned by Restore for a stream that is there.
	ErrExists = errors.New("the stream exists")
	// ErrNotWhole is returned by Restore for a stream that isn't what its snapshot tells.
	ErrNotWhole = errors.New("the restored stream isn't what was backed up")
	// ErrNotFound is returned by EventAt for a position that the ledger doesn't hold: it expired, or isn't reached yet.
	ErrNotFound = errors.New("no event at this position")
	// ErrConsumerMismatch is returned by Subscribe when the durable exists with another topic or start.
	ErrConsumerMismatch = errors.New("the durable exists with other settings")
)

// Error is what an operator gets to see: what failed, why, and what to do about it.
type Error struct {
	// Op is what was being done, as in "open store".
	Op string
	// Err is the cause, for errors.Is.
	Err error
	// Hint is the next thing to do or to type. Never empty.
	Hint string
}

func (e *Error) Error() string { return e.Op + ": " + e.Err.Error() + " (" + e.Hint + ")" }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// StreamError is returned by [Bus.EnsureStreams] when existing streams break promises. It is an ErrStreamBroken.
type StreamError struct {
	// Differences are those that break a promise; at least one.
	Differences []Difference
}

func (e *StreamError) Error() string {
	text := ErrStreamBroken.Error()
	for i, d := range e.Differences {
		sep := "; "
		if i == 0 {
			sep = ": "
		}
		text += sep + d.String()
	}
	return text
}

// Is reports that a StreamError is an ErrStreamBroken.
func (e *StreamError) Is(target error) bool { return target == ErrStreamBroken }
