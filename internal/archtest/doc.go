// Package archtest holds the architecture of this module as a test: which
// folder may import which, and the few rules of form that a reader relies on.
//
// It promises that a change which breaks a rule fails its test with the file,
// the import and a sentence that says what to do instead. The rules are:
//
//   - the import table: what each folder may import of this module and of
//     others. Test files may import a little more (see [Check]);
//   - services never import each other, and only internal/redisstore speaks
//     to Redis;
//   - what embedders link stays light: no package of revocation/ links
//     Watermill, logrus, the NATS server or a Redis client, however far down,
//     and only revocation/revocationnats links nats.go (and so on for gRPC
//     and Prometheus);
//   - every package says in doc.go (a command in main.go) what it is;
//   - no file is longer than [MaxLines] lines, no package is named for
//     nothing in particular, nothing runs in init, and nothing logs through
//     logrus's package-level logger.
//
// It does not promise that a design is good, and it reads imports and syntax
// only: what travels through an interface is not its business. A folder that
// doesn't exist yet breaks no rule; a folder that the table doesn't know does.
//
// The table is in rules.go. A new folder gets a row there and in the decision
// record that introduces it.
package archtest
