// Package replicas is how processes of a deployment ask each other's replicas, over NATS, how far they are and what they know of a session.
//
//	answers, err := replicas.Ask(ctx, nc, replicas.Question{Tenant: "acme", Session: "s-1"})
//
// And it is how an operator's replay has the replicas of a group read the ledger anew:
//
//	o, err := replicas.Obey(nc, "host:4711", "curfew", rebuild)
//	defer o.Close()
//	list, err := replicas.Order(ctx, nc, replay, "curfew", progress)
//
// An order is a JSON object on bus.LiveRebuildTopic with v (1), the id of the order and the group. Each replica of the group answers at once, each 2 s while it reads,
// and when it is through, to the topic of answers
// that came with the order: v, replica (its own, at random), name, state (reading, done or failed), and what came of it. An order with an id that it knows is answered
// and carried out again only if it has failed.
//
// It promises that each answer is that of one replica at one moment. It doesn't promise that all have answered: who is cut off, or stopped, is silent, and nobody
// knows here who should have said something. Who answers is revocationnats.Presence, in Curfew's processes and in services that have one.
package replicas
