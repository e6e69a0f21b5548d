// Package revocationgrpc refuses gRPC calls whose session is over, and ends those that are being served when it becomes so.
//
//	guard, err := revocationgrpc.New(revocationgrpc.Config{
//		Replica: replica,
//		Session: func(ctx context.Context, _ string) (revocation.Session, error) {
//			token, err := revocationgrpc.Bearer(ctx)
//			if err != nil {
//				return revocation.Session{}, err
//			}
//			return verify(ctx, token) // yours, or the Parse of a revocationhttp.JWT
//		},
//		Methods: map[string]revocationgrpc.Policy{
//			"/bank.v1.Payments/":     {Require: revocation.Require{MaxStaleness: 3 * time.Second}}, // all of a service
//			"/grpc.health.v1.Health/": {AllowAnonymous: true},
//		},
//	})
//	if err != nil {
//		return err
//	}
//	server := grpc.NewServer(grpc.ChainUnaryInterceptor(guard.Unary), grpc.ChainStreamInterceptor(guard.Stream))
//	bank.RegisterPaymentsServer(server, payments)
//	if err := guard.Covers(server.GetServiceInfo()); err != nil { // a misspelt method would have the usual policy
//		return err
//	}
//
// # Answers
//
// What is refused is answered with a status whose details hold an ErrorInfo (google.rpc) of the domain "curfew". Programs branch on its reason;
// [Answer] and [AnswerError] are the whole table:
//
//	reason                  code             RetryInfo  when
//	SESSION_REVOKED         Unauthenticated  no         a revocation ends the session, or it is past max age; metadata "reason" tells which
//	SESSION_UNDETERMINED    Unavailable      yes        the replica isn't synced, is stale, or is behind curfew-position
//	SESSION_CLAIMS_MISSING  Unauthenticated  no         the session lacks an id, a user or an auth time that the method requires
//	SESSION_CLAIMS_INVALID  Unauthenticated  no         the auth time lies in the future
//	SESSION_REQUIRED        Unauthenticated  no         the call carries no session
//	INVALID_TOKEN           Unauthenticated  no         the token is bad, for whatever reason
//	INVALID_POSITION        InvalidArgument  no         curfew-position isn't a decimal number
//
// Unavailable means that time can mend it, Unauthenticated that signing in again can. A client that repeats a call after SESSION_REVOKED does so
// for ever, so the reason differs from that of a token which has merely expired.
//
// # Promises
//
// The zero value of every policy fails closed. Only DangerouslyFailOpen passes a session that the replica can't vouch for, each such pass is told
// to OnFailOpen, and no setting of it passes a missing claim.
//
// A call that has been let in was registered before it was checked, so no revocation falls between: either it is refused, or its context ends
// with the event, or at max age, with a [*revocation.EndedError] as its cause. RecvMsg and SendMsg of a stream then return the status of
// SESSION_REVOKED at once, also those that are blocked, and so does the call whatever its handler returns, unless it had done its work: a unary or
// client-streaming handler that returns no error has its answer sent.
//
// # What it doesn't do
//
// It doesn't stop a handler: a unary one that ignores its context runs on, and a stream ends for its client when its handler returns. It doesn't end
// a call whose token expires, nor one while the replica is merely stale: bound the life of streams. It logs nothing; the hooks of [Config] tell.
//
// A message of a stream costs some microseconds more, for the goroutine from which a blocked handler can be let go.
package revocationgrpc
