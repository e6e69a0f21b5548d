package backend_test

import (
	"strings"
	"testing"
)

// TestTokenIsGoodOnce: the last character of a signature of 32 bytes has two bits that mean nothing. A token whose last character is another with the same four bits is the same token.
func TestTokenIsGoodOnce(t *testing.T) {
	r := newRig(t)
	once := token(t, key, "demobackend-chat", "grace", "s-2")
	if _, err := r.chat(t, origin, once); err != nil {
		t.Fatal(err)
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, once[len(once)-1])
	again := once[:len(once)-1] + string(alphabet[last^1])
	if _, err := r.chat(t, origin, again); err == nil {
		t.Error("a token was good twice: its last character was changed")
	}
}
