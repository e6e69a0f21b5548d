package main

// notices are those that were read: event → how many, and when.
type notices map[string]*tally

// tally is told, and the id in one piece for all its tabs.
type tally struct {
	told
	id string
}

// add counts a notice, and returns its id.
func (n notices) add(id []byte, at int64) string {
	t := n[string(id)]
	if t == nil {
		t = &tally{id: string(id), told: told{First: at}}
		n[t.id] = t
	}
	t.Count++
	t.Last = max(t.Last, at)
	return t.id
}
