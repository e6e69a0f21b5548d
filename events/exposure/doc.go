// Package exposure is the form in which processes are asked which requests of some sessions they let through since a revocation was decided, and in which they answer. It is JSON; whoever
// carries it says how.
//
//	{"position":42,"event":"0198…","sessions":["s-1"],"since_ms":1785837600123,"until_ms":1785837660000}
//	{"now_ms":…,"began_ms":…,"applied":true,"applied_ms":…,"whole_since_ms":…,"passes":[{"session":0,"at_ms":…,"route":"GET /pay"}],"count":1}
//
// All times are Unix milliseconds by the wall clock of who answers, but for since_ms and until_ms, which are of who asks. Nobody's clock is corrected: NowMS tells who asks how far they differ now.
//
// An answer promises that the passes which it tells were recorded. It promises that there were no others in that process only from WholeSinceMS on, of requests that began to be served by NowMS,
// and of the process that answers: one that ran there before has taken what it knew along.
package exposure
