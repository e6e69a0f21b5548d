// Package gateways is what gateways, the processes that hold conns, tell each other and others over NATS: who they are, which tabs a user has open, who has
// come and gone, and what tabs did with a notice. It knows nothing of WebSockets.
//
// A gateway has a [Gateway], and calls Up and Down for each conn and Acked for each acknowledgement:
//
//	kv, err := b.KeyValue(ctx, bus.GatewaysBucket())
//	g, err := gateways.New(b.Conn(), kv, gateways.Config{Name: "host:4711", Tabs: tabs, Conns: conns})
//	err = g.Run(ctx)
//
// Whoever wants to know has a [Fleet], in the same process or another:
//
//	f := gateways.NewFleet(b.Conn(), kv, gateways.FleetConfig{})
//	defer f.Close()
//	answer, err := f.Tabs(ctx, "acme", "u-1")
//	err = f.FollowAcks(ctx, func(a gateways.Ack) { … })
//
// # What it promises
//
//   - A gateway that runs and reaches NATS is a member, and is none any more as soon as Run returns. One that crashes, or loses NATS, is a member until the TTL
//     of the bucket (15 s) has passed since its last renewal. Only the clocks of NATS servers count; that of no process has to be right.
//   - An [Answer] never passes for complete when it isn't known to be: a member that hasn't answered in time is named in Missing, one that has told only some
//     of its tabs says More, and MembersUnknown says that nobody could tell who should have answered.
//   - A change of presence is told once it has held for 10 s, first tab and last tab alike: who reloads a page, or comes for a moment, is told to nobody.
//   - Up, Down and Acked neither block nor wait for NATS. Every queue is bounded, and what is dropped is counted ([Stats]).
//   - A gateway answers questions with a few goroutines, however many are asked; of a flood some are dropped, and who asked finds the gateway among the
//     missing.
//   - No id of a user, a session or an event stands in a topic.
//
// # What it does not promise
//
//   - Delivery. Presence and acknowledgements are told at most once, over core NATS: a follower that isn't connected, or too slow, has missed them, and a
//     gateway that crashes takes along what it has gathered (50 ms of acknowledgements). An acknowledgement that is missing proves nothing.
//   - That a change of presence is true by the time it is heard, or that a gateway that has crashed takes it back: its users are gone when it is no member any
//     more. [Fleet.Tabs] asks those who know.
//   - Order between gateways. A user with a tab here and one there is told by both, and one may say gone while the other says there.
//   - That a gateway which is cut off from NATS for longer than the TTL is missed. Its tabs stay open, and hear of no logout either until it is back.
//   - Access control. Who may publish on these topics is believed; forms and sizes are checked, and what isn't in form is counted and ignored. Answers travel
//     on topics of their own and not under _INBOX, which every user of an account may read, and a gateway answers to no other topic.
//
// # Messages
//
// Every message is a JSON object with the version of its format in "v", which is 1. Unknown members are ignored, and so is a message of another version. The
// topics are those of package bus that begin with Live; testdata/golden holds one of each.
package gateways
