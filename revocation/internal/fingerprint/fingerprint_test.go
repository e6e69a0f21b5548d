package fingerprint

import (
	"crypto/aes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

// reference is CMAC as RFC 4493 has it, step by step, on the standard library's AES.
func reference(tb testing.TB, key [16]byte, message []byte) [16]byte {
	tb.Helper()
	c, err := aes.NewCipher(key[:])
	if err != nil {
		tb.Fatal(err)
	}
	var k1, x [16]byte
	c.Encrypt(k1[:], k1[:])
	k1 = shifted(k1)
	k2 := shifted(k1)
	n := (len(message) + 15) / 16
	last, whole := [16]byte{}, len(message) > 0 && len(message)%16 == 0
	if n == 0 {
		n = 1
	}
	rest := message[16*(n-1):]
	copy(last[:], rest)
	if !whole {
		last[len(rest)] = 0x80
	}
	for i := range last {
		if whole {
			last[i] ^= k1[i]
		} else {
			last[i] ^= k2[i]
		}
	}
	for i := range n {
		m := last[:]
		if i < n-1 {
			m = message[16*i : 16*i+16]
		}
		for k := range x {
			x[k] ^= m[k]
		}
		c.Encrypt(x[:], x[:])
	}
	return x
}

// shifted is a shift by one bit to the left, and the constant 0x87 if a bit has fallen out.
func shifted(b [16]byte) (s [16]byte) {
	carry := byte(0)
	for i := len(b) - 1; i >= 0; i-- {
		s[i] = b[i]<<1 | carry
		carry = b[i] >> 7
	}
	if carry == 1 {
		s[15] ^= 0x87
	}
	return s
}

// RFC 4493, section 4.
func TestReferenceIsRFC4493(t *testing.T) {
	key := [16]byte(unhex(t, "2b7e151628aed2a6abf7158809cf4f3c"))
	m := unhex(t, "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710")
	for length, want := range map[int]string{
		0: "bb1d6929e95937287fa37d129b756746", 16: "070a16b46b4d4144f79bdd9dd04a287c",
		40: "dfa66747de9ae63030ca32611497c827", 64: "51f0bebf7e3b9d92fc49741779363cfe",
	} {
		if got := reference(t, key, m[:length]); hex.EncodeToString(got[:]) != want {
			t.Errorf("%d bytes: %x, want %s", length, got, want)
		}
	}
}

func unhex(tb testing.TB, text string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// tagged is a fingerprint whose tag isn't 0.
func tagged(f FP) FP {
	if f.First&0xff == 0 {
		f.First++
	}
	return f
}

// message is what is hashed, as doc.go says it.
func message(kind Kind, tenant, id string) []byte {
	m := append([]byte{byte(kind), byte(len(tenant)), byte(len(tenant) >> 8), byte(len(tenant) >> 16)}, tenant...)
	for len(m)%16 != 0 {
		m = append(m, 0)
	}
	return append(m, id...)
}

// ids calls fn with ids of all lengths, each with its last byte right before memory that nobody may read.
func ids(tb testing.TB, fn func(id string)) {
	tb.Helper()
	const most = 257
	page := os.Getpagesize()
	mem, err := syscall.Mmap(-1, 0, 2*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = syscall.Munmap(mem) }()
	if err := syscall.Mprotect(mem[page:], syscall.PROT_NONE); err != nil {
		tb.Fatal(err)
	}
	_, _ = rand.NewChaCha8([32]byte{2}).Read(mem[:page])
	for length := 1; length < most; length++ {
		fn(unsafe.String(&mem[page-length], length))
		fn(unsafe.String(&mem[0], length))
	}
}

func TestSumIsCMAC(t *testing.T) {
	key := [16]byte(unhex(t, "2b7e151628aed2a6abf7158809cf4f3c"))
	tenants := []string{"default", "", "a", "acme-1234567", "acme-12345678", "defaulu", strings.Repeat("t", 27), strings.Repeat("t", 28), strings.Repeat("t", 63), strings.Repeat("t", 300)}
	h := New(key, "default")
	slow := *h
	slow.mac.slow = newPortable(key, h.mac.keys)
	ids(t, func(id string) {
		for _, tenant := range tenants {
			for kind := range kinds {
				mac := reference(t, key, message(kind, tenant, id))
				want := tagged(FP{binary.LittleEndian.Uint64(mac[:8]), binary.LittleEndian.Uint64(mac[8:])})
				if got, portable := h.Sum(kind, tenant, id), slow.Sum(kind, tenant, id); got != want || portable != want {
					t.Fatalf("%d %q, id of %d bytes: %x, and portable %x, want %x", kind, tenant, len(id), got, portable, want)
				}
			}
		}
	})
}

// Which tenant is the usual one changes nothing.
func TestUsualTenantIsOnlyFaster(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "key"))
		tenant, id := rapid.StringMatching(`[a-z0-9-]{1,63}`).Draw(t, "tenant"), rapid.String().Draw(t, "id")
		kind := rapid.SampledFrom([]Kind{Session, User, Device, Client, Tenant}).Draw(t, "kind")
		a, b := New(key, "default").Sum(kind, tenant, id), New(key, tenant).Sum(kind, tenant, id)
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
				fp := h.Sum(kind, tenant, id)
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
		first := tagged(FP{First: rapid.Uint64().Draw(t, "first")}).First
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
	if a.Sum(User, "default", "ada") == b.Sum(User, "default", "ada") {
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
		sink += h.Sum(Session, "acme", "01890a5d-ac96-774b-bcce-b302099a8057").Second
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkSum(b *testing.B) {
	h := New([16]byte{1}, "default")
	for _, tenant := range []string{"default", "acme"} {
		for _, length := range []int{20, 32, 36, 43, 64} {
			id := strings.Repeat("0", length)
			b.Run(fmt.Sprintf("tenant=%s/bytes=%d", tenant, length), func(b *testing.B) {
				var x uint64
				for b.Loop() {
					x ^= h.Sum(Session, tenant, id).Second
				}
				_ = x
			})
		}
	}
}

func TestTenant(t *testing.T) {
	h := New([16]byte{1}, "default")
	for _, tenant := range []string{"default", "acme", "defaul", "default-2", ""} {
		if got, want := h.Tenant(tenant), h.Sum(Tenant, tenant, tenant); got != want {
			t.Errorf("%q: %x, want %x", tenant, got, want)
		}
	}
}
