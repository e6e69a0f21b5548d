package revocationgrpc

import (
	"context"
	"strconv"
	"strings"

	"google.golang.org/grpc/metadata"
)

// PositionKey is the metadata key that makes a call wait until the replica knows of a publish: the position that the publish was answered with, in
// decimal ("read your logout").
const PositionKey = "curfew-position"

// positionOf returns the position that a call presents; 0 if there is none. One that isn't a decimal number, or stands there more than once (which
// of two counts would be anybody's guess), is ErrInvalidPosition, whose text holds nothing of the call.
func positionOf(ctx context.Context) (uint64, error) {
	values := metadata.ValueFromIncomingContext(ctx, PositionKey)
	switch len(values) {
	case 0:
		return 0, nil
	case 1:
		if position, err := strconv.ParseUint(values[0], 10, 64); err == nil {
			return position, nil
		}
	}
	return 0, ErrInvalidPosition
}

// Bearer returns the token of the call's metadata "authorization: Bearer …". It returns ErrNoSession if there is no such metadata, and
// ErrInvalidToken if it is of another scheme, empty, or there more than once. The token isn't verified.
func Bearer(ctx context.Context) (string, error) {
	values := metadata.ValueFromIncomingContext(ctx, "authorization")
	switch len(values) {
	case 0:
		return "", ErrNoSession
	case 1:
		if scheme, token, ok := strings.Cut(values[0], " "); ok && strings.EqualFold(scheme, "Bearer") && token != "" {
			return token, nil
		}
	}
	return "", ErrInvalidToken
}
