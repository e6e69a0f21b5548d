package revocation

import (
	"fmt"
	"testing"
)

// Two lists that fall together on one key are one list, of which each search takes what it asks for.
func TestListsThatShareAKey(t *testing.T) {
	var sh liveShard[int]
	const key = 4711
	var entries []*LiveEntry[int]
	for i, s := range []Session{{ID: "a"}, {ID: "b"}, {Tenant: "other", ID: "a"}, {ID: "a", User: "ada"}, {ID: "b"}} {
		e := &LiveEntry[int]{Session: s, Value: i}
		entries = append(entries, e)
		sh.link(e, bySession, key)
	}
	found := func(tenant, id, butOf string) string {
		f := finding[int]{limit: -1}
		sh.find(&f, bySession, key, tenant, id, butOf)
		values := map[int]bool{}
		for _, e := range f.entries {
			values[e.Value] = true
		}
		return fmt.Sprint(len(f.entries), values)
	}
	want := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("found %s, want %s", got, want)
		}
	}
	want(found("default", "a", ""), "2 map[0:true 3:true]")
	want(found("default", "a", "ada"), "1 map[0:true]")
	want(found("other", "a", ""), "1 map[2:true]")
	want(found("default", "b", ""), "2 map[1:true 4:true]")
	// From the middle, the end, the beginning, and the last.
	for _, out := range []struct {
		entry   int
		id      string
		tenant  string
		remains string
	}{
		{3, "a", "default", "1 map[0:true]"}, {0, "a", "default", "0 map[]"}, {4, "b", "default", "1 map[1:true]"},
		{1, "a", "other", "1 map[2:true]"}, {2, "a", "other", "0 map[]"},
	} {
		sh.unlink(entries[out.entry], bySession, key)
		want(found(out.tenant, out.id, ""), out.remains)
	}
	if len(sh.lists) != 0 {
		t.Errorf("%d lists are left", len(sh.lists))
	}
}

// An entry that somebody keeps when it has been removed keeps no other, and maps that were large aren't kept empty.
func TestLiveGivesMemoryBack(t *testing.T) {
	var live Live[int]
	var entries []*LiveEntry[int]
	for i := range 2 * manyLists * liveShards {
		s := Session{ID: fmt.Sprint(i), User: "ada", Client: "web"}
		if i%2 == 0 {
			s.ID, s.Tenant = "", fmt.Sprint(i)
		}
		entries = append(entries, live.Add(s, i))
	}
	for i := range live.shards {
		if live.shards[i].most < manyLists {
			t.Fatalf("shard %d had %d lists, too few for this test", i, live.shards[i].most)
		}
	}
	for _, e := range entries {
		if !live.Remove(e) || live.Remove(e) {
			t.Fatalf("entry %d: Remove doesn't report once that it was there", e.Value)
		}
		if e.links != [parts]liveLink[int]{} {
			t.Fatalf("entry %d holds on to others", e.Value)
		}
	}
	for i := range live.shards {
		if sh := &live.shards[i]; sh.lists != nil || sh.tenants != nil {
			t.Errorf("shard %d keeps its maps", i)
		}
	}
}
