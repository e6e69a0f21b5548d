package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// self runs a verb in a process of its own, whose output goes to out, and waits for it.
func self(ctx context.Context, out io.Writer, verb string, args ...string) error {
	binary, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, binary, append([]string{verb}, args...)...) //nolint:gosec // the program itself, with words of its own
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("bench %s: %w", verb, err)
	}
	return nil
}
