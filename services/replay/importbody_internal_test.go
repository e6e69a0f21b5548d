package replay

import (
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
)

// TestReadImportOfNothingButNewlines: a body that is refused for its lines isn't split first, which takes 24 bytes for each byte.
func TestReadImportOfNothingButNewlines(t *testing.T) {
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/import", strings.NewReader(strings.Repeat("\n", MaxImportBytes)))
	r.Header.Set("Content-Type", lineType)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, p := readImport(httptest.NewRecorder(), r)
	runtime.ReadMemStats(&after)
	// Reading takes some times its length, since nobody says how long it is.
	if took := after.TotalAlloc - before.TotalAlloc; p.Status != http.StatusRequestEntityTooLarge || took > 8*MaxImportBytes {
		t.Errorf("%d bytes were allocated: %+v", took, p)
	}
}

func TestReadImport(t *testing.T) {
	for body, want := range map[string]int{"": 0, "\n": 1, "a": 1, "a\n": 1, "a\nb": 2, "a\n\n": 2, strings.Repeat("a\n", MaxImportLines): MaxImportLines} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/import", strings.NewReader(body))
		r.Header.Set("Content-Type", lineType)
		if lines, p := readImport(httptest.NewRecorder(), r); p.Status != 0 || len(lines) != want {
			t.Errorf("%.10q: %d lines, %+v", body, len(lines), p)
		}
	}
}
