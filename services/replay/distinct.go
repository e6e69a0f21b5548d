package replay

import (
	"hash/maphash"

	"github.com/axiomhq/hyperloglog"
)

// exactly is up to how many different ids are counted one by one. Beyond, they are estimated, with a standard error of 0.8 %.
const exactly = 1 << 15

// distinct counts different ids in bounded memory: exactly, and beyond many by an estimate.
type distinct struct {
	seed   maphash.Seed
	seen   map[uint64]struct{}
	sketch *hyperloglog.Sketch
}

func newDistinct() *distinct {
	return &distinct{seed: maphash.MakeSeed(), seen: map[uint64]struct{}{}}
}

func (d *distinct) add(tenant, id string) (isNew bool) {
	var h maphash.Hash
	h.SetSeed(d.seed)
	_, _ = h.WriteString(tenant)
	_ = h.WriteByte(0) // no id holds it
	_, _ = h.WriteString(id)
	sum := h.Sum64()
	if d.sketch != nil {
		d.sketch.InsertHash(sum)
		return false
	}
	if _, there := d.seen[sum]; there {
		return false
	}
	d.seen[sum] = struct{}{}
	if len(d.seen) > exactly {
		d.sketch = hyperloglog.New14()
		for sum := range d.seen {
			d.sketch.InsertHash(sum)
		}
		d.seen = nil
	}
	return true
}

// count returns how many there were, and whether that is an estimate.
func (d *distinct) count() (n uint64, estimated bool) { return d.estimate(), d.sketch != nil }

// estimate returns about how many there were.
func (d *distinct) estimate() uint64 {
	if d.sketch != nil {
		return d.sketch.Estimate()
	}
	return uint64(len(d.seen))
}
