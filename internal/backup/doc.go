// Package backup writes JetStream's own snapshots of our streams into one file, and brings them back.
//
// A backup is a ZIP archive: for each stream an entry <stream>.snapshot, in the form of the NATS server that made it, and at its end manifest.json with each stream's settings, state, size and SHA-256.
// It is written as it is read, in flat memory, and a file that was cut off has no end and is refused.
//
//	manifest, err := backup.Write(ctx, b, all, w)
//
//	file, err := backup.Open(path)
//	defer file.Close()
//	err = file.Verify()                                  // reads all of it
//	err = file.Restore(ctx, b, backup.Options{Lost: true}) // all streams, or none
//
// What a backup promises: a restored ledger has every event that it had at some moment while the backup was written, at its position. The other streams are of moments before that.
//
// What it doesn't promise: that nobody has written the file anew, for its digest isn't signed; that another version of the NATS server reads it; and anything of what was stored after it.
// A backup with all streams holds the deployment's secret and hashes of the API keys: guard it as you guard the server.
package backup
