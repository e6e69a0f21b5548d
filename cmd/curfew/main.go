// Command curfew ends sessions: it runs the services, and speaks to them.
//
// Exit codes: 0 done; 1 failed; 2 wrong usage or configuration; 3 the server can't be reached or asks to try again; 4 the session is revoked;
// 5 the session is undetermined; 6 the server refused.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
