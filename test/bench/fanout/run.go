package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// options of run.
type options struct {
	steps string
	count int
	// gateways is how many there are where tabs are spread.
	gateways int
	// most is how many tabs one gateway has where one is measured, spread how many each of several has, and tls how many over TLS.
	most, spread, tls int
	window            int
	logouts, singles  int
	settle, idle      time.Duration
	heartbeat         time.Duration
	profile           string
}

// bench is one run.
type bench struct {
	options
	figures
	// errs is where the processes' logs go; several write to it at once.
	errs io.Writer
}

// step measures something, count times.
type step struct {
	name    string
	measure func(*bench, context.Context) error
}

func steps() []step {
	return []step{
		{"memory", (*bench).memory}, {"tls", (*bench).memoryTLS}, {"targeted", (*bench).targeted}, {"everyone", (*bench).everyone},
		{"storm", (*bench).storm}, {"idle", (*bench).idleDefault}, {"heartbeat", (*bench).idleOften}, {"delay", (*bench).delay},
	}
}

// run measures all of it.
func run(ctx context.Context, args []string, _ io.Reader, out, errs io.Writer) error {
	o := options{}
	flags := flag.NewFlagSet("fanout run", flag.ContinueOnError)
	flags.SetOutput(errs)
	flags.StringVar(&o.steps, "steps", "memory,tls,targeted,everyone,storm,idle,delay", "what to measure; heartbeat is the other one")
	flags.IntVar(&o.count, "count", 3, "how often each is measured")
	flags.IntVar(&o.most, "most", 19_000, "tabs of one gateway, for memory and storm")
	flags.IntVar(&o.gateways, "gateways", 3, "how many gateways there are, for all but memory, tls and storm")
	flags.IntVar(&o.spread, "spread", 17_000, "tabs of each of several gateways")
	flags.IntVar(&o.tls, "tls", 4_000, "tabs over TLS")
	flags.IntVar(&o.window, "window", 192, "handshakes under way at once, in each process with tabs")
	flags.IntVar(&o.logouts, "logouts", 300, "logouts of one user in a round of targeted")
	flags.IntVar(&o.singles, "singles", 50, "logouts of one tab before the mass logout in a round of delay")
	flags.DurationVar(&o.settle, "settle", 10*time.Second, "how long after the last tab memory is read")
	flags.DurationVar(&o.idle, "idle", time.Minute, "for how long idle tabs' CPU is measured")
	flags.DurationVar(&o.heartbeat, "heartbeat", 5*time.Second, "the heartbeat of the step heartbeat")
	flags.StringVar(&o.profile, "profile", "", "a folder for CPU profiles of the ledger and the gateways in storm, everyone and idle; they cost a little")
	if err := flags.Parse(args); err != nil {
		return errors.Join(errUsage, err)
	}
	if err := o.validate(flags.NArg()); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	b := &bench{options: o, figures: figures{out: out, found: map[string][]float64{}}, errs: errs}
	wanted := strings.Split(o.steps, ",")
	for _, s := range steps() {
		if !slices.Contains(wanted, s.name) {
			continue
		}
		began := time.Now()
		if err := s.measure(b, ctx); err != nil {
			// What was measured before is worth showing.
			b.table()
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Fprintf(out, "# %s took %v\n", s.name, time.Since(began).Round(time.Second))
	}
	b.table()
	return nil
}

func (o options) validate(words int) error {
	if words > 0 {
		return errors.New("run takes flags only")
	}
	for _, name := range strings.Split(o.steps, ",") {
		if !slices.ContainsFunc(steps(), func(s step) bool { return s.name == name }) {
			return fmt.Errorf("there is no step %q", name)
		}
	}
	if min(o.count, o.gateways, o.window, o.logouts, o.singles) < 1 || min(o.most, o.spread, o.tls) < tabsPerUser {
		return errors.New("give at least one round, gateway, handshake and logout, and the tabs of one user")
	}
	if users := o.spread / tabsPerUser; users*o.gateways < o.logouts*o.count {
		return fmt.Errorf("-logouts: %d rounds of %d are more than there are users at %d gateways with %d tabs", o.count, o.logouts, o.gateways, o.spread)
	}
	files, err := mostFiles()
	// Beside the tabs: handshakes under way, and what a process has anyhow.
	if need := max(o.most, o.spread) + 500; err == nil && files < need {
		return fmt.Errorf("a process may open %d files here, and %d are needed: raise the hard limit (ulimit -Hn), or ask for fewer tabs", files, need)
	}
	return err
}

// profiled runs fn with CPU profiles of the ledger and the gateways, if they are asked for.
func (b *bench) profiled(d *deployment, name string, fn func() error) error {
	if b.profile == "" {
		return fn()
	}
	b.profiles(d, name)
	defer b.profiles(d, "")
	return fn()
}

func (b *bench) profiles(d *deployment, name string) {
	processes := append([]*child{d.ledger}, d.gateways...)
	_, err := askAll(processes, func(i int) order {
		if name == "" {
			return order{Do: "profile"}
		}
		return order{Do: "profile", Path: filepath.Join(b.profile, fmt.Sprintf("%s-%s-%d.pprof", name, processes[i].name, i))}
	})
	if err != nil {
		fmt.Fprintln(b.errs, "fanout: no profile:", err)
	}
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
