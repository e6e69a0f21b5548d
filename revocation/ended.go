package revocation

import "errors"

// ErrSessionEnded is what the cause of a context is, when the session that it was watched for is over.
var ErrSessionEnded = errors.New("session ended while it was watched")

// EndedError is the cause (context.Cause) of a context whose session was revoked, or reached max age, while it was watched. It is
// ErrSessionEnded to errors.Is.
type EndedError struct {
	// Decision is Revoked, and says what ended the session.
	Decision Decision
}

func (e *EndedError) Error() string {
	return ErrSessionEnded.Error() + ": " + string(e.Decision.Reason)
}

// Unwrap returns ErrSessionEnded.
func (*EndedError) Unwrap() error { return ErrSessionEnded }
