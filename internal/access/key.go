package access

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/curfewhq/curfew/events"
)

// Scope is what a key may do.
type Scope string

// The scopes.
const (
	// ScopePublish revokes sessions and issues tickets.
	ScopePublish Scope = "publish"
	// ScopeCheck asks for sessions.
	ScopeCheck Scope = "check"
	// ScopeSessions registers sessions, lists and touches them.
	ScopeSessions Scope = "sessions"
	// ScopeRead reads the history of revocations.
	ScopeRead Scope = "read"
	// ScopeAdmin manages keys of the key's own tenant. Together with ScopePublish it logs out that whole tenant.
	ScopeAdmin Scope = "admin"
	// ScopeOperator manages keys of every tenant. The first key has it, and only a key that has it can give it.
	ScopeOperator Scope = "operator"
)

// scopeNames lists all scopes in sentences.
const scopeNames = "publish, check, sessions, read, admin, operator"

// Scopes returns all scopes.
func Scopes() []Scope {
	return []Scope{ScopePublish, ScopeCheck, ScopeSessions, ScopeRead, ScopeAdmin, ScopeOperator}
}

// Key is an API key without its secret.
type Key struct {
	ID     string  `json:"id"`
	Name   string  `json:"name,omitempty"`
	Tenant string  `json:"tenant"`
	Scopes []Scope `json:"scopes"`
	// CreatedBy is the id of the key that has made it; empty for one that was made by the server itself, or before that was kept.
	CreatedBy string `json:"created_by,omitempty"`
	// CreatedAt is when the key was made; RevokedAt is zero for a live key.
	CreatedAt time.Time `json:"created_at"`
	RevokedAt time.Time `json:"revoked_at,omitzero"`
}

// Has reports whether the key may do what scope says.
func (k Key) Has(scope Scope) bool { return slices.Contains(k.Scopes, scope) }

// managesAll reports whether the key manages keys of every tenant.
func (k Key) managesAll() bool { return k.Has(ScopeOperator) }

// sees reports whether the key, which manages keys, may know of another one.
func (k Key) sees(other Key) bool { return k.managesAll() || k.Tenant == other.Tenant }

// record is a key as it is kept.
type record struct {
	Key
	// Hash is the SHA-256 of the secret, in hex.
	Hash string `json:"hash"`
	// revision is the bucket's, by which a later state is told from an earlier one.
	revision uint64
}

const (
	textPrefix  = "cfw_"
	idBytes     = 8
	secretBytes = 32
)

// Text is a key's text. It prints as its id, so that no log or error shows the secret; Reveal returns the whole.
type Text struct{ id, secret string }

// Reveal returns the text to give to the caller, once.
func (t Text) Reveal() string { return textPrefix + t.id + "_" + t.secret }

// String returns the text with its secret left out.
func (t Text) String() string { return textPrefix + t.id + "_…" }

// Format writes what String returns, whatever the verb: %d would print the members of a plain Stringer.
func (t Text) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.String()) }

func newText() Text {
	return Text{id: randomHex(idBytes), secret: randomHex(secretBytes)}
}

// randomHex returns n random bytes; crypto/rand ends the process rather than return less (Go 1.24).
func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

// ParseText reads a key's text.
func ParseText(s string) (Text, bool) {
	rest, ok := strings.CutPrefix(s, textPrefix)
	id, secret, cut := strings.Cut(rest, "_")
	if !ok || !cut || !isID(id) || len(secret) != 2*secretBytes || !isHex(secret) {
		return Text{}, false
	}
	return Text{id: id, secret: secret}, true
}

func isID(s string) bool { return len(s) == 2*idBytes && isHex(s) }

func isHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

func (t Text) hash() string {
	sum := sha256.Sum256([]byte(t.secret))
	return hex.EncodeToString(sum[:])
}

func (r record) matches(t Text) bool {
	return subtle.ConstantTimeCompare([]byte(r.Hash), []byte(t.hash())) == 1
}

// Request is what a new key shall be.
type Request struct {
	Name   string  `json:"name"`
	Tenant string  `json:"tenant"`
	Scopes []Scope `json:"scopes"`

	// createdBy is the id of the key that asks.
	createdBy string
}

// Validate reports every fault at once.
func (q Request) Validate() error {
	var errs []error
	if fault := events.TenantFault(q.Tenant); fault != "" {
		errs = append(errs, fmt.Errorf("tenant %s", fault))
	}
	if len(q.Name) > 100 {
		errs = append(errs, errors.New("name is longer than 100 bytes: shorten it"))
	}
	// Names are listed on terminals.
	if !utf8.ValidString(q.Name) || strings.ContainsFunc(q.Name, unicode.IsControl) {
		errs = append(errs, errors.New("name holds a control character, or isn't UTF-8: give plain text"))
	}
	if len(q.Scopes) == 0 {
		errs = append(errs, errors.New("scopes are required: give some of "+scopeNames))
	}
	for _, s := range q.Scopes {
		if !slices.Contains(Scopes(), s) {
			errs = append(errs, errors.New("scopes must be some of "+scopeNames))
			break
		}
	}
	return errors.Join(errs...)
}
