package blackbox

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func readme(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// block returns the shell commands of the README that stand behind the given mark, of all its blocks.
func block(t *testing.T, name string) string {
	t.Helper()
	found := regexp.MustCompile("(?s)<!-- run: "+name+" -->\n```sh\n(.*?)```").FindAllStringSubmatch(readme(t), -1)
	if found == nil {
		t.Fatalf("the README has no block marked %q", name)
	}
	var script strings.Builder
	for _, f := range found {
		script.WriteString(f[1])
	}
	return script.String()
}

// TestReadmeCommandsRun runs the README's commands as they stand there, but for the ports.
func TestReadmeCommandsRun(t *testing.T) {
	if got := strings.TrimSpace(block(t, "serve")); got != "curfew serve" {
		t.Fatalf("the README starts the server with %q", got)
	}
	dir := t.TempDir()
	i := serve(t, dir, "127.0.0.1:0")
	sh := func(name string) string {
		t.Helper()
		script := strings.ReplaceAll(block(t, name), "127.0.0.1:7080", i.addr())
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script)
		cmd.Dir = dir
		cmd.Env = cleanEnv("PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"), "CURFEW_URL="+i.api, "CURFEW_ADMIN_URL="+i.admin)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("the README's block %q: %v\n%s", name, err, out)
		}
		return string(out)
	}
	verbs := sh("verbs")
	for _, want := range []string{"stored: session revocation", "stored: user revocation", "exit code 4", "cfw_", "ok    streams", "SessionRevoked", "UserLoggedOutEverywhere"} {
		if !strings.Contains(verbs, want) {
			t.Errorf("the README's verbs didn't print %q:\n%s", want, verbs)
		}
	}
	http := sh("http")
	for _, want := range []string{`"duplicate":false`, `"scope":"user"`, `"state":"revoked"`, `"ticket":`, `io.github.curfewhq.SessionRevoked.v1`,
		`"current":true`, `"result":"touched"`, "registry: ended, Firefox on Linux"} {
		if !strings.Contains(http, want) {
			t.Errorf("the README's calls didn't answer %q:\n%s", want, http)
		}
	}
}

// TestReadmeSnippetIsTheExample holds the README's Go code to the Example that the compiler sees.
func TestReadmeSnippetIsTheExample(t *testing.T) {
	found := regexp.MustCompile("(?s)```go\n(.*?)```").FindStringSubmatch(readme(t))
	example, err := os.ReadFile("readme_example_test.go")
	if err != nil || found == nil {
		t.Fatalf("no Go code in the README, or no example: %v", err)
	}
	_, rest, _ := strings.Cut(string(example), "// README begins\n")
	body, _, _ := strings.Cut(rest, "\t\t// README ends")
	var plain strings.Builder
	for line := range strings.Lines(body) {
		plain.WriteString(strings.TrimPrefix(line, "\t\t"))
	}
	if plain.String() != found[1] {
		t.Errorf("the README's code and the example differ:\n--- README\n%s\n--- example\n%s", found[1], plain.String())
	}
}
