// Package presence is what replicas tell of themselves while they run, over core NATS: that they are there, how far they have applied the ledger, and until when they may
// answer active without hearing more.
//
// A replica sends a [Report] on [ReportsTopic] each [Interval], and once its connection is back; its last one before it stops says Leaving. When somebody has sent an [Await] on [AwaitTopic] it says on [AppliedTopic]
// that it has applied that position as soon as it has ([Applied]).
//
// # The lease
//
// A report is a lease as well, of [Report.Lease] from the moment at which it was heard: a replica that isn't heard any more has had no proof that it knows everything since one
// interval after its last report at the latest, or it would have sent another; so once its largest budget has passed on top of that, it answers undetermined to everything that it
// doesn't know to be over (semantics, Freshness). Nobody has to wait for it any longer. The argument needs no clock but that of whoever listens, and holds for a process that is
// stopped, cut off or gone. It doesn't hold for routes that fail open, or that take an older proof than the report's budget.
//
// # Questions
//
// Whoever may send a [Question] on [QuestionsTopic] is answered by every replica that listens: how far it is, what it knows of a session, and what that session got through (package
// events/exposure). The answer goes to the topic that the question names, if it is one of [AnswerTopic]. Who is silent may be cut off, stopped, or not listen.
//
// # Form
//
// A message is one JSON object with the version of its form in "v", which is 1, but for Applied, which is a line of text that begins with its version. Unknown members are ignored, and a
// message of another version is none. Reports hold no id
// of a user or a session; questions do. No message is kept or acknowledged: who wasn't listening has missed it, and the next one says the same. Who may publish on these topics is believed.
package presence
