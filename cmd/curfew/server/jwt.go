package server

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"github.com/go-jose/go-jose/v4"

	"github.com/curfewhq/curfew/internal/config"
	"github.com/curfewhq/curfew/revocation/revocationhttp"
)

// newJWT returns the reader of callers' tokens, or nil if none is configured.
func newJWT(c config.JWT) (*revocationhttp.JWT, error) {
	if len(c.Algorithms) == 0 {
		return nil, nil
	}
	keys, err := keySource(c)
	if err != nil {
		return nil, err
	}
	algorithms := make([]jose.SignatureAlgorithm, len(c.Algorithms))
	for i, a := range c.Algorithms {
		algorithms[i] = jose.SignatureAlgorithm(a)
	}
	jwt, err := revocationhttp.NewJWT(revocationhttp.JWTConfig{
		Algorithms: algorithms, Keys: keys, Issuer: c.Issuer, Audience: c.Audience, Cookie: c.Cookie, TenantName: c.Tenant,
		DangerouslyUseIssuedAt: c.DangerouslyUseIssuedAt,
		Claims:                 revocationhttp.Claims{Session: c.ClaimSession, User: c.ClaimUser, Device: c.ClaimDevice, Client: c.ClaimClient},
	})
	if err != nil {
		return nil, fmt.Errorf("jwt: %w", err)
	}
	return jwt, nil
}

func keySource(c config.JWT) (revocationhttp.KeySource, error) {
	switch {
	case c.JWKSURL != "":
		return revocationhttp.JWKS(revocationhttp.JWKSConfig{URL: c.JWKSURL}), nil
	case c.JWKSFile != "":
		set, err := os.ReadFile(c.JWKSFile)
		if err != nil {
			return nil, fmt.Errorf("jwt.jwks_file: %w", err)
		}
		return revocationhttp.StaticJWKS(set), nil
	}
	b, err := os.ReadFile(c.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("jwt.key_file: %w", err)
	}
	key, err := parseKey(b)
	if err != nil {
		return nil, fmt.Errorf("jwt.key_file: %w", err)
	}
	return revocationhttp.StaticKey(key), nil
}

// parseKey reads a PEM public key or certificate; anything that isn't PEM is a shared secret.
func parseKey(b []byte) (any, error) {
	block, _ := pem.Decode(b)
	if block == nil {
		return bytes.TrimRight(b, "\r\n"), nil
	}
	switch block.Type {
	case "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		return x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		return cert.PublicKey, nil
	}
	return nil, errors.New("holds a PEM block that is no public key: give the issuer's public key")
}
