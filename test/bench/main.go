// Command bench measures what needs a process of its own, or a server beside it: memory, what the garbage collector costs, snapshots and cold starts
// of a replica; and it makes the table of all figures from what it and the benchmarks of Go have printed. scripts/bench-replica.sh runs all of it;
// docs/benchmarks/replica.md says how each figure is meant.
//
//	bench memory    heap and resident memory for each entry, in this process
//	bench gc        the garbage collector's share of this process's time, while entries live and others are written
//	bench snapshot  a snapshot's size, the time to write it, and to load it in another process
//	bench start     the time from Open to an answer, and the memory that it takes, in a process beside the NATS server's
//	bench report    the table, from files with the output of these and of go test -bench
//
// bench VERB -h lists the flags. Results are printed in the format of Go's benchmarks. The exit code is 0, 1 after a failure, or 2 after a wrong call;
// report exits with 1 if an aim was missed.
//
// It listens on loopback only, writes to a temporary folder and removes it, and ends by itself.
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
	"time"
)

func main() {
	began := time.Now()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, began, os.Args[1:], os.Stdout, os.Stderr))
}

// call is one call of a verb.
type call struct {
	flags *flag.FlagSet
	args  []string
	// began is when the process did.
	began time.Time
	out   io.Writer
}

// parse reads the flags, which have been defined, and takes no other arguments.
func (c *call) parse() error {
	if err := c.flags.Parse(c.args); err != nil {
		return errors.Join(errUsage, err)
	}
	if c.flags.NArg() > 0 {
		return fmt.Errorf("%w: %s takes flags only, and was given %q", errUsage, c.flags.Name(), c.flags.Arg(0))
	}
	return nil
}

// print prints one result.
func (c *call) print(name string, figures ...figure) {
	fmt.Fprintf(c.out, "Benchmark%s\t1", name)
	for _, f := range figures {
		fmt.Fprintf(c.out, "\t%.6g %s", f.value, f.unit)
	}
	fmt.Fprintln(c.out)
}

type figure struct {
	value float64
	unit  string
}

var (
	errUsage  = errors.New("wrong call")
	errMissed = errors.New("an aim was missed")
)

func run(ctx context.Context, began time.Time, args []string, out, errs io.Writer) int {
	verbs := map[string]func(context.Context, *call) error{
		"memory": memory, "gc": collect, "snapshot": snapshot, "start": start, "report": report,
		// What snapshot and start run in processes of their own.
		"load": load, "prepare": prepare, "follow": follow,
	}
	if len(args) == 0 || verbs[args[0]] == nil {
		fmt.Fprintln(errs, "bench: say what: memory, gc, snapshot, start or report")
		return 2
	}
	c := &call{flags: flag.NewFlagSet("bench "+args[0], flag.ContinueOnError), args: args[1:], began: began, out: out}
	c.flags.SetOutput(errs)
	err := verbs[args[0]](ctx, c)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintln(errs, "bench:", err)
		return 2
	}
	fmt.Fprintln(errs, "bench:", err)
	return 1
}
