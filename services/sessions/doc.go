// Package sessions is the registry of sessions: what people see under "your devices", and what ends a session because nobody is there any more.
//
//	POST /v1/sessions                       a session has begun; the answer has the auth time to put into its token
//	GET  /v1/users/{user}/sessions          a user's devices and sessions, ended ones too for 28 days
//	GET  /v1/sessions/{session}             one of them
//	POST /v1/sessions/{session}/touch       somebody is there
//	POST /v1/sessions/touch                 the same for up to 1,000 sessions
//
// DELETE /v1/sessions/{session}, which ends one, is the publisher's: it works whether the registry does or not.
//
// # What it promises
//
//   - Whether a session is over is the ledger's to say, and not the registry's: a store that is lost has lost no revocation, and no call here makes one unhappen.
//   - A new sign-in works at once: the auth time that is stamped lies after every cutoff that the process's replica knows of, if none lies further ahead than the
//     clock skew that cutoffs may have.
//   - An idle session is ended by one event, however many processes run: who ends it has claimed it, and a session that was touched meanwhile can't be claimed. A
//     process that crashes in between leaves the claim, and another one publishes the same event. (One that is stopped for ten minutes in the middle of publishing stores the same event,
//     with the same id, twice.)
//   - A session past its absolute end, or past max age, is ended by an event too, so that its tabs hear of it. Services refuse it by themselves.
//   - The tabs of a session are told a while before (Config.Notice), and that it is called off once somebody is there.
//   - A user has no more sessions that go on than Config.MaxPerUser, but for a few that were registered at the same time.
//   - Addresses are kept as networks, /24 and /48, and of a browser its name, system and form.
//
// # What it does not promise
//
//   - That a session which isn't registered is known. Its revocation works all the same.
//   - That idle sessions end where their store has forgotten them: they end at max age then.
//   - That a warning is heard: it is told once, to tabs that are there.
//   - To the second, when an idle session ends: a second or two late while the registry runs, and later if it doesn't. Never early, but for what the clocks of processes differ by.
package sessions
