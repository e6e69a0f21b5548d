package fanout

import (
	"encoding/binary"
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
	for _, s := range [...]string{t.ID, t.Tenant, t.User, t.Session, t.Device, t.Client, t.Origin} {
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
	// One string, of which the texts are parts.
	rest := body[1:]
	for _, n := range [...]*int64{&t.AuthTime, &t.Expires, &t.SessionExpires} {
		v, size := binary.Varint(rest)
		if size <= 0 {
			return ticket{}, errTicketForged
		}
		*n, rest = v, rest[size:]
	}
	all, at := string(rest), 0
	for _, s := range [...]*string{&t.ID, &t.Tenant, &t.User, &t.Session, &t.Device, &t.Client, &t.Origin} {
		n, size := binary.Uvarint(rest[at:])
		if size <= 0 || n > uint64(len(all)-at-size) {
			return ticket{}, errTicketForged
		}
		at += size
		*s = all[at : at+int(n)]
		at += int(n)
	}
	if at != len(all) {
		return ticket{}, errTicketForged
	}
	return t, nil
}
