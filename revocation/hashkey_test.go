package revocation_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/curfewhq/curfew/revocation"
)

func TestHashKeyIsNeverPrinted(t *testing.T) {
	info := revocation.SnapshotInfo{Stream: "CURFEW@1", HashKey: revocation.HashKey{0xab, 0xab, 0xab}}
	head := revocation.Head{HashKey: info.HashKey}
	asJSON, err := json.Marshal(info)
	if err != nil {
		t.Fatal(err)
	}
	printed := []string{string(asJSON), fmt.Sprint(info.HashKey), fmt.Sprintf("%d %x", info.HashKey, info.HashKey)}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		printed = append(printed, fmt.Sprintf(format, info), fmt.Sprintf(format, head.HashKey), fmt.Sprintf(format, &info))
	}
	for _, s := range printed {
		for _, leak := range []string{"abab", "ABAB", "171", "0xab"} {
			if strings.Contains(s, leak) {
				t.Errorf("the key is in %s", s)
			}
		}
	}
}
