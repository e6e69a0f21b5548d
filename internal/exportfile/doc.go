// Package exportfile is the form of files with events, as 'curfew export' and replays write them, and 'curfew import' and 'curfew export verify' read them: gzip of NDJSON, a record of the history
// on each line, and a [Line] with the manifest on the last.
//
// It promises the names and the meaning of the manifest's members. It neither reads nor writes files.
package exportfile
