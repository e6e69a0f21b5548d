package bus

// PublisherWithoutReserve tries to publish also when the disk is nearly full, as a disk does that fills up between the check
// and the write.
func (b *Bus) PublisherWithoutReserve() *Publisher { return &Publisher{bus: b} }

// DiskReserve is what a publish leaves free.
const DiskReserve = diskReserve
