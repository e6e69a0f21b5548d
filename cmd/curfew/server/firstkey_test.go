package server_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/cmd/curfew/server"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/natstest"
)

// keyIn returns the key in a data folder's file, which must be private and hold a key that s knows.
func keyIn(t *testing.T, s *server.Server, dir string) access.Key {
	t.Helper()
	path := server.AdminKeyPath(dir)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v, want mode 0600", info, err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text, ok := access.ParseText(strings.TrimSpace(string(b)))
	if !ok {
		t.Fatal("the file holds no key")
	}
	// Another process may have made it, of which this one hears within milliseconds.
	var key access.Key
	await(t, "the file's key works", func() (ok bool) { key, ok = s.Keys().Lookup(text); return ok })
	return key
}

func TestFirstKeyHasEveryScope(t *testing.T) {
	cfg := testConfig(t)
	key := keyIn(t, start(t, cfg), cfg.DataDir)
	if diff := cmp.Diff(access.Scopes(), key.Scopes); diff != "" || key.Tenant != "default" {
		t.Errorf("tenant %s, scopes %s", key.Tenant, diff)
	}
}

// Who had revoked the last operator key, or lost its file to a crash before the key was stored, had no way back.
func TestFirstKeyIsMadeAgain(t *testing.T) {
	cfg := testConfig(t)
	s := start(t, cfg)
	first := keyIn(t, s, cfg.DataDir)
	if _, err := s.Keys().Revoke(t.Context(), first.ID); err != nil {
		t.Fatal(err)
	}
	// An admin's key, such as the first one of earlier versions, doesn't manage the other tenants'.
	newKey(t, s, "default", access.ScopeAdmin)
	stop(t, s)
	// What a crash between the two steps leaves.
	if err := os.WriteFile(server.AdminKeyPath(cfg.DataDir), []byte("cfw_0123456789abcdef_"+strings.Repeat("0", 64)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = start(t, cfg)
	if second := keyIn(t, s, cfg.DataDir); second.ID == first.ID || !second.Has(access.ScopeOperator) || s.AdminKeyFile() == "" {
		t.Errorf("got %+v", second)
	}
}

// A start that couldn't write the file left a key that nobody had, and one without a folder left none.
func TestStartRefusesToBeWithoutOperator(t *testing.T) {
	nats := natstest.Start(t)
	cfg := testConfig(t)
	cfg.NATS.URL = nats.URL()
	notAFolder := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(notAFolder, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	taken := t.TempDir()
	if err := os.MkdirAll(filepath.Join(server.AdminKeyPath(taken), "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"", notAFolder, taken} {
		bad := cfg
		bad.DataDir = dir
		if _, err := try(t, bad); err == nil || !strings.Contains(err.Error(), "data_dir: there is no live key with the scope operator") {
			t.Errorf("%q: got %v", dir, err)
		}
	}
	if left, err := os.ReadDir(taken); err != nil || len(left) != 1 {
		t.Errorf("the refused start left %v, %v", left, err)
	}
	s := start(t, cfg)
	key := keyIn(t, s, cfg.DataDir)
	if diff := cmp.Diff([]access.Key{key}, s.Keys().List()); diff != "" {
		t.Error("a refused start has stored a key:", diff)
	}
	// With one that is live somewhere, none has to be written.
	for _, dir := range []string{"", taken} {
		other := cfg
		other.DataDir, other.AdminListen = dir, ""
		if got := start(t, other).AdminKeyFile(); got != "" {
			t.Errorf("%q: another key was made: %s", dir, got)
		}
	}
}

// Processes that start at once, each with a folder of its own or all with the same, end with files whose keys are good.
func TestFirstKeyRace(t *testing.T) {
	for name, dirs := range map[string][]string{"own folders": {t.TempDir(), t.TempDir()}, "one folder": make([]string, 2)} {
		t.Run(name, func(t *testing.T) {
			nats := natstest.Start(t)
			shared := t.TempDir()
			servers := make([]*server.Server, len(dirs))
			var work sync.WaitGroup
			for i := range dirs {
				if dirs[i] == "" {
					dirs[i] = shared
				}
				cfg := testConfig(t)
				cfg.NATS.URL, cfg.DataDir = nats.URL(), dirs[i]
				work.Go(func() {
					var err error
					if servers[i], err = try(t, cfg); err != nil {
						t.Error(err)
					}
				})
			}
			work.Wait()
			for _, s := range servers {
				if s != nil {
					t.Cleanup(func() { stop(t, s) })
				}
			}
			if t.Failed() {
				return
			}
			for i, s := range servers {
				if s.AdminKeyFile() != "" && !keyIn(t, s, dirs[i]).Has(access.ScopeOperator) {
					t.Errorf("process %d has written a key without operator", i)
				}
			}
		})
	}
}
