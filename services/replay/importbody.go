package replay

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/curfewhq/curfew/internal/problem"
)

// readImport reads the body of an import. The problem has status 0 when all is well.
func readImport(w http.ResponseWriter, r *http.Request) ([][]byte, problem.Problem) {
	body, p := linesOf(w, r, MaxImportBytes)
	if p.Status != 0 {
		return nil, p
	}
	data, err := io.ReadAll(body)
	body.done()
	if p := bodyProblem(err); p.Status != 0 {
		return nil, p
	}
	if len(data) == 0 {
		return nil, problem.Problem{}
	}
	data = bytes.TrimSuffix(data, []byte{'\n'})
	// Counted first: each line that is split off takes 24 bytes, and one of nothing has one.
	if bytes.Count(data, []byte{'\n'}) >= MaxImportLines {
		return nil, problem.New(http.StatusRequestEntityTooLarge, "body_too_large", fmt.Sprintf("The body has more than %d lines: send them in several calls.", MaxImportLines))
	}
	return bytes.Split(data, []byte{'\n'}), problem.Problem{}
}

func bodyProblem(err error) problem.Problem {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge), errors.Is(err, bufio.ErrTooLong):
		return problem.New(http.StatusRequestEntityTooLarge, "body_too_large", "The body is longer than this call takes: send fewer lines at once.")
	case err != nil:
		return problem.New(http.StatusBadRequest, "unreadable_body", "The body ended early: send it again.")
	}
	return problem.Problem{}
}

// linesBody is a body that may come slowly, as long as it comes.
type linesBody struct {
	io.Reader
	ctl *http.ResponseController
}

// linesOf returns a body of NDJSON of at most some bytes. The caller calls done once it has read it.
func linesOf(w http.ResponseWriter, r *http.Request, most int64) (*linesBody, problem.Problem) {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != lineType {
		return nil, problem.New(http.StatusUnsupportedMediaType, "unsupported_media_type", "Send the body as application/x-ndjson, one JSON value per line.")
	}
	return &linesBody{http.MaxBytesReader(w, r.Body, most), http.NewResponseController(w)}, problem.Problem{}
}

func (b *linesBody) Read(p []byte) (int, error) {
	_ = b.ctl.SetReadDeadline(time.Now().Add(lineTimeout))
	return b.Reader.Read(p)
}

// done lets the connection be silent while the answer is made.
func (b *linesBody) done() { _ = b.ctl.SetReadDeadline(time.Time{}) }
