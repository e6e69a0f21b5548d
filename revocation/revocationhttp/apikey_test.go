package revocationhttp_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/curfewhq/curfew/revocation/revocationhttp"
)

// A key shows in nothing that it is written with, wherever it stands.
func TestAPIKeyNeverPrints(t *testing.T) {
	key := revocationhttp.NewAPIKey(keyText)
	cfg := revocationhttp.GateConfig{URL: "https://curfew.example.com", Keys: map[string]revocationhttp.APIKey{"default": key}}
	gate := newGate(t, nil, nil)
	type nested struct {
		hidden revocationhttp.APIKey
		ptr    *revocationhttp.APIKey
		Open   revocationhttp.APIKey
	}
	things := []any{
		key, &key, cfg, &cfg, gate, nested{key, &key, key}, &nested{key, &key, key}, []revocationhttp.APIKey{key},
		map[string]any{"key": key}, revocationhttp.Policy{Ask: gate}, revocationhttp.Config{Policy: revocationhttp.Policy{Ask: gate}},
	}
	var written strings.Builder
	for _, thing := range things {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p", "%t", "%c", "%U", "%e", "%10.3s"} {
			fmt.Fprintf(&written, verb+"\n", thing)
		}
		fmt.Fprintln(&written, thing)
		if b, err := json.Marshal(thing); err == nil {
			written.Write(b)
		}
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("key", "key", thing)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("key", "key", thing)
		written.Write(log.Bytes())
	}
	for _, form := range []string{keyText, fmt.Sprintf("%x", keyText), fmt.Sprintf("%X", keyText), strings.Trim(fmt.Sprint([]byte(keyText)), "[]")} {
		if i := strings.Index(written.String(), form); i >= 0 {
			t.Errorf("a key shows: …%s", written.String()[max(i-60, 0):i+20])
		}
	}
	if got := fmt.Sprint(key); got != "(api key)" {
		t.Errorf("a key shows as %q", got)
	}
	if b, err := json.Marshal(key); err != nil || string(b) != `"(api key)"` {
		t.Errorf("a key is marshalled to %s, %v", b, err)
	}
}
