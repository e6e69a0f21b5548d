// Package receipts finds out whom a revocation has reached, says it in a form that can be held against us, and keeps that.
//
//	desk, err := receipts.New(receipts.Config{Replicas: fleet, Gateways: gateways, Ledger: ledger, Bucket: kv, Keys: keys, …})
//	go desk.Run(ctx)
//	receipt := desk.Wait(ctx, receipts.Event{ID: id, Tenant: "acme", Position: 4711, Stored: stored}, receipts.Applied)
//	desk.Keep(ctx, receipt)
//	kept, err := desk.Find(ctx, "acme", id)
//
// # What a receipt says
//
// That each replica it names as having applied the event said so itself, before the time at which the receipt was made: from then on it refuses the sessions that the event ends. How long
// that took is told by the clock of the process that waited, from the stream's acknowledgement to when it heard of it, so that the way of the answer is in it. Replicas that haven't
// said so are late; those whose lease has run out are named with the time since when they fail closed (package events/presence tells why). Certain says that there is nobody else.
// That the notice was shown is what gateways have counted of acknowledgements: a tab that has gone away without one has gone, and a browser that acknowledges may lie.
//
// # What it doesn't say
//
//   - Anything of services that ask by another way than a replica that reports, of routes that fail open, or that take an older proof than their replica's report says.
//   - That what a replica says is true: whoever may publish on the topic of reports is believed.
//   - That it was made when it says: a signature shows that somebody with the deployment's key signed it. Who wants to hold the deployment to a receipt keeps it, and the public key.
//
// What wasn't found out in time is told as such, and never guessed. A receipt that isn't complete is replaced by a later one that says more.
package receipts
