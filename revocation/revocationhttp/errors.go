package revocationhttp

import (
	"errors"

	"github.com/curfewhq/curfew/revocation"
)

// Errors that a Session function returns, wrapped or as they are. AnswerError maps each to its answer; any other error is taken
// for a failure to tell, and answered with 503.
var (
	// ErrNoSession is returned when the request carries no token. It is [revocation.ErrNoSession].
	ErrNoSession = revocation.ErrNoSession
	// ErrInvalidToken is returned when there is a token and it is bad. It is [revocation.ErrInvalidToken].
	ErrInvalidToken = revocation.ErrInvalidToken
	// ErrKeysUnavailable is returned when the keys that verify tokens can't be fetched, so that nothing is known of the token.
	ErrKeysUnavailable = errors.New("keys to verify tokens are unavailable")
)

// ErrInvalidPosition is returned by PositionOf, and what AnswerError maps to 400: the request's Curfew-Position isn't one decimal number.
var ErrInvalidPosition = errors.New("invalid position")

// Errors of Gate.Ask, wrapped: why a gate gave no answer. None holds a key or an id.
var (
	// ErrGateBusy is returned when as many questions were under way as may be, until the question's time had run out; or, at once, when four others about
	// the same session of the same user were.
	ErrGateBusy = errors.New("too many questions to the gate are under way")
	// ErrGateRefused is returned when the question can't be asked, or the gate refuses it: there is no key for the tenant, or a wrong one, or
	// the session has an id that isn't one. Somebody must correct that.
	ErrGateRefused = errors.New("the gate can't be asked")
	// ErrGateUnavailable is returned when the gate can't be reached, is too slow, or answers something else than it should.
	ErrGateUnavailable = errors.New("the gate is unavailable")
	// ErrGateUndetermined is returned when the gate can't tell either, or not freshly enough.
	ErrGateUndetermined = errors.New("the gate can't tell")
)

// Errors of Touches, wrapped. None holds a key or an id.
var (
	// ErrTouchesUnavailable is what OnError is told if the registry can't be reached, is too slow, refuses the key, or answers something else than it should.
	// The touches are sent again.
	ErrTouchesUnavailable = errors.New("the session registry is unavailable")
	// ErrTouchesRejected is what OnError is told if the registry can't read a request. To send it again would change nothing, so its touches are dropped.
	ErrTouchesRejected = errors.New("the session registry rejects the touches")
	// ErrTouchesLost is returned by Touches.Close if it couldn't send everything in time.
	ErrTouchesLost = errors.New("touches were lost")
)
