package archtest_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/curfewhq/curfew/internal/archtest"
)

// A citation of traps in a comment, as "trap 9" or "Traps 29, 36 and 40", or in the name of a test, as TestTrap9BeatsStop.
var (
	citation  = regexp.MustCompile(`(?i)\btraps? (\d+(?:(?:, | and )\d+)*)|\bfunc TestTraps?(\d+(?:And\d+)*)`)
	number    = regexp.MustCompile(`\d+`)
	trapRow   = regexp.MustCompile(`(?m)^\| (\d+) \|`)
	namedTest = regexp.MustCompile("`(Test[A-Za-z0-9]+)`")
)

// What comments cite stands in docs/traps.md, each trap there is cited or names its tests, and those exist.
func TestTrapsAreDocumented(t *testing.T) {
	t.Parallel()
	root := moduleRoot(t)
	document, err := os.ReadFile(filepath.Join(root, "docs", "traps.md"))
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, row := range trapRow.FindAllStringSubmatch(string(document), -1) {
		if slices.Contains(documented, row[1]) {
			t.Errorf("docs/traps.md: trap %s stands there twice", row[1])
		}
		documented = append(documented, row[1])
	}
	files, err := archtest.Read(root)
	if err != nil {
		t.Fatal(err)
	}
	var source strings.Builder // of all tests
	cited := 0
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(root, file.Path))
		if err != nil {
			t.Fatal(err)
		}
		if file.Test() {
			source.Write(text)
		}
		if strings.HasPrefix(file.Path, "internal/archtest/") {
			continue
		}
		for _, match := range citation.FindAllStringSubmatch(string(text), -1) {
			for _, n := range number.FindAllString(match[1]+" "+match[2], -1) {
				cited++
				if !slices.Contains(documented, n) {
					t.Errorf("%s cites trap %s, which isn't in docs/traps.md", file.Path, n)
				}
			}
		}
	}
	if cited == 0 || len(documented) == 0 {
		t.Fatalf("%d citations of %d traps: the test looks for the wrong thing and would never fail", cited, len(documented))
	}
	for _, name := range namedTest.FindAllStringSubmatch(string(document), -1) {
		if !strings.Contains(source.String(), "func "+name[1]+"(") {
			t.Errorf("docs/traps.md names %s, which doesn't exist", name[1])
		}
	}
}
