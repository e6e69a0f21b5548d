package fingerprint

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/dchest/siphash"
	"pgregory.net/rapid"
)

// reference is SipHash-c-d with 128 bits of output as its authors' code has it, word by word and without any shortcut.
func reference(c, d int, key [16]byte, message []byte) (uint64, uint64) {
	k0, k1 := binary.LittleEndian.Uint64(key[:8]), binary.LittleEndian.Uint64(key[8:])
	v := [4]uint64{k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573}
	v[1] ^= 0xee
	rounds := func(n int) {
		for range n {
			v[0] += v[1]
			v[1] = bits.RotateLeft64(v[1], 13)
			v[1] ^= v[0]
			v[0] = bits.RotateLeft64(v[0], 32)
			v[2] += v[3]
			v[3] = bits.RotateLeft64(v[3], 16)
			v[3] ^= v[2]
			v[0] += v[3]
			v[3] = bits.RotateLeft64(v[3], 21)
			v[3] ^= v[0]
			v[2] += v[1]
			v[1] = bits.RotateLeft64(v[1], 17)
			v[1] ^= v[2]
			v[2] = bits.RotateLeft64(v[2], 32)
		}
	}
	length := len(message)
	message = append(append([]byte{}, message...), make([]byte, 7-length%8)...)
	message = append(message, byte(length))
	for ; len(message) > 0; message = message[8:] {
		m := binary.LittleEndian.Uint64(message)
		v[3] ^= m
		rounds(c)
		v[0] ^= m
	}
	v[2] ^= 0xee
	rounds(d)
	first := v[0] ^ v[1] ^ v[2] ^ v[3]
	v[1] ^= 0xdd
	rounds(d)
	return first, v[0] ^ v[1] ^ v[2] ^ v[3]
}

func sum(h *Hasher, kind Kind, tenant, id string) FP {
	in := h.Within(tenant)
	return in.Sum(kind, id)
}

// message is what is hashed, as doc.go says it.
func message(kind Kind, tenant, id string) []byte {
	m := append([]byte{byte(kind), byte(len(tenant)), byte(len(tenant) >> 8), byte(len(tenant) >> 16)}, tenant...)
	for len(m)%8 != 0 {
		m = append(m, 0)
	}
	return append(m, id...)
}

// The reference with the rounds of SipHash-2-4 is what another implementation says, so its rounds and padding are right.
func TestReferenceIsSipHash(t *testing.T) {
	rng := rand.NewChaCha8([32]byte{1})
	for length := range 300 {
		var key [16]byte
		m := make([]byte, length)
		_, _ = rng.Read(key[:])
		_, _ = rng.Read(m)
		first, second := reference(2, 4, key, m)
		wantFirst, wantSecond := siphash.Hash128(binary.LittleEndian.Uint64(key[:8]), binary.LittleEndian.Uint64(key[8:]), m)
		if first != wantFirst || second != wantSecond {
			t.Fatalf("%d bytes: %x %x, want %x %x", length, first, second, wantFirst, wantSecond)
		}
	}
}

func TestSumIsSipHash13(t *testing.T) {
	var key [16]byte
	rng := rand.NewChaCha8([32]byte{2})
	_, _ = rng.Read(key[:])
	h := New(key, "default")
	tenants := []string{"default", "", "a", "abcdef", "abcdefg", "acme-1234567", "defaulu", strings.Repeat("t", 63), strings.Repeat("t", 300), "abc", "abcd", "abcde"}
	for _, tenant := range tenants {
		for length := range 257 {
			raw := make([]byte, length)
			_, _ = rng.Read(raw)
			for _, kind := range []Kind{Session, User, Device, Client, Tenant} {
				in := h.Within(tenant)
				got := in.Sum(kind, string(raw))
				first, second := reference(1, 3, key, message(kind, tenant, string(raw)))
				if want := (FP{tagged(first), second}); got != want || in.First(kind, string(raw)) != want.First || in.Second(kind, string(raw)) != want.Second {
					t.Fatalf("%d %q, id of %d bytes: %x, want %x", kind, tenant, length, got, want)
				}
			}
		}
	}
}

