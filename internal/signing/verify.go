package signing

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
)

// What Verify returns for a token that isn't to be believed.
var (
	// ErrMalformed: it is no JWS in compact form with one signature by EdDSA.
	ErrMalformed = errors.New("it is no signature in the form of a compact JWS by EdDSA")
	// ErrType: it was signed as something else.
	ErrType = errors.New("it was signed as something else")
	// ErrUnknownKey: it names a key that isn't among those given.
	ErrUnknownKey = errors.New("it is signed with a key that isn't among those given")
	// ErrSignature: the key hasn't signed this.
	ErrSignature = errors.New("the signature doesn't fit")
)

// ErrKeys is returned by ParsePublic.
var ErrKeys = errors.New("these are no public Ed25519 keys in the form of a JWK set")

// Verify returns the payload of a token that one of the keys has signed as typ, and which one that was. It returns ErrMalformed, ErrType, ErrUnknownKey or ErrSignature.
func Verify(keys jose.JSONWebKeySet, typ, token string) (payload []byte, kid string, err error) {
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil || len(signed.Signatures) != 1 {
		return nil, "", ErrMalformed
	}
	header := signed.Signatures[0].Protected
	if got, _ := header.ExtraHeaders[jose.HeaderType].(string); got != typ {
		return nil, header.KeyID, fmt.Errorf("%w: want %q", ErrType, typ)
	}
	candidates := keys.Key(header.KeyID)
	if header.KeyID == "" || len(candidates) == 0 {
		return nil, header.KeyID, ErrUnknownKey
	}
	for _, k := range candidates {
		if payload, err := signed.Verify(k); err == nil {
			return payload, header.KeyID, nil
		}
	}
	return nil, header.KeyID, ErrSignature
}

// ParsePublic reads public keys from a JWK set, as Public's are when encoded. It returns ErrKeys.
func ParsePublic(data []byte) (jose.JSONWebKeySet, error) {
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(data, &set); err != nil || len(set.Keys) == 0 {
		return jose.JSONWebKeySet{}, ErrKeys
	}
	for _, k := range set.Keys {
		if !k.Valid() || !k.IsPublic() || k.KeyID == "" || k.Algorithm != string(jose.EdDSA) {
			return jose.JSONWebKeySet{}, ErrKeys
		}
	}
	return set, nil
}
