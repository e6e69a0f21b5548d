package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
)

// child is a process of ours. Orders to it are given one after the other.
type child struct {
	name  string
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Scanner
}

// launch starts this program again as a verb. It ends when it is closed, or with ctx.
func launch(ctx context.Context, verb string, errs io.Writer) (*child, error) {
	binary, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, binary, verb) //nolint:gosec // the program itself
	cmd.Stderr = errs
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", verb, err)
	}
	c := &child{name: verb, cmd: cmd, in: in, lines: bufio.NewScanner(out)}
	c.lines.Buffer(nil, 16<<20)
	return c, nil
}

// ask gives an order and waits for its answer.
func (c *child) ask(o order) (answer, error) {
	if err := json.NewEncoder(c.in).Encode(o); err != nil {
		return answer{}, fmt.Errorf("%s: give the order %s: %w", c.name, o.Do, err)
	}
	if !c.lines.Scan() {
		return answer{}, fmt.Errorf("%s: ended instead of answering %s: %w", c.name, o.Do, errors.Join(c.lines.Err(), io.ErrUnexpectedEOF))
	}
	var a answer
	if err := json.Unmarshal(c.lines.Bytes(), &a); err != nil {
		return answer{}, fmt.Errorf("%s: answer to %s: %w", c.name, o.Do, err)
	}
	if a.Error != "" {
		return a, fmt.Errorf("%s: %s: %s", c.name, o.Do, a.Error)
	}
	return a, nil
}

// close ends the process and waits for it.
func (c *child) close() error {
	_ = c.in.Close()
	if err := c.cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	return nil
}

// askAll gives each child an order at once, and waits for all answers.
func askAll(children []*child, o func(i int) order) ([]answer, error) {
	answers, errs := make([]answer, len(children)), make([]error, len(children))
	var asking sync.WaitGroup
	for i, c := range children {
		asking.Go(func() { answers[i], errs[i] = c.ask(o(i)) })
	}
	asking.Wait()
	return answers, errors.Join(errs...)
}

// usageOf is what the children have used together, after the order do.
func usageOf(do string, children ...*child) (usage, error) {
	answers, err := askAll(children, func(int) order { return order{Do: do} })
	var sum usage
	for _, a := range answers {
		sum = sum.plus(a.Usage)
	}
	return sum, err
}