// Which tenant is the usual one changes nothing.
func TestUsualTenantIsOnlyFaster(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "key"))
		tenant, id := rapid.StringMatching(`[a-z0-9-]{1,63}`).Draw(t, "tenant"), rapid.String().Draw(t, "id")
		kind := rapid.SampledFrom([]Kind{Session, User, Device, Client, Tenant}).Draw(t, "kind")
		a, b := sum(New(key, "default"), kind, tenant, id), sum(New(key, tenant), kind, tenant, id)
		if a != b {
			t.Fatalf("%x and %x", a, b)
		}
	})
}

// Trap 28: what looks the same when joined is hashed as different messages, and so has different fingerprints.
func TestTrap28MessagesAreInjective(t *testing.T) {
	seen := map[string]string{}
	fps := map[FP]string{}
	h := New([16]byte{1}, "default")
	texts := []string{"", "a", "b", "ab", "a\x00", "\x00", "a-b", "default", "abcdef", "abcdefg", "abcdefgh", strings.Repeat("a", 255), strings.Repeat("a", 300)}
	for kind := Session; kind < kinds; kind++ {
		for _, tenant := range texts {
			for _, id := range texts {
				what := fmt.Sprintf("%d %q %q", kind, tenant, id)
				if other, twice := seen[string(message(kind, tenant, id))]; twice {
					t.Errorf("%s and %s are one message", what, other)
				}
				seen[string(message(kind, tenant, id))] = what
				fp := sum(h, kind, tenant, id)
				if other, twice := fps[fp]; twice {
					t.Errorf("%s and %s have one fingerprint", what, other)
				}
				fps[fp] = what
			}
		}
	}
}

func TestPartsOfTheFirstHalf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := tagged(rapid.Uint64().Draw(t, "first"))
		if Tag(first) == 0 || Tag(first) > 255 {
			t.Fatalf("tag %d", Tag(first))
		}
		if again := Join(Shard(first), Tag(first), Home(first), Rest(first)); again != first {
			t.Fatalf("%x was put together to %x", first, again)
		}
	})
}

// The key is what makes fingerprints unguessable: another gives others.
func TestKeysGiveDifferentFingerprints(t *testing.T) {
	a, b := New([16]byte{1}, "default"), New([16]byte{2}, "default")
	if sum(a, User, "default", "ada") == sum(b, User, "default", "ada") {
		t.Error("two keys give one fingerprint")
	}
	if a.Key() != [16]byte{1} {
		t.Errorf("Key() = %x", a.Key())
	}
}

func TestSumDoesNotAllocate(t *testing.T) {
	h := New([16]byte{1}, "default")
	var sink uint64
	if n := testing.AllocsPerRun(100, func() {
		in := h.Within("acme")
		sink += in.Sum(Session, "01890a5d-ac96-774b-bcce-b302099a8057").Second
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkSum(b *testing.B) {
	h := New([16]byte{1}, "default")
	id := "0123456789abcdef0123456789abcdef"
	for _, tenant := range []string{"default", "acme"} {
		b.Run("first/"+tenant, func(b *testing.B) {
			var x uint64
			for b.Loop() {
				in := h.Within(tenant)
				x ^= in.First(Session, id)
			}
			_ = x
		})
		b.Run("whole/"+tenant, func(b *testing.B) {
			var x uint64
			for b.Loop() {
				in := h.Within(tenant)
				x ^= in.Sum(Session, id).Second
			}
			_ = x
		})
	}
}

func TestFirstOfTenant(t *testing.T) {
	h := New([16]byte{1}, "default")
	for _, tenant := range []string{"default", "acme", "defaul", "default-2", ""} {
		in := h.Within(tenant)
		if got, want := in.FirstOfTenant(), in.First(Tenant, tenant); got != want {
			t.Errorf("%q: %x, want %x", tenant, got, want)
		}
	}
}
