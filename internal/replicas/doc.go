// Package replicas is how processes of a deployment ask each other's replicas, over NATS, how far they are and what they know of a session.
//
//	l, err := replicas.Listen(nc, "host:4711", replica)
//	defer l.Close()
//	answers, err := replicas.Ask(ctx, nc, replicas.Question{Tenant: "acme", Session: "s-1"})
//
// It promises that each answer is that of one replica at one moment. It doesn't promise that all have answered: who is cut off, or stopped, is silent, and nobody
// knows here who should have said something. Replicas in processes that aren't Curfew's don't listen.
package replicas
