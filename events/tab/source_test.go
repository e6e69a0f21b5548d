package tab_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"testing"
)

// constants reads tab.go and returns name → value of its constants of a type, so that a constant without its golden file, or
// without its line in close_codes.json, can't slip in.
func constants(t testing.TB, typ string) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "tab.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, decl := range file.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST {
			continue
		}
		for _, spec := range group.Specs {
			spec := spec.(*ast.ValueSpec)
			if of, ok := spec.Type.(*ast.Ident); !ok || of.Name != typ {
				continue
			}
			value := spec.Values[0].(*ast.BasicLit).Value
			if s, err := strconv.Unquote(value); err == nil {
				value = s
			}
			found[spec.Names[0].Name] = value
		}
	}
	if len(found) == 0 {
		t.Fatalf("tab.go has no constants of type %s", typ)
	}
	return found
}
