package console

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/curfewhq/curfew/internal/problem"
)

// dist is what web is built to. scripts/console.sh --check builds it again and compares.
//
//go:embed dist
var dist embed.FS

// files are the page's, by the names under which it asks for them. No name of a request becomes a path of a file system.
type files struct {
	index []byte
	// assets: name → content.
	assets map[string][]byte
}

func readFiles() (*files, error) {
	index, err := dist.ReadFile("dist/index.html")
	if err != nil {
		return nil, fmt.Errorf("read the console's page: %w (build it with 'scripts/console.sh')", err)
	}
	f := &files{index: index, assets: map[string][]byte{}}
	err = fs.WalkDir(dist, "dist/assets", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f.assets[path.Base(name)], err = dist.ReadFile(name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the console's files: %w", err)
	}
	return f, nil
}

// handleIndex serves the page, which knows nothing: what it shows it asks for once somebody has signed in.
func (f *files) handleIndex(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.index))
}

// handleAsset serves a file whose name has a hash of what it holds.
func (f *files) handleAsset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	content, ok := f.assets[name]
	if !ok {
		problem.New(http.StatusNotFound, "no_such_call", "There is no such file of the console: load the page anew.").Write(w)
		return
	}
	w.Header().Set("Content-Type", mime.TypeByExtension(path.Ext(name)))
	if strings.HasSuffix(name, ".js") {
		w.Header().Set("Content-Type", "text/javascript; charset=utf-8") // whatever the machine's table of types says
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}
