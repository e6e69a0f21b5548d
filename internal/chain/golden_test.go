package chain_test

import (
	"testing"

	"github.com/curfewhq/curfew/internal/chain"
)

// TestTheSumsStayTheSame: checkpoints are kept for months and elsewhere, so what is hashed and how a checkpoint is written can't change without another version.
func TestTheSumsStayTheSame(t *testing.T) {
	k := newBook()
	k.event(t)
	k.beat(t)
	k.seal(t)
	var hasher chain.Hasher
	if got, want := hasher.Leaf(k.events[0]).String(), "e1735ebcb8b7f861e55218730e0970779d49156c8dfe7cb1f076d90e2635a77c"; got != want {
		t.Errorf("leaf %s, want %s", got, want)
	}
	const want = `{"v":1,"number":1,"time":"2026-03-01T12:00:02Z","chain":"chain-1","cause":"first","ledger":"2026-03-01T12:00:00Z","first":1,"after":0,"position":2,"events":1,"hash":"f05c69c6c078fcdb8ccbbcdabbdbddb2ce7d0a5101fdaa605ba6128cf652df9b","retention_ms":86400000,"oldest":"2026-03-01T12:00:01Z","last":{"position":1,"stored":"2026-03-01T12:00:01Z","digest":"e1735ebcb8b7f861e55218730e097077"},"leaves":"AeFzXry4t/hh5VIYcw4JcHc="}`
	if got := k.signed[0].Token; got != want {
		t.Errorf("checkpoint\n%s, want\n%s", got, want)
	}
}

// FuzzDecode: whatever somebody has signed, reading it ends, and what is taken holds together.
func FuzzDecode(f *testing.F) {
	k := newBook()
	for range 3 {
		k.event(f)
		k.seal(f)
	}
	for _, s := range k.signed {
		f.Add([]byte(s.Token))
	}
	f.Add([]byte(`{"v":1,"number":1,"chain":"c","first":1,"position":9,"hash":"","leaves":"/////////////w=="}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := chain.Decode(data)
		if err != nil {
			return
		}
		again, err := c.Encode()
		if err != nil {
			return // a time that JSON can't write
		}
		if d, err := chain.Decode(again); err != nil || d.Hash != c.Hash || d.Position != c.Position {
			t.Errorf("%+v is read as %+v, %v", c, d, err)
		}
		trail := chain.Judge([]chain.Signed{{Number: c.Number, Token: string(data)}}, chain.Trust{Open: unsigned, Now: epoch})
		w := trail.Walk(chain.Head{Made: c.Ledger, First: 1, Last: c.Position})
		if err := w.Entry(entry(c.After+1, epoch, "x")); err == nil {
			w.Report()
		}
	})
}
