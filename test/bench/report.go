package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// report prints a table in Markdown: each figure that there is an aim for, from files with what the other verbs and go test -bench have printed. It
// fails if an aim was missed; what wasn't measured is said, and no failure.
func report(_ context.Context, c *call) error {
	if err := c.flags.Parse(c.args); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if c.flags.NArg() == 0 {
		return fmt.Errorf("%w: report is given files", errUsage)
	}
	found := results{}
	for _, path := range c.flags.Args() {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		err = found.read(f)
		_ = f.Close()
		if err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
	}
	missed := 0
	fmt.Fprintln(c.out, "| what | aim | measured | met |\n|---|---|---|---|")
	for _, a := range aims() {
		measured, met := a.judge(found)
		if met == "" {
			continue
		}
		fmt.Fprintf(c.out, "| %s | %s | %s | %s |\n", a.what, a.text(), measured, met)
		if met == "no" {
			missed++
		}
	}
	if missed > 0 {
		return fmt.Errorf("%w: %d in all", errMissed, missed)
	}
	return nil
}

// results: name of a benchmark, without its processors → unit → figures in the order of the rounds.
type results map[string]map[string][]float64

var processors = regexp.MustCompile(`-\d+$`)

func (r results) read(in io.Reader) error {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		name, ok := strings.CutPrefix(lines.Text(), "Benchmark")
		fields := strings.Fields(name)
		if !ok || len(fields) < 4 {
			continue
		}
		name = processors.ReplaceAllString(fields[0], "")
		for i := 2; i+1 < len(fields); i += 2 {
			value, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return fmt.Errorf("%q: %w", lines.Text(), err)
			}
			if r[name] == nil {
				r[name] = map[string][]float64{}
			}
			r[name][fields[i+1]] = append(r[name][fields[i+1]], value)
		}
	}
	return lines.Err()
}

// measurement returns one figure for each round; nil: it wasn't measured.
type measurement func(results) []float64

// of is what a benchmark has printed with a unit, times scale.
func of(name, unit string, scale float64) measurement {
	return func(r results) []float64 {
		var scaled []float64
		for _, v := range r[name][unit] {
			scaled = append(scaled, v*scale)
		}
		return scaled
	}
}

// ratio is how many times b is a, round by round: what was measured within a minute is compared, whatever the machine did an hour later.
func ratio(b, a measurement) measurement {
	return func(r results) []float64 {
		of, to := b(r), a(r)
		ratios := make([]float64, min(len(of), len(to)))
		for i := range ratios {
			ratios[i] = of[i] / to[i]
		}
		return ratios
	}
}

// least is the least of those that were measured in a round.
func least(all ...measurement) measurement {
	return func(r results) []float64 {
		var least []float64
		for _, m := range all {
			for i, v := range m(r) {
				if i == len(least) {
					least = append(least, v)
				}
				least[i] = min(least[i], v)
			}
		}
		return least
	}
}

// aim is a row of the table.
type aim struct {
	what string
	from measurement
	unit string
	// atLeast or atMost is what the median should be; neither: the figure is told for comparison.
	atLeast, atMost float64
}

func (a *aim) text() string {
	switch {
	case a.atLeast > 0:
		return fmt.Sprintf("≥ %g %s", a.atLeast, a.unit)
	case a.atMost > 0:
		return fmt.Sprintf("≤ %g %s", a.atMost, a.unit)
	}
	return "–"
}

// judge returns the median with the range, and whether the aim is met: yes, no, or – where there is none or nothing was measured. A row with neither an
// aim nor a figure is no row, and met is empty.
func (a *aim) judge(r results) (measured, met string) {
	all := a.from(r)
	aimed := a.atLeast > 0 || a.atMost > 0
	switch {
	case len(all) == 0 && aimed:
		return "not measured", "–"
	case len(all) == 0:
		return "", ""
	}
	slices.Sort(all)
	median := (all[(len(all)-1)/2] + all[len(all)/2]) / 2
	measured = fmt.Sprintf("%.3g %s", median, a.unit)
	if len(all) > 1 {
		measured += fmt.Sprintf(" (%.3g to %.3g, n=%d)", all[0], all[len(all)-1], len(all))
	}
	switch {
	case !aimed:
		return measured, "–"
	case a.atLeast > 0 && median >= a.atLeast, a.atMost > 0 && median <= a.atMost:
		return measured, "yes"
	}
	return measured, "no"
}
