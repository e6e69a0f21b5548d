package bus

// PublisherWithoutReserve tries to publish also when the disk is nearly full, as a disk does that fills up between the check
// and the write.
func (b *Bus) PublisherWithoutReserve() *Publisher { return &Publisher{bus: b} }

// DiskReserve is what a publish leaves free.
const DiskReserve = diskReserve

// StartedLongAgo makes the deployment's first start, at which processes find each other's traces, one of the past.
func (b *Bus) StartedLongAgo() { b.together = 0 }

// Known reports whether k needn't ask.
func (k *Kept) Known() bool {
	_, known := k.known()
	return known
}
