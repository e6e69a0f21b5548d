package revocationhttp

import (
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

const (
	// maxCookieBytes is how long a cookie may be, all its chunks together. A server of Node's takes 16 KiB of headers altogether.
	maxCookieBytes = 16 << 10
	// maxChunks is how many chunks a cookie may have. Auth.js fills each with 3936 bytes.
	maxChunks = 16
)

// authJSCookie is a name under which a cookie is looked for, and what opens it.
type authJSCookie struct {
	name    string
	formats []authJSFormat
}

// authJSFormat is how one version of Auth.js encrypts, with the keys of one name.
type authJSFormat struct {
	enc               jose.ContentEncryption
	ivBytes, tagBytes int
	// named says that tokens name their key by kid, as version 5 does.
	named bool
	keys  []authJSKey
}

// authJSKey is a key. It holds a function, because fmt would print the bytes.
type authJSKey struct {
	// kid is the key's thumbprint (RFC 7638) with SHA-512.
	kid     string
	decrypt func(*jose.JSONWebEncryption) ([]byte, error)
}

func newAuthJSKey(key []byte) authJSKey {
	return authJSKey{thumbprint(key), func(e *jose.JSONWebEncryption) ([]byte, error) { return e.Decrypt(key) }}
}

// newAuthJSCookie derives the keys of a name from the secrets.
func newAuthJSCookie(name string, secrets []AuthJSSecret) (authJSCookie, error) {
	v5 := authJSFormat{enc: jose.A256CBC_HS512, ivBytes: 16, tagBytes: 32, named: true}
	v4 := authJSFormat{enc: jose.A256GCM, ivBytes: 12, tagBytes: 16}
	for _, secret := range secrets {
		key, err := hkdf.Key(sha256.New, secret.bytes(), []byte(name), "Auth.js Generated Encryption Key ("+name+")", 64)
		if err != nil {
			return authJSCookie{}, err
		}
		v5.keys = append(v5.keys, newAuthJSKey(key))
		if key, err = hkdf.Key(sha256.New, secret.bytes(), nil, "NextAuth.js Generated Encryption Key", 32); err != nil {
			return authJSCookie{}, err
		}
		v4.keys = append(v4.keys, newAuthJSKey(key))
	}
	c := authJSCookie{name: name}
	if !slices.Contains(authJS4Names, name) {
		c.formats = append(c.formats, v5)
	}
	if !slices.Contains(authJS5Names, name) {
		c.formats = append(c.formats, v4)
	}
	return c, nil
}

// thumbprint is that of a symmetric key: the hash of its required members in their order (RFC 7638 section 3).
func thumbprint(key []byte) string {
	sum := sha512.Sum512([]byte(`{"k":"` + base64.RawURLEncoding.EncodeToString(key) + `","kty":"oct"}`))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// open decrypts a token. There is exactly one spelling of a token that it takes: all parts must be base64url without padding and without
// bits left over, and of the lengths that they have. go-jose would also take an encrypted key where there can be none, and a tag that is longer
// at the cost of the ciphertext.
func (c authJSCookie) open(token string) ([]byte, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 5 {
		return nil, bad("not a compact JWE of five parts")
	}
	var decoded [5][]byte
	for i, part := range parts {
		var err error
		// The decoder skips line ends.
		if decoded[i], err = base64.RawURLEncoding.Strict().DecodeString(part); err != nil || strings.ContainsAny(part, "\r\n") {
			return nil, bad("not base64url in part %d of 5", i+1)
		}
	}
	header, err := readJWEHeader(decoded[0])
	if err != nil {
		return nil, err
	}
	f, ok := c.format(header.enc)
	switch {
	case !ok:
		return nil, bad("enc isn't what Auth.js encrypts a cookie of this name with")
	case len(decoded[1]) != 0:
		return nil, bad("an encrypted key where alg is dir")
	case len(decoded[2]) != f.ivBytes || len(decoded[4]) != f.tagBytes:
		return nil, bad("iv or tag of a wrong length")
	}
	keys := f.find(header)
	if len(keys) == 0 {
		return nil, bad("kid is of none of the secrets for this name: is the application's secret among them?")
	}
	encrypted, err := jose.ParseEncryptedCompact(token, []jose.KeyAlgorithm{jose.DIRECT}, []jose.ContentEncryption{f.enc})
	if err != nil {
		return nil, bad("not a compact JWE")
	}
	for _, k := range keys {
		if payload, err := k.decrypt(encrypted); err == nil {
			return payload, nil
		}
	}
	return nil, bad("doesn't decrypt with the secrets that there are")
}

func (c authJSCookie) format(enc jose.ContentEncryption) (authJSFormat, bool) {
	for _, f := range c.formats {
		if f.enc == enc {
			return f, true
		}
	}
	return authJSFormat{}, false
}

// find returns the keys that may have encrypted a token: the one that it names, or all if it names none.
func (f authJSFormat) find(h jweHeader) []authJSKey {
	if !h.hasKid {
		return f.keys
	}
	for i, k := range f.keys {
		if f.named && k.kid == h.kid {
			return f.keys[i : i+1]
		}
	}
	return nil
}

// jweHeader is what there may be in the protected header of Auth.js's tokens.
type jweHeader struct {
	enc    jose.ContentEncryption
	kid    string
	hasKid bool
}

// readJWEHeader refuses whatever isn't known. zip above all: the header can be trusted only after decryption, and what is decompressed then may
// be any number of times as long. go-jose would inflate up to 250 kB.
func readJWEHeader(raw []byte) (jweHeader, error) {
	var h jweHeader
	members := map[string]json.RawMessage{}
	// Names match exactly, and one that stands twice is an error.
	if json.Unmarshal(raw, &members) != nil {
		return h, bad("header isn't one JSON object without repetitions")
	}
	for name, value := range members {
		var text string
		if json.Unmarshal(value, &text) != nil || string(value) == "null" {
			return h, bad("header has a member that Auth.js doesn't write, or not so")
		}
		switch name {
		case "alg":
			if text != string(jose.DIRECT) {
				return h, bad("alg isn't dir")
			}
		case "enc":
			h.enc = jose.ContentEncryption(text)
		case "kid":
			h.kid, h.hasKid = text, true
		default:
			return h, bad("header has a member that Auth.js doesn't write")
		}
	}
	if _, ok := members["alg"]; !ok {
		return h, bad("alg is missing")
	}
	return h, nil
}

// joinCookie returns the token that a request's cookies hold under a name: in one, or in chunks name.0, name.1 and so on. "" means that there
// is none; empty cookies are none. headers are the request's Cookie headers.
func joinCookie(r *http.Request, headers []string, name string) (string, error) {
	// seen holds whether there is a cookie: 0 for that without a number, n+1 for chunk n.
	var seen [maxChunks + 1]bool
	n := 0
	for found := range cookieNames(headers) {
		if !strings.HasPrefix(found, name) {
			continue
		}
		i, ok := chunkIndex(found[len(name):])
		switch {
		case !ok:
			return "", bad("a cookie whose name begins like this and isn't one of at most %d chunks: Auth.js would take it for a part", maxChunks)
		case seen[i]:
			return "", bad("more than one cookie of the same name")
		}
		seen[i] = true
		n++
	}
	if n == 0 {
		return "", nil
	}
	var values [maxChunks + 1]string
	total := 0
	for _, c := range r.Cookies() {
		if !strings.HasPrefix(c.Name, name) {
			continue
		}
		// Names that net/http reads are among those above.
		if i, ok := chunkIndex(c.Name[len(name):]); ok {
			values[i] = c.Value
			total += len(c.Value)
			n--
		}
	}
	switch {
	case n != 0:
		return "", bad("malformed, or in a malformed header")
	case total > maxCookieBytes:
		return "", bad("longer than %d bytes", maxCookieBytes)
	case values[0] != "" && len(values[0]) != total:
		return "", bad("both whole and in chunks")
	case values[0] != "":
		return values[0], nil
	}
	joined := ""
	for i, chunk := range values[1:] {
		if chunk == "" {
			if joined = strings.Join(values[1:i+1], ""); len(joined) != total {
				return "", bad("chunk %d is missing", i)
			}
			return joined, nil
		}
	}
	return strings.Join(values[1:], ""), nil
}

// chunkIndex tells what stands behind the name in that of a cookie: nothing is 0, ".0" is 1 and so on.
func chunkIndex(suffix string) (int, bool) {
	if suffix == "" {
		return 0, true
	}
	digits, ok := strings.CutPrefix(suffix, ".")
	i, err := strconv.Atoi(digits)
	if !ok || err != nil || i < 0 || i >= maxChunks || strconv.Itoa(i) != digits {
		return 0, false
	}
	return i + 1, true
}
