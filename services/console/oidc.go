package console

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/curfewhq/curfew/internal/access"
)

// OIDC is a provider and whom it lets in. All members are required but Secret and Scopes.
type OIDC struct {
	Issuer, ClientID, RedirectURL string
	// Secret is the client's; empty for a public client.
	Secret string
	// Scopes are asked for beside openid.
	Scopes []string
	// Claim decides: a text, or a list of texts. Where it is email, email_verified must be true.
	Claim string
	// Operators and Admins: value of the claim → tenant. Whoever has a value of both is an operator.
	Operators, Admins map[string]string
}

var (
	// errProvider is returned when the provider couldn't be asked, or gave no answer that can be used.
	errProvider = errors.New("the provider's answer can't be used")
	// errNotGranted is returned when the provider has told who it is, and nothing is configured for him.
	errNotGranted = errors.New("nothing is granted to whom the provider has named")
)

func (p *provider) oauth2(found *oidc.Provider) *oauth2.Config {
	return &oauth2.Config{
		ClientID: p.cfg.ClientID, ClientSecret: p.cfg.Secret, RedirectURL: p.cfg.RedirectURL, Endpoint: found.Endpoint(), Scopes: append([]string{oidc.ScopeOpenID}, p.cfg.Scopes...),
	}
}

// authorize returns where the browser goes to. It returns errProvider.
func (p *provider) authorize(ctx context.Context, f flow) (string, error) {
	found, err := p.discover(ctx)
	if err != nil {
		return "", err
	}
	return p.oauth2(found).AuthCodeURL(f.State, oidc.Nonce(f.Nonce), oauth2.S256ChallengeOption(f.Verifier)), nil
}

// redeem exchanges a code for who it is. It returns errProvider or errNotGranted.
func (p *provider) redeem(ctx context.Context, f flow, code string) (person, error) {
	found, err := p.discover(ctx)
	if err != nil {
		return person{}, err
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, p.client), providerTimeout)
	defer cancel()
	token, err := p.oauth2(found).Exchange(ctx, code, oauth2.VerifierOption(f.Verifier))
	if err != nil {
		return person{}, fmt.Errorf("%w: %w", errProvider, withoutBody(err))
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return person{}, fmt.Errorf("%w: there is no ID token in it", errProvider)
	}
	id, err := found.VerifierContext(ctx, &oidc.Config{ClientID: p.cfg.ClientID}).Verify(ctx, raw)
	if err != nil {
		return person{}, fmt.Errorf("%w: the ID token isn't valid", errProvider)
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(f.Nonce)) != 1 {
		return person{}, fmt.Errorf("%w: the ID token is another sign-in's", errProvider)
	}
	var claims map[string]any
	if err := id.Claims(&claims); err != nil {
		return person{}, fmt.Errorf("%w: the claims can't be read", errProvider)
	}
	value, ok := p.granted(claims)
	if !ok {
		return person{}, errNotGranted
	}
	return person{Issuer: id.Issuer, Subject: id.Subject, Name: nameOf(claims, id.Subject), Value: value}, nil
}

// withoutBody leaves out what the provider wrote beyond its error's code: the body of a token endpoint's answer has no place in a log.
func withoutBody(err error) error {
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) {
		return fmt.Errorf("the token endpoint answered %d %q", refused.Response.StatusCode, refused.ErrorCode)
	}
	return errors.New("the token endpoint can't be reached")
}

// granted returns the value of the claim that gives most.
func (p *provider) granted(claims map[string]any) (string, bool) {
	if p.cfg.Claim == "email" && claims["email_verified"] != true {
		return "", false
	}
	var values []string
	switch v := claims[p.cfg.Claim].(type) {
	case string:
		values = []string{v}
	case []any:
		for _, one := range v {
			if text, ok := one.(string); ok {
				values = append(values, text)
			}
		}
	}
	for _, grants := range []map[string]string{p.cfg.Operators, p.cfg.Admins} {
		for _, v := range values {
			if _, ok := grants[v]; ok {
				return v, true
			}
		}
	}
	return "", false
}

// nameOf returns what to call somebody.
func nameOf(claims map[string]any, subject string) string {
	for _, name := range []string{"name", "preferred_username", "email"} {
		if text, ok := claims[name].(string); ok && text != "" && len(text) <= 100 {
			return text
		}
	}
	return subject
}

// keyOf returns what stands for the API key of somebody whom the provider has named, by what is configured now.
func (p *provider) keyOf(who person) (access.Key, bool) {
	if who.Issuer != p.cfg.Issuer {
		return access.Key{}, false
	}
	sum := sha256.Sum256([]byte(who.Issuer + "\x00" + who.Subject))
	key := access.Key{ID: "oidc-" + hex.EncodeToString(sum[:8]), Name: who.Name, Scopes: access.Scopes()}
	if tenant, ok := p.cfg.Operators[who.Value]; ok {
		key.Tenant = tenant
		return key, true
	}
	if tenant, ok := p.cfg.Admins[who.Value]; ok {
		key.Tenant = tenant
		key.Scopes = slices.DeleteFunc(key.Scopes, func(s access.Scope) bool { return s == access.ScopeOperator })
		return key, true
	}
	return access.Key{}, false
}
