package server

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/curfewhq/curfew/internal/config"
	"github.com/curfewhq/curfew/revocation/revocationhttp"
)

// newAuthJS returns the reader of Auth.js's cookies, or nil if none is configured.
func newAuthJS(c config.AuthJS) (*revocationhttp.AuthJS, error) {
	if len(c.SecretFiles) == 0 {
		return nil, nil
	}
	var secrets []revocationhttp.AuthJSSecret
	var errs []error
	for _, path := range c.SecretFiles {
		secret, err := readAuthJSSecret(path)
		if err != nil {
			errs = append(errs, fmt.Errorf("authjs.secret_files: %w", err))
		}
		secrets = append(secrets, secret)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	reader, err := revocationhttp.NewAuthJS(revocationhttp.AuthJSConfig{
		Secrets: secrets, CookieName: c.Cookie, TenantName: c.Tenant,
		Claims: revocationhttp.Claims{Session: c.ClaimSession, User: c.ClaimUser, Device: c.ClaimDevice, Client: c.ClaimClient},
	})
	if err != nil {
		return nil, fmt.Errorf("authjs: %w", err)
	}
	return reader, nil
}

// readAuthJSSecret reads a file with one secret on one line. White space around it would be part of the secret here and hardly anywhere else.
func readAuthJSSecret(path string) (revocationhttp.AuthJSSecret, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return revocationhttp.AuthJSSecret{}, err
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	switch {
	case text == "":
		return revocationhttp.AuthJSSecret{}, fmt.Errorf("%s is empty: it must hold the AUTH_SECRET of the application", path)
	case text != strings.TrimSpace(text) || strings.ContainsAny(text, "\r\n"):
		return revocationhttp.AuthJSSecret{}, fmt.Errorf("%s must hold one secret and nothing else, on one line, without white space around it", path)
	}
	return revocationhttp.NewAuthJSSecret(text), nil
}
