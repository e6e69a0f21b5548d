package bus

import (
	"fmt"
	"strings"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
)

const (
	// MsgIDKey is the metadata key of the message id by which a stream stores a message once. Without it the message's UUID
	// is the id. Ids count for the whole stream: whoever guesses one suppresses somebody else's message.
	MsgIDKey = "Nats-Msg-Id"
	// UUIDHeader is the header in which a Watermill message's UUID travels if it isn't the message id.
	UUIDHeader = "Curfew-Message-Uuid"

	// reservedPrefix begins the headers that NATS obeys: roll-ups, TTLs, expectations, traces.
	reservedPrefix = "nats-"
	// statusHeader on a message without payload makes nats.go take it for a note from the server and swallow it.
	statusHeader = "status"
)

// Marshal gives a Watermill message its form on NATS: the payload as it is, metadata as headers (values trimmed of outer
// white space, as in HTTP), and the UUID as the message id, or in UUIDHeader if metadata has another one. It returns ErrInvalid for a topic that isn't one,
// for metadata that NATS would obey, and for metadata that isn't a header. The payload is shared, not copied.
func Marshal(topic string, msg *message.Message) (*nats.Msg, error) {
	if msg == nil {
		return nil, fmt.Errorf("%w: it is nil", ErrInvalid)
	}
	if err := checkTopic(topic); err != nil {
		return nil, err
	}
	header := make(nats.Header, len(msg.Metadata)+2)
	for key, value := range msg.Metadata {
		if err := checkMetadata(key, value); err != nil {
			return nil, err
		}
		header[key] = []string{value}
	}
	if err := checkHeaderValue(UUIDHeader, msg.UUID); err != nil {
		return nil, err
	}
	if msg.UUID == "" {
		return &nats.Msg{Subject: topic, Header: header, Data: msg.Payload}, nil
	}
	if id, ok := header[MsgIDKey]; !ok {
		header[MsgIDKey] = []string{msg.UUID}
	} else if id[0] != msg.UUID {
		header[UUIDHeader] = []string{msg.UUID}
	}
	return &nats.Msg{Subject: topic, Header: header, Data: msg.Payload}, nil
}

// Unmarshal is the inverse of Marshal. It never fails: what others publish may look different. Values of a header that
// occurs several times are joined with ", ". Headers that NATS obeys are left out, so that the message can be published
// again; the message id stays as MsgIDKey where it isn't the UUID. Without UUIDHeader the UUID is the message id, or empty.
func Unmarshal(header nats.Header, payload []byte) *message.Message {
	msg := message.NewMessage(strings.Join(header[UUIDHeader], ", "), payload)
	msgID := strings.Join(header[MsgIDKey], ", ")
	for key, values := range header {
		if key == UUIDHeader || reserved(key) {
			continue
		}
		msg.Metadata[key] = strings.Join(values, ", ")
	}
	switch {
	case msg.UUID == "":
		msg.UUID = msgID
	case msgID != "" && msgID != msg.UUID:
		msg.Metadata[MsgIDKey] = msgID
	}
	return msg
}

// checkTopic refuses what NATS takes for a pattern, and what it would misread.
func checkTopic(topic string) error {
	if topic == "" || strings.ContainsAny(topic, " \t\r\n\x00*>") || strings.HasPrefix(topic, ".") || strings.HasSuffix(topic, ".") || strings.Contains(topic, "..") {
		return fmt.Errorf("%w: %q isn't a topic to publish to", ErrInvalid, topic)
	}
	if strings.HasPrefix(topic, "$") {
		return fmt.Errorf("%w: %q belongs to the server", ErrInvalid, topic)
	}
	return nil
}

func checkMetadata(key, value string) error {
	if key != MsgIDKey && (reserved(key) || strings.EqualFold(key, UUIDHeader) || strings.EqualFold(key, statusHeader)) {
		return fmt.Errorf("%w: metadata %q is reserved", ErrInvalid, key)
	}
	if !headerName(key) {
		return fmt.Errorf("%w: metadata key %q isn't a header name", ErrInvalid, key)
	}
	if key == MsgIDKey && value == "" {
		return fmt.Errorf("%w: the message id is empty", ErrInvalid)
	}
	return checkHeaderValue(key, value)
}

// checkHeaderValue refuses line breaks, with which a value could add headers of its own (CWE-113).
func checkHeaderValue(key, value string) error {
	if strings.ContainsAny(value, "\r\n\x00") {
		return fmt.Errorf("%w: metadata %q has a line break", ErrInvalid, key)
	}
	return nil
}

func reserved(key string) bool {
	return len(key) >= len(reservedPrefix) && strings.EqualFold(key[:len(reservedPrefix)], reservedPrefix)
}

// headerName reports whether key is a token of RFC 9110 §5.6.2.
func headerName(key string) bool {
	if key == "" {
		return false
	}
	for i := range len(key) {
		c := key[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return true
}
