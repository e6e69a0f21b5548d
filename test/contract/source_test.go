package contract

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/revocation/revocationhttp"
)

// sources calls fn for each shipped Go file below the folders. The sample application is no part of the API, nor is what the console's page and its server say to each other.
func sources(t *testing.T, fn func(path string, file *ast.File), folders ...string) {
	t.Helper()
	for _, folder := range folders {
		err := filepath.WalkDir(filepath.Join("../..", folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() && (d.Name() == "sampleapp" || d.Name() == "demobackend" || strings.HasSuffix(filepath.ToSlash(path), "services/console")) {
				return fs.SkipDir
			}
			if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return nil
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err == nil {
				fn(path, file)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func literal(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(lit.Value)
	return s, err == nil
}

// TestCodes compares the codes that the source can answer with, and those of the document.
func TestCodes(t *testing.T) {
	inSource := map[string]bool{
		revocationhttp.CodeSessionRevoked: true, revocationhttp.CodeSessionUndetermined: true, revocationhttp.CodeClaimsMissing: true,
		revocationhttp.CodeClaimsInvalid: true, revocationhttp.CodeSessionRequired: true, revocationhttp.CodeInvalidToken: true,
		revocationhttp.CodeKeysUnavailable: true, revocationhttp.CodeInvalidPosition: true,
	}
	sources(t, func(path string, file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			name := ""
			switch f := call.Fun.(type) {
			case *ast.SelectorExpr:
				if x, ok := f.X.(*ast.Ident); ok && x.Name == "problem" {
					name = f.Sel.Name
				}
			case *ast.Ident:
				if file.Name.Name == "problem" {
					name = f.Name
				}
			}
			at := map[string]int{"New": 1, "Unavailable": 0}
			i, ok := at[name]
			if !ok || i >= len(call.Args) {
				return true
			}
			if code, ok := literal(call.Args[i]); ok {
				inSource[code] = true
			} else if x, isName := call.Args[i].(*ast.Ident); (!isName || x.Name != "code") && !strings.HasSuffix(exprName(call.Args[i]), ".Code") {
				t.Errorf("%s: the code of a problem is neither a literal nor passed on", path)
			}
			return true
		})
	}, "services", "internal", "cmd")
	documented := []string{}
	for _, v := range load(t).Components.Schemas["Code"].Value.Enum {
		code, _ := v.(string)
		documented = append(documented, code)
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(inSource)), documented); diff != "" {
		t.Errorf("codes of the source (-) and of the document (+), sorted: %s", diff)
	}
}

func exprName(e ast.Expr) string {
	if s, ok := e.(*ast.SelectorExpr); ok {
		return exprName(s.X) + "." + s.Sel.Name
	}
	return ""
}

var pattern = regexp.MustCompile(`^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) (/\S*)$`)

// TestRoutes compares the patterns that the source gives to its muxes with the document, and asks the running server for the methods of each
// documented path.
func TestRoutes(t *testing.T) {
	inSource := map[string]bool{}
	sources(t, func(path string, file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			e, ok := n.(ast.Expr)
			if !ok {
				return true
			}
			if s, ok := literal(e); ok && pattern.MatchString(s) {
				inSource[s] = true
			}
			return true
		})
	}, "services", "internal", "cmd")
	doc := load(t)
	documented := map[string]bool{}
	srv := start(t, nil)
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	for path, item := range doc.Paths.Map() {
		var methods []string
		for method := range item.Operations() {
			documented[method+" "+path] = true
			methods = append(methods, method)
			if method == http.MethodGet {
				methods = append(methods, http.MethodHead)
			}
		}
		if path == "/v1/revocations/preview" {
			// It could be the name of an event.
			methods = append(methods, http.MethodGet, http.MethodHead)
		}
		if path == "/v1/sessions/touch" {
			// It could be the name of a session.
			methods = append(methods, http.MethodGet, http.MethodHead, http.MethodDelete)
		}
		base := srv.URL()
		if len(item.Servers) > 0 {
			base = srv.AdminURL()
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodTrace, base+strings.NewReplacer("{", "", "}", "").Replace(path), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		allowed := strings.Split(resp.Header.Get("Allow"), ", ")
		slices.Sort(allowed)
		slices.Sort(methods)
		if diff := cmp.Diff(methods, allowed); resp.StatusCode != http.StatusMethodNotAllowed || diff != "" {
			t.Errorf("%s: the document (-) and the server (+), which says %d: %s", path, resp.StatusCode, diff)
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(documented)), slices.Sorted(maps.Keys(inSource))); diff != "" {
		t.Errorf("routes of the document (-) and of the source (+): %s", diff)
	}
}
