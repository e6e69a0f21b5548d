// Package upkeep is what operators do to the streams themselves.
//
//	GET    /v1/backup                    JetStream's own snapshot of the ledger, or of all that a deployment can't make anew, as one file
//	GET    /v1/parked                    poison messages: where each came from and why it was parked
//	GET    /v1/parked/{position}         one of them, with what it holds
//	POST   /v1/parked/{position}/retry   puts it back to where it came from
//	DELETE /v1/parked/{position}         drops it for good
//
// Every call takes a key with the scope operator: a stream is everybody's. A parked message may hold personal data. A list tells nothing of what it holds, and a log tells where it lies and who has dropped it or put it back.
//
// A backup is written as it is read, in flat memory; one at a time. One that breaks off is cut off, so that nobody takes it for a whole one.
package upkeep
