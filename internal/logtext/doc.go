// Package logtext keeps what tests let be logged, and holds it against what must never be.
//
//	said := &logtext.Buffer{}
//	cfg.Log = said.Logger()
//	said.Never(t, planted, accesstest.Secret(text))
package logtext
