package revocationgrpc_test

import (
	"context"
	"fmt"
	"net"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationgrpc"
	"github.com/curfewhq/curfew/revocation/revocationtest"
)

// verify stands for a function that verifies a token.
func verify(_ context.Context, token string) (revocation.Session, error) {
	if token != "ada's token" {
		return revocation.Session{}, revocationgrpc.ErrInvalidToken
	}
	return revocation.Session{ID: "phone", User: "ada", AuthTime: time.Now().Add(-time.Hour)}, nil
}

// A service whose stream ends with its caller's session. The feed is a fake one here; yours is revocationnats.NewFeed's.
func Example() {
	feed := revocationtest.New()
	replica, err := revocation.Open(context.Background(), revocation.Config{Feed: feed})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer replica.Close()

	guard, err := revocationgrpc.New(revocationgrpc.Config{
		Replica: replica,
		Session: func(ctx context.Context, _ string) (revocation.Session, error) {
			token, err := revocationgrpc.Bearer(ctx)
			if err != nil {
				return revocation.Session{}, err
			}
			return verify(ctx, token)
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	server := grpc.NewServer(grpc.ChainUnaryInterceptor(guard.Unary), grpc.ChainStreamInterceptor(guard.Stream))
	grpc_health_v1.RegisterHealthServer(server, health.NewServer()) // for want of a service of our own
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		_ = server.Serve(listener)
	}()
	defer func() {
		server.Stop()
		<-stopped
	}()

	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer ada's token")
	stream, err := grpc_health_v1.NewHealthClient(conn).Watch(ctx, &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		fmt.Println(err)
		return
	}
	first, err := stream.Recv()
	fmt.Println(first.GetStatus(), err)

	feed.Publish(&events.SessionRevoked{
		Common: events.Common{
			ID: "01890a5d-ac96-774b-bcce-b302099a8057", Time: time.Now(), Source: "example", Tenant: "default",
			Reason: events.ReasonUserLogout, Initiator: events.Initiator{Type: events.InitiatorUser},
		},
		Session: "phone",
	})
	_, err = stream.Recv()
	fmt.Println(status.Code(err))
	for _, detail := range status.Convert(err).Details() { // what a client branches on
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			fmt.Println(info.GetReason(), info.GetMetadata()[revocationgrpc.MetadataReason])
		}
	}
	// Output:
	// SERVING <nil>
	// Unauthenticated
	// SESSION_REVOKED user_logout
}
