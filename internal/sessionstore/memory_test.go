package sessionstore_test

import (
	"testing"

	"github.com/curfewhq/curfew/internal/sessionstore"
	"github.com/curfewhq/curfew/internal/sessionstore/sessionstoretest"
)

func TestMemory(t *testing.T) {
	sessionstoretest.Run(t, func(*testing.T) sessionstoretest.Opener {
		m := sessionstore.NewMemory()
		return func() sessionstore.Store { return m }
	})
}
