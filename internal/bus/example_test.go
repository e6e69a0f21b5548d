package bus_test

import (
	"context"
	"fmt"
	"os"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/bus"
)

// A server inside this process, one message, and its way back.
func Example() {
	if err := storeAndRead(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// stored at 1 of CURFEW
	// curfew.v1.acme.3f.session: over
}

func storeAndRead(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "curfew")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	b, err := bus.Open(ctx, bus.Config{Embedded: bus.Embedded{Dir: dir}})
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }()
	if err := b.EnsureStreams(ctx); err != nil {
		return err
	}
	ack, err := b.Publisher().PublishAck(ctx, "curfew.v1.acme.3f.session", message.NewMessage("id-1", []byte("over")))
	if err != nil {
		return err
	}
	fmt.Println("stored at", ack.Position, "of", ack.Stream)

	sub, err := b.NewSubscriber(bus.SubscriberConfig{Durable: "example"})
	if err != nil {
		return err
	}
	msgs, err := sub.Subscribe(ctx, events.TopicAll)
	if err != nil {
		return err
	}
	msg := <-msgs
	d, _ := bus.DeliveryOf(msg)
	fmt.Printf("%s: %s\n", d.Topic, msg.Payload)
	msg.Ack()
	return sub.Close()
}
