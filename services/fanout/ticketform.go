package fanout

import (
	"encoding/binary"
	"unique"
)

// ticketForm is the first byte of a ticket's body. A gateway refuses what is of another form, as of a later version: its tab gets a new ticket, and comes again.
const ticketForm = 1

// append appends a ticket's body: the form, three varints, and the length and bytes of each text. It is opaque to everybody but gateways, and read once for each
// conn, thousands of times in a second when all tabs come back: so it isn't JSON.
func (t ticket) append(b []byte) []byte {
	b = append(b, ticketForm)
	for _, n := range [...]int64{t.AuthTime, t.Expires, t.SessionExpires} {
		b = binary.AppendVarint(b, n)
	}
	for _, s := range [...]string{t.ID, t.Tenant, t.Origin, t.User, t.Session, t.Device, t.Client} {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	return b
}

// parseTicket reads what append has written, and nothing else. It returns errTicketForged, although only who has the key can have made another.
func parseTicket(body []byte) (ticket, error) {
	var t ticket
	if len(body) == 0 || body[0] != ticketForm {
		return ticket{}, errTicketForged
	}
	rest := body[1:]
	for _, n := range [...]*int64{&t.AuthTime, &t.Expires, &t.SessionExpires} {
		v, size := binary.Varint(rest)
		if size <= 0 {
			return ticket{}, errTicketForged
		}
		*n, rest = v, rest[size:]
	}
	for _, s := range [...]*string{&t.ID, &t.Tenant, &t.Origin} {
		var ok bool
		if *s, rest, ok = cutText(rest, nil); !ok {
			return ticket{}, errTicketForged
		}
	}
	// There are many conns of few tenants.
	t.Tenant = unique.Make(t.Tenant).Value()
	// What a conn remembers for as long as it is open is parts of one string.
	all := string(rest)
	for _, s := range [...]*string{&t.User, &t.Session, &t.Device, &t.Client} {
		var ok bool
		if *s, rest, ok = cutText(rest, &all); !ok {
			return ticket{}, errTicketForged
		}
	}
	if len(rest) > 0 {
		return ticket{}, errTicketForged
	}
	return t, nil
}

// cutText reads the length of a text and the text, which becomes part of all if that isn't nil: all ends where b does.
func cutText(b []byte, all *string) (text string, rest []byte, ok bool) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) {
		return "", nil, false
	}
	end := size + int(n)
	if all != nil {
		from := len(*all) - len(b)
		return (*all)[from+size : from+end], b[end:], true
	}
	return string(b[size:end]), b[end:], true
}
