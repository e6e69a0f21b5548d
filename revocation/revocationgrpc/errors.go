package revocationgrpc

import "errors"

// Errors that a Session function returns, wrapped or as they are. AnswerError maps each to its answer. Any other error is taken for a failure to
// tell, and answered with Unavailable; a status as well, which is what somebody else answered this service and not what it has to say.
var (
	// ErrNoSession is returned when the call carries no token.
	ErrNoSession = errors.New("call carries no session")
	// ErrInvalidToken is returned when there is a token and it is bad: expired, forged, malformed, for somebody else. What wraps it says why, for
	// operators: the answer is the same in all cases.
	ErrInvalidToken = errors.New("invalid token")
)

// ErrInvalidPosition is what AnswerError maps to InvalidArgument: the call's curfew-position isn't one decimal number.
var ErrInvalidPosition = errors.New("invalid position")
