package blackbox_test

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationhttp"
	"github.com/curfewhq/curfew/revocation/revocationnats"
)

// The README's snippet, word for word; TestReadmeSnippetIsTheExample holds the two together. It is compiled and not run: its issuer doesn't exist.
func Example_service() {
	serve := func(ctx context.Context, routes http.Handler) error {
		// README begins
		nc, err := nats.Connect(os.Getenv("NATS_URL"), revocationnats.Options("billing")...)
		if err != nil {
			return err
		}
		defer nc.Close()
		js, err := jetstream.New(nc)
		if err != nil {
			return err
		}
		// Open returns once the replica knows everything, and says what is missing when its time is over.
		opening, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		replica, err := revocation.Open(opening, revocation.Config{
			Feed: revocationnats.NewFeed(js, revocationnats.Config{}),
			Hooks: revocation.Hooks{FeedLost: func(err error, retryIn time.Duration) {
				slog.Warn("the ledger is away", "error", err, "retry", retryIn)
			}},
		})
		if err != nil {
			return err
		}
		defer replica.Close()

		tokens, err := revocationhttp.NewJWT(revocationhttp.JWTConfig{
			Algorithms: []jose.SignatureAlgorithm{jose.ES256},
			Keys:       revocationhttp.JWKS(revocationhttp.JWKSConfig{URL: "https://id.example.com/jwks"}),
			Issuer:     "https://id.example.com",
			Audience:   []string{"billing"},
		})
		if err != nil {
			return err
		}
		defer tokens.Close()
		guard, err := revocationhttp.New(revocationhttp.Config{Replica: replica, Session: tokens.Session})
		if err != nil {
			return err
		}
		defer guard.Close()
		return http.ListenAndServe("127.0.0.1:8080", guard.Handler(routes))
		// README ends
	}
	_ = serve
}
