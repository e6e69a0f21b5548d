// Package natstest gives tests a real NATS server, a Bus over one, and a link that can be made to fail.
//
// It promises that everything it starts is stopped before the test ends, that nothing is shared between tests, and that
// nothing needs the network or a fixed port. It doesn't sync to disk as production does: what a test acknowledges survives
// a restart of the server, not of the machine.
//
//	b := natstest.Bus(t)                        // embedded, no port, streams ensured
//	srv := natstest.Run(t)                      // a server on a port of its own
//	s := natstest.Start(t)                      // the same, to be stopped and restarted
//	p := natstest.NewProxy(t, s.Addr())         // p.Stall() swallows everything without closing
package natstest
