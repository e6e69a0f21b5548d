package revocation

import "sync"

const (
	liveShardBits = 6
	liveShards    = 1 << liveShardBits
	// partBits is how many bits of a key tell the part.
	partBits = 3
	// manyLists is how many lists a shard must have had for its maps, which never shrink, to be given back when they are empty.
	manyLists = 256
)

// liveShard holds some of an index's lists, and some of its entries are at home here.
//
// A list of a session, a user or a device is in the shard of its key, and a session's entries are at home there too. Clients and tenants have
// as many entries as there are: theirs are spread over the shards in which the entries are at home, a list in each.
type liveShard[T any] struct {
	mu sync.Mutex
	// lists: key → the first entry of its list, of any part but the tenant.
	lists map[uint64]*LiveEntry[T]
	// tenants: key → the first entry of its list. Each entry is in one of these, in the shard that is its home.
	tenants map[uint64]*LiveEntry[T]
	// n counts the entries that are at home here; most is the largest number of lists that one of the maps has had since it was made.
	n, most int
	// No two locks in one line of the processor's cache.
	_ [24]byte
}

// liveLink is an entry's place in one list.
type liveLink[T any] struct{ prev, next *LiveEntry[T] }

// of returns the map of the lists of a part. It is nil while there are none.
func (sh *liveShard[T]) of(p part) *map[uint64]*LiveEntry[T] {
	if p == byTenant {
		return &sh.tenants
	}
	return &sh.lists
}

// link puts e at the beginning of the list. mu is held.
func (sh *liveShard[T]) link(e *LiveEntry[T], p part, key uint64) {
	lists := sh.of(p)
	if *lists == nil {
		*lists = map[uint64]*LiveEntry[T]{}
	}
	first := (*lists)[key]
	e.links[p] = liveLink[T]{next: first}
	if first != nil {
		first.links[p].prev = e
	}
	(*lists)[key] = e
	sh.most = max(sh.most, len(*lists))
}

// unlink takes e, which is in the list, out of it. mu is held.
func (sh *liveShard[T]) unlink(e *LiveEntry[T], p part, key uint64) {
	lists, at := sh.of(p), e.links[p]
	// An entry that somebody keeps must not keep its neighbours.
	e.links[p] = liveLink[T]{}
	if at.next != nil {
		at.next.links[p].prev = at.prev
	}
	switch {
	case at.prev != nil:
		at.prev.links[p].next = at.next
	case at.next != nil:
		(*lists)[key] = at.next
	default:
		delete(*lists, key)
	}
	if sh.most >= manyLists && len(sh.lists)+len(sh.tenants) == 0 {
		sh.lists, sh.tenants, sh.most = nil, nil, 0
	}
}

// find adds to f the entries of the list whose part p is id, but for those of the user butOf.
func (sh *liveShard[T]) find(f *finding[T], p part, key uint64, tenant, id, butOf string) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for e := (*sh.of(p))[key]; e != nil && !f.full(); e = e.links[p].next {
		f.visited++
		// Two lists may share a key.
		if s := &e.Session; s.part(p) == id && s.tenant() == tenant && (butOf == "" || s.User != butOf) {
			f.entries = append(f.entries, e)
		}
	}
}
