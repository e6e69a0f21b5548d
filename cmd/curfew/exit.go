package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/curfewhq/curfew/cmd/curfew/apiclient"
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
	exitIncomplete   = 7
	exitBroken       = 8
	exitDoubts       = 9
	exitPending      = 10
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

// errInterrupted is what a verb returns that was stopped before it had an answer. Only verbs that have no end of their own (serve, tail, demo) are
// done when they are interrupted.
var errInterrupted = errors.New("interrupted before the answer came")

// report prints an error and returns its exit code.
func report(w io.Writer, err error, asJSON bool) int {
	var code coded
	if err == nil {
		return exitDone
	}
	if errors.As(err, &code) {
		return int(code)
	}
	if asJSON {
		// A person reads the text; a program gets one object. Nothing can be done if standard error is gone.
		_ = printJSON(w, map[string]any{"error": err.Error(), "hint": hintOf(err), "exit_code": codeOf(err)})
	} else {
		fmt.Fprintln(w, "curfew:", err)
		if hint := hintOf(err); hint != "" {
			fmt.Fprintln(w, "hint:", hint)
		}
	}
	return codeOf(err)
}

// codeOf is the one place where errors become exit codes.
func codeOf(err error) int {
	var usage usageError
	var refused *apiclient.Error
	switch {
	case errors.As(err, &usage), errors.Is(err, apiclient.ErrNoKey):
		return exitUsage
	case errors.As(err, &refused) && !refused.Retry:
		return exitRefused
	case errors.As(err, &refused), errors.Is(err, apiclient.ErrUnreachable), errors.Is(err, errInterrupted):
		return exitUnavailable
	}
	return exitFailed
}

func hintOf(err error) string {
	var h hinted
	var refused *apiclient.Error
	switch {
	case errors.As(err, &h):
		return h.hint
	case errors.Is(err, apiclient.ErrUnreachable):
		return "start one with 'curfew serve', or give --url; 'curfew doctor' looks further"
	case errors.As(err, &refused) && refused.Status == 401:
		return "give a live key with --api-key-file or CURFEW_API_KEY"
	}
	return ""
}
