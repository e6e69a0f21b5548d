package revocationgrpc_test

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationgrpc"
)

// Four mistakes. The first is refused by New and the second by Covers, if it is called; nobody but the reader sees the last two.
func Example_incorrect() {
	session := func(ctx context.Context, _ string) (revocation.Session, error) {
		token, err := revocationgrpc.Bearer(ctx)
		if err != nil {
			return revocation.Session{}, err
		}
		return verify(ctx, token)
	}

	// The error of revocation.Open was dropped.
	var replica *revocation.Replica
	_, err := revocationgrpc.New(revocationgrpc.Config{Replica: replica, Session: session})
	fmt.Println(err)

	// A misspelt method: it was to be fresh, and has the policy of all.
	guard, err := revocationgrpc.New(revocationgrpc.Config{
		Replica: &revocation.Replica{}, Session: session, // an opened one, in earnest
		Methods: map[string]revocationgrpc.Policy{"/grpc.health.v1.Health/check": {Require: revocation.Require{MaxStaleness: 3 * time.Second}}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	server := grpc.NewServer(grpc.ChainUnaryInterceptor(guard.Unary)) // Wrong: streams pass by. Give grpc.ChainStreamInterceptor(guard.Stream) too.
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	fmt.Println(guard.Covers(server.GetServiceInfo()))

	// Wrong: a handler that goes on in a goroutine that nobody watches. Stay in the handler until the stream's end, and watch its context there.
	_ = func(_ any, stream grpc.ServerStream) error {
		ctx := context.WithoutCancel(stream.Context())
		go func() { <-ctx.Done() }()
		return nil
	}

	// Output:
	// revocationgrpc config: Replica is a nil *revocation.Replica: check the error of revocation.Open
	// revocationgrpc config: Methods: no registered service has /grpc.health.v1.Health/check
}
