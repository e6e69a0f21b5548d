package bus

import "sync/atomic"

// counters are the running totals behind Stats.
type counters struct {
	disconnects, reconnects, asyncErrors       atomic.Uint64
	stored, duplicates, notStored, unknown     atomic.Uint64
	full, delivered, redelivered, acknowledged atomic.Uint64
	refused, expired, parked, parkFailures     atomic.Uint64
}

// Stats are totals since Open, for metrics.
type Stats struct {
	// Disconnects and Reconnects of the connection, and errors that NATS reported on its own (permissions, slow consumers).
	Disconnects, Reconnects, AsyncErrors uint64
	// Stored counts acknowledged publishes, Duplicates those of them that were already stored.
	Stored, Duplicates uint64
	// NotStored and UnknownOutcome count failed publishes; Full those of them that failed for lack of room.
	NotStored, UnknownOutcome, Full uint64
	// Delivered counts messages handed to a handler, Redelivered those of them that weren't the first delivery.
	Delivered, Redelivered uint64
	// Acknowledged, Refused and Expired count how handlers answered: done, not done, or not within AckWait.
	Acknowledged, Refused, Expired uint64
	// Parked counts poison messages; ParkFailures attempts to park one that failed and will be repeated.
	Parked, ParkFailures uint64
}

// Stats returns the totals since Open. The fields are read one by one.
func (b *Bus) Stats() Stats {
	c := &b.stats
	return Stats{
		Disconnects: c.disconnects.Load(), Reconnects: c.reconnects.Load(), AsyncErrors: c.asyncErrors.Load(),
		Stored: c.stored.Load(), Duplicates: c.duplicates.Load(),
		NotStored: c.notStored.Load(), UnknownOutcome: c.unknown.Load(), Full: c.full.Load(),
		Delivered: c.delivered.Load(), Redelivered: c.redelivered.Load(),
		Acknowledged: c.acknowledged.Load(), Refused: c.refused.Load(), Expired: c.expired.Load(),
		Parked: c.parked.Load(), ParkFailures: c.parkFailures.Load(),
	}
}
