package revocationhttp_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/curfewhq/curfew/revocation/revocationhttp"
)

func signRS256(t testing.TB, key *rsa.PrivateKey, input string) []byte {
	t.Helper()
	sum := sha256.Sum256([]byte(input))
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// encrypted returns a text as a JWE.
func encrypted(t testing.TB, to jose.Recipient, enc jose.ContentEncryption, zip jose.CompressionAlgorithm, text string) string {
	t.Helper()
	e, err := jose.NewEncrypter(enc, to, &jose.EncrypterOptions{Compression: zip})
	if err != nil {
		t.Fatal(err)
	}
	obj, err := e.Encrypt([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	token, err := obj.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// Where the token is looked for, and where not.
func TestBearer(t *testing.T) {
	token := signRaw(t, jose.RS256, issuerKey(), "", with(nil))
	other := signRaw(t, jose.RS256, issuerKey(), "", with(map[string]any{"sid": "s2"}))
	none, bad := revocationhttp.ErrNoSession, revocationhttp.ErrInvalidToken
	for _, tc := range []struct {
		name    string
		cookie  string // the configured name
		url     string
		headers http.Header
		want    error
	}{
		{name: "header", headers: http.Header{"Authorization": {"Bearer " + token}}},
		{name: "scheme in other case", headers: http.Header{"Authorization": {"bEARER  " + token + " "}}},
		{name: "nothing", want: none},
		{name: "other scheme", headers: http.Header{"Authorization": {"Basic dTpw"}}, want: none},
		{name: "query", url: "/?access_token=" + token, want: none},
		{name: "no token", headers: http.Header{"Authorization": {"Bearer"}}, want: bad},
		{name: "two headers", headers: http.Header{"Authorization": {"Bearer " + token, "Bearer " + token}}, want: bad},
		{name: "two schemes", headers: http.Header{"Authorization": {"Basic dTpw", "Bearer " + token}}, want: bad},
		{name: "two tokens", headers: http.Header{"Authorization": {"Bearer " + token + ", Bearer " + token}}, want: bad},
		{name: "cookie that isn't configured", headers: http.Header{"Cookie": {"t=" + token}}, want: none},
		{name: "cookie", cookie: "t", headers: http.Header{"Cookie": {"a=b; t=" + token}}},
		{name: "empty cookie", cookie: "t", headers: http.Header{"Cookie": {"t="}}, want: none},
		{name: "cookie beside another scheme", cookie: "t", headers: http.Header{"Authorization": {"Basic dTpw"}, "Cookie": {"t=" + token}}},
		{name: "a bad header isn't mended by a cookie", cookie: "t", headers: http.Header{"Authorization": {"Bearer x"}, "Cookie": {"t=" + token}}, want: bad},
		{name: "a good header doesn't hide another cookie", cookie: "t", headers: http.Header{"Authorization": {"Bearer " + token}, "Cookie": {"t=" + other}}, want: bad},
		{name: "a good header doesn't hide a bad cookie", cookie: "t", headers: http.Header{"Authorization": {"Bearer " + token}, "Cookie": {"t=x"}}, want: bad},
		{name: "nor one that net/http drops", cookie: "t", headers: http.Header{"Authorization": {"Bearer " + token}, "Cookie": {`t="\145"`}}, want: bad},
		{name: "nor does an empty one", cookie: "t", headers: http.Header{"Authorization": {"Bearer"}, "Cookie": {"t=" + token}}, want: bad},
		{name: "header and cookie with the same token", cookie: "t", headers: http.Header{"Authorization": {"Bearer " + token}, "Cookie": {"t=" + token}}},
		{name: "header and an empty cookie", cookie: "t", headers: http.Header{"Authorization": {"Bearer " + token}, "Cookie": {"t="}}},
		{name: "header and a cookie that isn't configured", headers: http.Header{"Authorization": {"Bearer " + token}, "Cookie": {"t=" + other}}},
		{name: "header and another cookie", cookie: "t", headers: http.Header{"Authorization": {"Bearer " + token}, "Cookie": {"tt=" + other + "; u=t"}}},
		{name: "header and two cookies", cookie: "t", headers: http.Header{"Authorization": {"Bearer " + token}, "Cookie": {"t=" + token + "; t=" + token}}, want: bad},
		{name: "quoted cookie", cookie: "t", headers: http.Header{"Cookie": {`t="` + token + `"`}}},
		{name: "the value of another cookie holds the name", cookie: "t", headers: http.Header{"Cookie": {"a=t=; t=" + token}}},
		{name: "a second cookie in quotes", cookie: "t", headers: http.Header{"Cookie": {"t=" + token + `; t="` + other + `"`}}, want: bad},
		{name: "a second cookie with octal escapes", cookie: "t", headers: http.Header{"Cookie": {"t=" + token + `; t="\145` + other[1:] + `"`}}, want: bad},
		{name: "a first cookie with octal escapes", cookie: "t", headers: http.Header{"Cookie": {`t="\145` + other[1:] + `"; t=` + token}}, want: bad},
		{name: "a second cookie in a second header", cookie: "t", headers: http.Header{"Cookie": {"t=" + token, `t="\145"`}}, want: bad},
		{name: "a second cookie with white space", cookie: "t", headers: http.Header{"Cookie": {"t=" + token + "; t = " + other}}, want: bad},
		{name: "a second cookie after a tab", cookie: "t", headers: http.Header{"Cookie": {"t=" + token + ";\tt=" + other}}, want: bad},
		{name: "a second cookie after a space of Latin-1", cookie: "t", headers: http.Header{"Cookie": {"t=" + token + ";\xa0t=" + other}}, want: bad},
		{name: "a second cookie before a space of Unicode", cookie: "t", headers: http.Header{"Cookie": {"t=" + token + "; t\u00a0=" + other}}, want: bad},
		{name: "a second cookie after a comma", cookie: "t", headers: http.Header{"Cookie": {"t=" + token + ", t=" + other}}, want: bad},
		{name: "a second cookie within quotes", cookie: "t", headers: http.Header{"Cookie": {`a="x; t=` + other + `"; t=` + token}}, want: bad},
		{name: "a second cookie without a value", cookie: "t", headers: http.Header{"Cookie": {"t=" + token + "; t"}}, want: bad},
		{name: "a second cookie, empty", cookie: "t", headers: http.Header{"Cookie": {"t=" + token + "; t="}}, want: bad},
		{name: "only one that net/http drops", cookie: "t", headers: http.Header{"Cookie": {`t="\145` + token[1:] + `"`}}, want: bad},
		{name: "two cookies", cookie: "t", headers: http.Header{"Cookie": {"t=" + token + "; t=" + token}}, want: bad},
		{name: "cookie of another case", cookie: "t", headers: http.Header{"Cookie": {"T=" + token}}, want: none},
	} {
		t.Run(tc.name, func(t *testing.T) {
			j := newJWT(t, func(c *revocationhttp.JWTConfig) { c.Cookie = tc.cookie })
			url := tc.url
			if url == "" {
				url = "/"
			}
			r := httptest.NewRequest(http.MethodPost, url, nil)
			for name, values := range tc.headers {
				r.Header[name] = values
			}
			s, err := j.Session(r)
			if !errors.Is(err, tc.want) || (err == nil) != (s.ID == "s1") {
				t.Errorf("Session = %+v, %v, want %v", s, err, tc.want)
			}
		})
	}
}

func FuzzBearer(f *testing.F) {
	token := signRaw(f, jose.RS256, issuerKey(), "", with(nil))
	for _, seed := range []string{"", "Bearer " + token, "Bearer ..", "bearer " + token + ".", "Basic x", "Bearer\x00"} {
		f.Add(seed, "t="+token)
		f.Add(seed, "t=x; t=y")
	}
	j := newJWT(f, func(c *revocationhttp.JWTConfig) { c.Cookie = "t" })
	f.Fuzz(func(t *testing.T, authorization, cookie string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["Authorization"] = []string{authorization}
		r.Header["Cookie"] = []string{cookie}
		checkSession(t, func() (string, error) {
			s, err := j.Session(r)
			return s.ID, err
		})
	})
}

// FuzzJWT signs what it is given, so that it gets behind the signature.
func FuzzJWT(f *testing.F) {
	secret := make([]byte, 32)
	for _, seed := range []string{with(nil), "{}", "null", `{"exp":1e999}`, `{"sid":{}}`, `{"auth_time":-0.0}`, `{"auth_time":1.}`, `{"aud":[[]]}`} {
		f.Add(`{"alg":"HS256"}`, seed)
		f.Add(`{"alg":"HS256","kid":"\ud800","crit":[]}`, seed)
	}
	j := newJWT(f, func(c *revocationhttp.JWTConfig) {
		c.Algorithms, c.Keys = []jose.SignatureAlgorithm{jose.HS256}, revocationhttp.StaticKey(secret)
		c.Issuer, c.Audience = "", nil
	})
	f.Fuzz(func(t *testing.T, header, payload string) {
		checkSession(t, func() (string, error) {
			s, exp, err := j.Parse(t.Context(), signRaw(t, jose.HS256, secret, header, payload))
			if err == nil && exp.IsZero() {
				t.Error("a token without exp passes")
			}
			return s.ID, err
		})
	})
}

func checkSession(t *testing.T, read func() (string, error)) {
	t.Helper()
	sid, err := read()
	switch {
	case err != nil && sid != "":
		t.Errorf("a session %q with an error", sid)
	case err != nil && !errors.Is(err, revocationhttp.ErrInvalidToken) && !errors.Is(err, revocationhttp.ErrNoSession):
		t.Errorf("unexpected error %v", err)
	}
}
