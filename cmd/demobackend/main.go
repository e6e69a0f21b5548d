// Command demobackend is the small service behind the example application in clients/demo: an API and a chat, which refuse a session that is over from their own memory.
//
// It is configured by the environment alone: NATS_URL, of a server that 'curfew serve --nats-listen' has opened; BACKEND_KEY_FILE, with the secret of at least 32 bytes that it shares
// with the application's server; APP_ORIGIN, from which browsers may open the chat; and BACKEND_LISTEN, 127.0.0.1:7090 unless set.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/curfewhq/curfew/cmd/demobackend/backend"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cfg, err := backend.FromEnviron(os.Getenv)
	if err == nil {
		err = backend.Run(ctx, cfg, func(url string) { fmt.Println("demobackend serves " + url) })
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "demobackend: "+err.Error())
		os.Exit(1)
	}
}
