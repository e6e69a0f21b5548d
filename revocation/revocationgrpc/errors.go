package revocationgrpc

import (
	"errors"

	"github.com/curfewhq/curfew/revocation"
)

// Errors that a Session function returns, wrapped or as they are. AnswerError maps each to its answer. Any other error is taken for a failure to
// tell, and answered with Unavailable; a status as well, which is what somebody else answered this service and not what it has to say.
var (
	// ErrNoSession is returned when the call carries no token. It is [revocation.ErrNoSession].
	ErrNoSession = revocation.ErrNoSession
	// ErrInvalidToken is returned when there is a token and it is bad. It is [revocation.ErrInvalidToken], and so what a revocationhttp.JWT says.
	ErrInvalidToken = revocation.ErrInvalidToken
)

// ErrInvalidPosition is what AnswerError maps to InvalidArgument: the call's curfew-position isn't one decimal number.
var ErrInvalidPosition = errors.New("invalid position")
