package audit_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/curfewhq/curfew/internal/chain"
	"github.com/curfewhq/curfew/internal/natstest"
)

// saying returns what a token says, whoever has signed it; zero if it says nothing.
func saying(t testing.TB, s chain.Signed) chain.Checkpoint {
	t.Helper()
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(s.Token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	c, err := chain.Decode(payload)
	if err != nil {
		return chain.Checkpoint{}
	}
	return c
}

func storeIn(dir string) natstest.Option {
	return natstest.With(func(o *server.Options) { o.StoreDir = dir })
}

// rewrite changes a stream while its server is stopped.
func rewrite(t *testing.T, srv *natstest.Server, dir, stream string, change func([]natstest.Stored) []natstest.Stored) {
	t.Helper()
	srv.Stop()
	natstest.Rewrite(t, dir, stream, change)
	srv.Restart()
}
