package revocationnats

import (
	"context"
	"crypto/rand"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// consume creates a consumer that delivers what comes after a position. Each attempt has a name of its own, for a cluster that has just lost a server
// may place the consumer on that one, where it never comes to life, and would do so again with the name that it knows. The others are removed.
func (f *Feed) consume(ctx context.Context, after uint64) (jetstream.Consumer, error) {
	var mu sync.Mutex
	tried := map[string]bool{}
	cons, err := insist(ctx, func(ctx context.Context) (jetstream.Consumer, error) {
		name := "replica-" + rand.Text()
		mu.Lock()
		tried[name] = true
		mu.Unlock()
		return f.js.CreateConsumer(ctx, f.cfg.Stream, jetstream.ConsumerConfig{
			Name: name, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: after + 1, AckPolicy: jetstream.AckNonePolicy,
			MemoryStorage: true, Replicas: 1, InactiveThreshold: time.Minute,
		})
	})
	if err == nil {
		delete(tried, cons.CachedInfo().Name)
	}
	for name := range tried {
		f.deleteConsumer(name)
	}
	return cons, err
}

// deleteConsumer asks the server to remove a consumer, and doesn't wait: there may be nobody to answer just now, while there is a stream to be
// followed. The server would forget the consumer by itself in a minute.
func (f *Feed) deleteConsumer(name string) {
	_ = f.js.Conn().Publish(apiPrefix(f.js)+"CONSUMER.DELETE."+f.cfg.Stream+"."+name, nil)
}
