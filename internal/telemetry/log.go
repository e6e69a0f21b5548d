package telemetry

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/term"
)

// Fields of log lines.
const (
	FieldComponent   = "component"
	FieldTenant      = "tenant"
	FieldEvent       = "event_id"
	FieldType        = "type"
	FieldPosition    = "position"
	FieldSessionHash = "session_hash"
	FieldUserHash    = "user_hash"
	FieldKey         = "key_id"
	FieldCode        = "code"
	FieldReason      = "reason"
	FieldHint        = "hint"
	FieldDuration    = "duration_ms"
	FieldRequests    = "requests"
	FieldReplay      = "replay"
	FieldTarget      = "target"
	FieldState       = "state"
	FieldSent        = "sent"
	FieldPanic       = "panic"
	FieldStack       = "stack"
)

// NewLogger returns a logger that writes to w. format is json, text, or auto: text where w is a terminal and JSON elsewhere. level is
// error, warning, info, debug or trace. Times are UTC; in JSON they are RFC 3339 with nanoseconds.
func NewLogger(w io.Writer, format, level string) (*logrus.Logger, error) {
	lvl, err := logrus.ParseLevel(level)
	// panic and fatal would hide the error lines, which mean that a human must act.
	if err != nil || lvl < logrus.ErrorLevel {
		return nil, errors.New("log_level: want one of error, warning, info, debug, trace")
	}
	l := logrus.New()
	l.SetOutput(w)
	l.SetLevel(lvl)
	if format == "auto" {
		format = "json"
		if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
			format = "text"
		}
	}
	switch format {
	case "json":
		l.SetFormatter(utc{&logrus.JSONFormatter{TimestampFormat: time.RFC3339Nano, FieldMap: logrus.FieldMap{logrus.FieldKeyTime: "ts"}}})
	case "text":
		l.SetFormatter(utc{&logrus.TextFormatter{FullTimestamp: true, TimestampFormat: "15:04:05.000"}})
	default:
		return nil, errors.New("log_format: want auto, json or text")
	}
	return l, nil
}

type utc struct{ logrus.Formatter }

func (u utc) Format(e *logrus.Entry) ([]byte, error) {
	e.Time = e.Time.UTC()
	return u.Formatter.Format(e)
}

// Hasher turns ids into short keyed hashes for logs (ASVS 16.2.5): the same id gives the same hash within a deployment, and nobody without
// the key can test a guess. It is safe for concurrent use. The zero Hasher, which has no key, hashes nothing.
type Hasher struct{ key []byte }

// NewHasher returns a hasher with the deployment's key, which should hold at least 16 random bytes. It keeps a copy.
func NewHasher(key []byte) Hasher { return Hasher{key: bytes.Clone(key)} }

// ID returns 16 hex digits, or "" for an empty id. kind keeps a user and a session of the same id apart. Without a key it returns "": an
// unkeyed hash is as good as the id to whoever guesses it.
func (h Hasher) ID(tenant, kind, id string) string {
	if id == "" || len(h.key) == 0 {
		return ""
	}
	mac := hmac.New(sha256.New, h.key)
	for _, part := range []string{tenant, kind, id} {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(part)))
		mac.Write(n[:])
		mac.Write([]byte(part))
	}
	return hex.EncodeToString(mac.Sum(nil)[:8])
}
