package logtext

import (
	"bytes"
	"strings"
	"sync"
	"testing"

	"github.com/sirupsen/logrus"
)

// Buffer is a log's text. Its zero value is empty. It is safe for concurrent use, also while the log is written, which a logger's own lock doesn't see to.
type Buffer struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

// Write adds p. It never fails.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// String returns what was written until now.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// Logger returns a logger that adds everything, whatever its level.
func (b *Buffer) Logger() *logrus.Logger {
	log := logrus.New()
	log.SetOutput(b)
	log.SetLevel(logrus.TraceLevel)
	return log
}

// Never fails the test if the log holds one of the secrets when what was started later than this has been stopped.
func (b *Buffer) Never(t testing.TB, secrets ...string) {
	t.Helper()
	t.Cleanup(func() {
		said := b.String()
		for _, secret := range secrets {
			if strings.Contains(said, secret) {
				t.Errorf("the log holds an id or a secret: %s", said)
			}
		}
	})
}
