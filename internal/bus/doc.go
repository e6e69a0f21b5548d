// Package bus is Curfew's way to NATS JetStream: the connection (or the server inside this process), the streams and their
// settings, and a Watermill publisher and subscriber over them. It owns every stream name and setting.
//
// # What it promises
//
//   - A publish that returned an [Ack] is stored: on disk and synced with the embedded server's default, on a quorum with
//     [Config.Replicas] of 3. A publish that returned [ErrNotStored] is not stored and never will be: nothing waits in a
//     buffer for a reconnect. Everything else is [ErrUnknownOutcome]: publish again with the same message id.
//   - The same message id within the duplicate window is stored once; [Ack.Duplicate] says so.
//   - A publish returns within its caller's deadline, also on a link that swallows everything without closing, which is
//     noticed after about six seconds.
//   - Delivery to a [Subscriber] is at least once. A message is acknowledged after its handler acknowledged it, never before.
//   - A message that fails [SubscriberConfig.MaxDeliver] times, or whose handler says [Poison], is parked on [ParkedStream]
//     with its reason before it is acknowledged. If it can't be parked, it isn't acknowledged.
//   - [Bus.EnsureStreams] refuses a ledger whose settings break one of these promises, and says which.
//
// # What it does not promise
//
//   - Exactly once. Handlers are idempotent.
//   - Order after a failure: with a window above one, what follows a failed message overtakes it.
//   - That every delivery reached a handler: a delivery that was still waiting in a process that ended counts as one.
//   - Durability against power loss with [Embedded.SyncInterval] set, or on an external server that doesn't sync always.
//   - Access control. Whoever may connect may do what the server's permissions allow.
//
// # Sketch
//
//	b, err := bus.Open(ctx, bus.Config{Embedded: bus.Embedded{Dir: "/var/lib/curfew"}})
//	defer b.Close()
//	err = b.EnsureStreams(ctx)
//	ack, err := b.Publisher().PublishAck(ctx, topic, msg) // ack.Position is the event's place in the ledger
//
//	sub, err := b.NewSubscriber(bus.SubscriberConfig{Durable: "relay-webhooks"})
//	router.AddConsumerHandler("webhooks", events.TopicAll, sub, handle)
//	router.AddMiddleware(bus.ParkPoison(b.Parker()))
package bus
