package revocationgrpc

import (
	"context"

	"google.golang.org/grpc"
)

// stream is a ServerStream that ends with its session.
//
// grpc's own RecvMsg and SendMsg wait for the peer, and nothing but the end of the handler calls them back. So each runs in a goroutine, and the
// handler, which waits for it, is let go when the session ends. It returns then, which ends the stream, and with it what is still blocked.
type stream struct {
	grpc.ServerStream
	call *call
	// received and sent take the result of the call under way. grpc allows one of each at a time. A handler that was let go leaves its call behind,
	// whose result nobody fetches: there is room for it, and no other call is begun.
	received, sent chan error
}

func newStream(ss grpc.ServerStream, c *call) *stream {
	return &stream{ServerStream: ss, call: c, received: make(chan error, 1), sent: make(chan error, 1)}
}

// Context ends when the session does.
func (s *stream) Context() context.Context { return s.call.ctx }

// RecvMsg returns the status of the session's end, also if a message has come.
func (s *stream) RecvMsg(m any) error { return s.unlessEnded(s.ServerStream.RecvMsg, m, s.received) }

// SendMsg returns the status of the session's end, also if the message is on its way.
func (s *stream) SendMsg(m any) error { return s.unlessEnded(s.ServerStream.SendMsg, m, s.sent) }

func (s *stream) unlessEnded(do func(any) error, m any, result chan error) error {
	if err := s.call.ended(); err != nil {
		return err
	}
	go func() { result <- do(m) }()
	var err error
	select {
	case err = <-result:
	case <-s.call.ctx.Done():
		if ended := s.call.ended(); ended != nil {
			return ended
		}
		err = <-result // the client is gone, or its time is over, and grpc knows
	}
	if ended := s.call.ended(); ended != nil {
		return ended
	}
	return err
}
