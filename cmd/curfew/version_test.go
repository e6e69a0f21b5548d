package main

import (
	"encoding/json"
	"testing"
)

func TestVersion(t *testing.T) {
	var b build
	if err := json.Unmarshal([]byte(must(t, "version", "--json")), &b); err != nil || b.Go == "" || b.Version == "" {
		t.Errorf("got %+v, %v", b, err)
	}
}
