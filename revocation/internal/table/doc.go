// Package table holds fingerprints and a few words beside each, without a pointer for the garbage collector to follow, and lets any number of
// goroutines look for them without a lock while one writes.
//
// # Layout
//
// A table has 2,048 shards, chosen by the fingerprint's first bits. Each shard is one allocation of words: first a tag word for each group of
// seven slots, then the slots, then what doesn't fit into whole words.
//
//	tag word      | passed | tag 6 | tag 5 | tag 4 | tag 3 | tag 2 | tag 1 | tag 0 |
//	slot, word 0  | second half of the fingerprint                           64 bits |
//	slot, word 1  | rest of the first half  13 bits | meta                   51 bits |
//	slot, word 2  | extra, in tables that have it                            64 bits |
//	half          | home, by which the group is chosen                       32 bits |
//
// Shard (11 bits), home (32), rest (13), tag (8) and second half (64) are the whole fingerprint: 128 bits are compared. An entry has two groups, which
// share a cache line: the one that home names and one beside it, of four that rest chooses. It lies in the emptier one. If both are full, it has two groups in
// the next line, and so on; and it leaves a mark in both groups of each pair that it passes. There are eight marks, of which its rest chooses one.
//
// So a search reads two tag words of one line. It ends there unless one of fourteen tags is the fingerprint's by chance, or both words have its mark: about
// seven searches of a hundred go on for what isn't there.
//
// # Readers and the writer
//
// Within one allocation nothing ever moves. An insertion writes the slot, then the bits of the groups that it has passed, then the tag; a deletion clears the
// tag. What a reader may see of a slot that is used anew is caught by comparing: it finds an entry only if all 109 bits of the slot are its
// own. To grow or to shrink, the writer fills another allocation and puts it in the place of the first; readers end their search in the
// one in which they began it, which changes no more.
//
// Writers of one shard take its lock; readers never do.
//
// # Records
//
// An entry of a table with extra words may have a record: some words more, in an arena that belongs to the same allocation and only grows, until the
// shard is filled anew. A record is never changed, so that a reader who has found its offset in the extra word may go on reading it.
package table
