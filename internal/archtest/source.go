package archtest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
)

// A File is what the rules need to know of one Go file.
type File struct {
	Path      string // relative to the module's root, with slashes
	Package   string // the name in the package clause
	Doc       string // the package comment, or ""
	Lines     int
	Generated bool // carries the standard "Code generated … DO NOT EDIT." line
	Imports   []Mention
	Inits     []int     // lines of func init()
	Logging   []Mention // uses of logrus's package-level logger, such as logrus.Info
}

// A Mention is something that a file names, and the line on which it does.
type Mention struct {
	Name string
	Line int
}

// Test reports whether the file is compiled into test binaries only.
func (f File) Test() bool { return strings.HasSuffix(f.Path, "_test.go") }

// Folder is the file's folder relative to the module's root; "." is the root.
func (f File) Folder() string { return path.Dir(f.Path) }

// Read parses every Go file of the module in the folder root, whatever its
// build constraints. It skips what the go command skips (testdata, vendor,
// names that begin with a dot or an underscore), node_modules and nested
// modules. A file that doesn't parse is an error.
func Read(root string) ([]File, error) {
	dir, err := os.OpenRoot(root)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	module := dir.FS()
	var files []File
	err = fs.WalkDir(module, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name != "." && skipFolder(module, name) {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".go" || !entry.Type().IsRegular() {
			return nil
		}
		source, err := fs.ReadFile(module, name)
		if err != nil {
			return err
		}
		file, err := parse(name, source)
		if err != nil {
			return err
		}
		files = append(files, file)
		return nil
	})
	return files, err
}

// skipFolder reports whether a folder holds nothing that belongs to the module.
func skipFolder(module fs.FS, name string) bool {
	switch base := path.Base(name); {
	case base == "testdata", base == "vendor", base == "node_modules":
		return true
	case strings.HasPrefix(base, "."), strings.HasPrefix(base, "_"):
		return true
	}
	_, err := fs.Stat(module, path.Join(name, "go.mod"))
	return err == nil
}

// parse reads one file of Go. name becomes [File.Path].
func parse(name string, source []byte) (File, error) {
	fset := token.NewFileSet()
	syntax, err := parser.ParseFile(fset, name, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return File{}, fmt.Errorf("parse %s: %w", name, err)
	}
	line := func(p token.Pos) int { return fset.Position(p).Line }
	file := File{
		Path:      name,
		Package:   syntax.Name.Name,
		Doc:       syntax.Doc.Text(),
		Lines:     countLines(source),
		Generated: ast.IsGenerated(syntax),
	}
	logrusName := ""
	for _, spec := range syntax.Imports {
		target, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return File{}, fmt.Errorf("parse %s: import %s: %w", name, spec.Path.Value, err)
		}
		file.Imports = append(file.Imports, Mention{Name: target, Line: line(spec.Pos())})
		if target == logrus {
			logrusName = "logrus"
			if spec.Name != nil {
				logrusName = spec.Name.Name
			}
			if logrusName == "." {
				// A dot import hides its calls from the walk below.
				file.Logging = append(file.Logging, Mention{Name: `import . "` + logrus + `"`, Line: line(spec.Pos())})
			}
		}
	}
	for _, decl := range syntax.Decls {
		if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
			file.Inits = append(file.Inits, line(fn.Pos()))
		}
	}
	if logrusName != "" {
		ast.Inspect(syntax, func(node ast.Node) bool {
			sel, ok := node.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == logrusName && packageLevelLogrus(sel.Sel.Name) {
				file.Logging = append(file.Logging, Mention{Name: x.Name + "." + sel.Sel.Name, Line: line(sel.Pos())})
			}
			return true
		})
	}
	return file, nil
}

// packageLevelLogrus reports whether logrus.<name> reads or writes the logger
// that logrus keeps for the whole process.
func packageLevelLogrus(name string) bool {
	switch name {
	case "StandardLogger", "SetOutput", "SetFormatter", "SetReportCaller", "SetLevel", "SetBufferPool", "GetLevel",
		"IsLevelEnabled", "AddHook", "WithError", "WithContext", "WithField", "WithFields", "WithTime":
		return true
	}
	for _, suffix := range []string{"Fn", "ln", "f", ""} {
		switch strings.TrimSuffix(name, suffix) {
		case "Trace", "Debug", "Print", "Info", "Warn", "Warning", "Error", "Panic", "Fatal":
			return true
		}
	}
	return false
}

// countLines counts lines as an editor does: a last line without a newline is one too.
func countLines(source []byte) int {
	n := bytes.Count(source, []byte("\n"))
	if len(source) > 0 && source[len(source)-1] != '\n' {
		n++
	}
	return n
}
