// Package target is where replays send events to.
//
//	topic     another NATS topic: stored and acknowledged where a stream takes it, and otherwise told to who listens
//	webhook   HTTPS, or HTTP to this machine, signed as Standard Webhooks say
//	file      a file in a folder of the server's, in the form of 'curfew export'
//	redis     a Redis Stream of its own for each replay
//	tabs      the open tabs of sessions that are over, which gateways tell again
//	replicas  the replicas of a group, which read the whole ledger anew
//
// # What is promised
//
// An event counts as sent once its target has it: the stream has acknowledged, the receiver has answered 2xx, the file is on the disk, Redis has it. What was sent since the last checkpoint is
// sent again after a crash, so that everything arrives at least once, and each time with the same id, <replay>/<tenant>/<event id>, by which receivers drop what they have.
// The file and the Redis Stream do that by themselves: they hold each event of a replay once.
//
// # What isn't
//
// Order at a webhook, to which several events are sent at once; the state that events make doesn't depend on it. And a topic that no stream takes gives no answer: who doesn't listen has missed it.
package target
