package gateways

import "errors"

var (
	// ErrInvalid is returned when what is asked for, or a Config, isn't in form.
	ErrInvalid = errors.New("invalid")
	// ErrClosed is returned after Close, and when the connection was closed for good.
	ErrClosed = errors.New("closed")
)
