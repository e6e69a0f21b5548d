package revocationhttp

import (
	"net/http"
	"strconv"
)

// PositionHeader is the request header that makes a request wait until the replica knows of a publish: the position that the publish was
// answered with, in decimal ("read your logout"). A client shows it for as long as a replica may not have got there, a minute say, and then lets it
// go: a stream that was made anew counts from 1 again, and a position that lies ahead of it is answered with 503.
const PositionHeader = "Curfew-Position"

// PositionOf returns the position that a request presents in the header Curfew-Position, and whether the header is there at all: without it
// the position is 0 and the error nil. A header that isn't one decimal number, or that stands there more than once (which of two counts
// would be anybody's guess), is ErrInvalidPosition, whose text holds nothing of the request.
func PositionOf(r *http.Request) (position uint64, present bool, err error) {
	values := r.Header.Values(PositionHeader)
	if len(values) == 0 {
		return 0, false, nil
	}
	if len(values) > 1 {
		return 0, true, ErrInvalidPosition
	}
	position, err = strconv.ParseUint(values[0], 10, 64)
	if err != nil {
		return 0, true, ErrInvalidPosition // the number's own error quotes the header
	}
	return position, true, nil
}
