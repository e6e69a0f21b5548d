// Command fanout measures the gateway as it is: its memory for each tab, how soon tabs are told of a logout, how many come back at once, and what idle
// ones cost. scripts/bench-fanout.sh runs all of it; docs/benchmarks/fanout.md says how each figure is meant.
//
//	fanout run      measures, and prints a table of all figures beside the aims
//
// run starts processes of its own, each this program again:
//
//	fanout ledger   a publisher with an embedded NATS on loopback, whose ledger is on the disk and synced before each acknowledgement
//	fanout gateway  a process with the role fanout, over that NATS: the product's own code with the product's own settings
//	fanout load     tabs: sockets in one epoll loop
//
// They are driven over their standard input and output, one line of JSON for each order and each answer, and end with their standard input.
//
// fanout run -h lists the flags. The exit code is 0 if all was measured, whatever the figures are, 1 after a failure, or 2 after a wrong call. It runs on Linux,
// listens on loopback only, writes to a temporary folder and removes it, and ends by itself.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(execute(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

var errUsage = errors.New("wrong call")

// verb is one way to call the program.
type verb func(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) error

func execute(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	verbs := map[string]verb{
		"run": run,
		"ledger": func(ctx context.Context, _ []string, in io.Reader, out, errs io.Writer) error {
			return serve(ctx, ledgerRoles, in, out, errs)
		},
		"gateway": func(ctx context.Context, _ []string, in io.Reader, out, errs io.Writer) error {
			return serve(ctx, gatewayRoles, in, out, errs)
		},
		"load": func(_ context.Context, _ []string, _ io.Reader, out, _ io.Writer) error { return load(out) },
	}
	if len(args) == 0 || verbs[args[0]] == nil {
		fmt.Fprintln(errs, "fanout: say run, and -h for its flags")
		return 2
	}
	err := verbs[args[0]](ctx, args[1:], in, out, errs)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintln(errs, "fanout:", err)
		return 2
	}
	fmt.Fprintf(errs, "fanout %s: %v\n", args[0], err)
	return 1
}
