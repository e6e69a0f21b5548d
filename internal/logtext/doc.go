// Package logtext keeps what tests let be logged.
//
//	var said logtext.Buffer
//	log.SetOutput(&said)
package logtext
