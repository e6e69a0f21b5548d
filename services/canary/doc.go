// Package canary finds out whether revocations arrive: it revokes a session of nobody in each tenant, and asks everybody who should refuse it.
//
// Everything else may look healthy while nothing propagates: the publisher stores, the replicas say that they are fresh, and a subscription that was made with a wrong filter hears beats and no events. Only a revocation that
// is looked for at its destination shows that.
//
// # What a round is
//
//  1. A session that nobody has, of the user [User], is asked about. Each replica must call it active: one that can't tell would refuse everybody.
//  2. Its revocation is stored in the ledger, by the same Watermill publisher and stream as those of POST /v1/revocations, with the reason policy and the initiator {system, [Initiator]}, by which history and stats tell
//     it apart.
//  3. The same replicas, and this process's own check call over HTTP, are asked again and again until each refuses it; and every replica that reports, those that your services embed among them, must report that it
//     has applied the event. How long that took since the publish began is measured; what takes longer than Patience is an alarm.
//
// The session ends a minute later by itself, so that replicas forget it after that and their leeway, which is as soon as they forget anything. The ledger keeps the event like all others.
//
// # What it doesn't show
//
// Replicas answer questions over NATS: those of Curfew's own processes, and those that your services embed if they are told to (revocationnats.Presence); of the others nothing is known. Of a service, and of other processes' gates, it
// is the replica behind the call that is asked, and not the call. The check over HTTP is made from this machine: what lies between a gate and its callers isn't in it. A process that answers nothing, and holds no lease any more, can't be told
// from one that has ended: it is counted and no alarm. More tenants than [MaxTenants] take turns.
package canary
