package chaos

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

// childEnv makes this test binary run a child process of a test instead of the tests.
const childEnv = "CURFEW_CHAOS_CHILD"

// binary is the built command, made once for all tests.
var binary string

func TestMain(m *testing.M) {
	switch os.Getenv(childEnv) {
	case "nats":
		os.Exit(natsMain())
	case "replica":
		os.Exit(replicaMain())
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) (code int) {
	dir, err := os.MkdirTemp("", "curfew-chaos-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary = filepath.Join(dir, "curfew")
	build := exec.Command("go", "build", "-o", binary, "../../cmd/curfew")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return 1
	}
	if code = m.Run(); code != 0 {
		return code
	}
	// A link of the proxy whose two ends were cut at the same moment leaves the goroutine between them behind (toxiproxy v2.5.0): it is the test's, and holds nothing.
	if err := goleak.Find(goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run")); err != nil {
		_, _ = os.Stderr.WriteString(err.Error())
		return 1
	}
	return 0
}
