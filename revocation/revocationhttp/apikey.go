package revocationhttp

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// APIKey is the text of an API key, for a [Gate] or [Touches]. It never prints: whatever it is written with, also inside of a struct, shows "(api key)". The zero
// value is no key.
type APIKey struct {
	// A pointer, because fmt follows plain strings in the unexported fields of others, where it asks no method.
	text *string
}

// NewAPIKey returns the key with this text, as "curfew keys create" printed it. It needs the scope check for a [Gate] and
// sessions for [Touches], and should have no other.
func NewAPIKey(text string) APIKey { return APIKey{&text} }

const keyShown = "(api key)"

// String returns a text that is the same for all keys.
func (APIKey) String() string { return keyShown }

// Format writes what String returns, whatever the verb.
func (APIKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, keyShown) }

// MarshalText returns what String returns; so does encoding/json.
func (APIKey) MarshalText() ([]byte, error) { return []byte(keyShown), nil }

// LogValue returns what String returns.
func (APIKey) LogValue() slog.Value { return slog.StringValue(keyShown) }

// usable reports whether the key can stand in a header as a bearer token (RFC 6750 section 2.1).
func (k APIKey) usable() bool {
	const token = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/="
	return k.text != nil && *k.text != "" && strings.Trim(*k.text, token) == ""
}

// authorization is the value of the header.
func (k APIKey) authorization() string { return "Bearer " + *k.text }
