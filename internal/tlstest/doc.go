// Package tlstest makes certificates for tests.
//
//	certFile, keyFile, pool := tlstest.Certificate(t)
package tlstest
