package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

// figures: name → one figure for each round, in the order in which they were measured.
type figures struct {
	out   io.Writer
	found map[string][]float64
}

// add takes a figure and prints it at once, in the format of Go's benchmarks, so that a run which is broken off leaves what it has measured.
func (f *figures) add(name string, value float64) {
	f.found[name] = append(f.found[name], value)
	unit := "n"
	for _, r := range rows() {
		if r.name == name && r.unit != "" {
			unit = r.unit
		}
	}
	fmt.Fprintf(f.out, "BenchmarkFanout/%s\t1\t%.6g %s\n", name, value, unit)
}

// took adds durations' percentiles, in milliseconds, as name/p50 and name/p99.
func (f *figures) took(name string, all []time.Duration) {
	slices.Sort(all)
	for _, p := range []struct {
		name string
		at   float64
	}{{"p50", .5}, {"p99", .99}} {
		f.add(name+"/"+p.name, ms(all[min(len(all)-1, int(p.at*float64(len(all))))]))
	}
}

func ms(d time.Duration) float64 { return d.Seconds() * 1e3 }

func median(all []float64) float64 {
	sorted := slices.Sorted(slices.Values(all))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// table prints every row that there is a figure for, in Markdown.
func (f *figures) table() {
	fmt.Fprintln(f.out, "\n| what | aim | measured | met |\n|---|---|---|---|")
	for _, r := range rows() {
		all := f.found[r.name]
		if len(all) == 0 {
			continue
		}
		m := median(all)
		measured := strings.TrimSpace(digits(m) + " " + r.unit)
		if len(all) > 1 {
			measured += fmt.Sprintf(" (%s to %s, n=%d)", digits(slices.Min(all)), digits(slices.Max(all)), len(all))
		}
		fmt.Fprintf(f.out, "| %s | %s | %s | %s |\n", r.what, r.aim(), measured, r.met(m))
	}
}

// digits writes a figure with three digits, or with all before the point if they are more.
func digits(v float64) string {
	if math.Abs(v) >= 1000 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// row is a row of the table.
type row struct {
	name, what, unit string
	// atLeast or atMost is what the median should be; neither: the figure is told for comparison.
	atLeast, atMost float64
}

func (r row) aim() string {
	switch {
	case r.atLeast > 0:
		return fmt.Sprintf("≥ %g %s", r.atLeast, r.unit)
	case r.atMost > 0:
		return fmt.Sprintf("≤ %g %s", r.atMost, r.unit)
	}
	return "–"
}

func (r row) met(median float64) string {
	switch {
	case r.atLeast == 0 && r.atMost == 0:
		return "–"
	case r.atLeast > 0 && median >= r.atLeast, r.atMost > 0 && median <= r.atMost:
		return "yes"
	}
	return "no"
}
