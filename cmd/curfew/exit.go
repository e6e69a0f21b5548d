package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/curfewhq/curfew/cmd/curfew/apiclient"
	"github.com/curfewhq/curfew/internal/bus"
)

// Exit codes, documented in the root command's help.
const (
	exitDone         = 0
	exitFailed       = 1
	exitUsage        = 2
	exitUnavailable  = 3
	exitRevoked      = 4
	exitUndetermined = 5
	exitRefused      = 6
)

// usageError is a wrong command line or configuration.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// hinted is an error with the next command to type.
type hinted struct {
	err  error
	hint string
}

func (e hinted) Error() string { return e.err.Error() }
func (e hinted) Unwrap() error { return e.err }

// coded is an outcome that has an exit code of its own and has been printed already.
type coded int

func (c coded) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// report prints an error for a person and returns its exit code. It is the one place where errors become exit codes.
func report(w io.Writer, err error) int {
	var code coded
	if err == nil {
		return exitDone
	}
	if errors.As(err, &code) {
		return int(code)
	}
	if errors.Is(err, context.Canceled) {
		return exitDone
	}
	fmt.Fprintln(w, "curfew:", err)
	if hint := hintOf(err); hint != "" {
		fmt.Fprintln(w, "hint:", hint)
	}
	var usage usageError
	var refused *apiclient.Error
	switch {
	case errors.As(err, &usage), errors.Is(err, apiclient.ErrNoKey):
		return exitUsage
	case errors.As(err, &refused) && !refused.Retry:
		return exitRefused
	case errors.As(err, &refused), errors.Is(err, apiclient.ErrUnreachable):
		return exitUnavailable
	}
	return exitFailed
}

func hintOf(err error) string {
	var h hinted
	var b *bus.Error
	var refused *apiclient.Error
	switch {
	case errors.As(err, &h):
		return h.hint
	case errors.Is(err, apiclient.ErrUnreachable):
		return "start one with 'curfew serve', or give --url; 'curfew doctor' looks further"
	case errors.As(err, &refused) && refused.Status == 401:
		return "give a live key with --api-key-file or CURFEW_API_KEY"
	case errors.As(err, &b):
		// Its text holds the hint already.
		return ""
	}
	return ""
}
