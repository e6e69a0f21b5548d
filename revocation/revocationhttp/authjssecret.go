package revocationhttp

import (
	"fmt"
	"io"
	"log/slog"
)

// AuthJSSecret is a secret of an application's Auth.js. It never prints: whatever it is written with, also inside of a struct, shows
// "(authjs secret)". The zero value is no secret.
type AuthJSSecret struct {
	// A pointer, because fmt follows plain strings in the unexported fields of others, where it asks no method.
	text *string
}

// NewAuthJSSecret returns the secret with this text, exactly as Auth.js has it: a base64 one isn't decoded, and white space counts.
func NewAuthJSSecret(text string) AuthJSSecret { return AuthJSSecret{&text} }

const authJSSecretShown = "(authjs secret)"

// String returns a text that is the same for all secrets.
func (AuthJSSecret) String() string { return authJSSecretShown }

// Format writes what String returns, whatever the verb.
func (AuthJSSecret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, authJSSecretShown) }

// MarshalText returns what String returns; so does encoding/json.
func (AuthJSSecret) MarshalText() ([]byte, error) { return []byte(authJSSecretShown), nil }

// LogValue returns what String returns.
func (AuthJSSecret) LogValue() slog.Value { return slog.StringValue(authJSSecretShown) }

func (s AuthJSSecret) len() int {
	if s.text == nil {
		return 0
	}
	return len(*s.text)
}

func (s AuthJSSecret) bytes() []byte { return []byte(*s.text) }
