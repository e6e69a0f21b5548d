// Package fanout tells open tabs that their session is over: a WebSocket per tab, or a stream of server-sent events where a network lets none through, speaking the
// protocol of package events/tab.
//
// What it promises:
//
//   - A tab that has heard ready hears of every later end of its session, as a notice and close code 4501, or loses its conn and learns it when
//     it comes back. The order is register, check, ready, so nothing falls between.
//   - Exactly the conns of ended sessions are told. The tab is who its ticket says, or its session cookie or token where the deployment takes those, and then only from an
//     allowed Origin; a client names no user and no topic.
//   - A tab that comes back and tells what it has heard last is told whether something changed since, as far as the latest 65,536 events go.
//   - A slow conn is closed alone. Nothing blocks on a conn: its queue holds at most 8 frames, and a conn whose queue is full, or that hasn't
//     taken a write within 2 s, is closed with 1013. One that sends more than 50 frames in a second is closed with 4029.
//   - A logout of a client or tenant that ends many tabs is told by a goroutine of its own, in slices: events behind it don't wait, so their tabs may be told
//     first.
//   - Who shows no ticket takes no tab's place: conns before hello have places of their own, and one address may take half of those. One user has 256 tabs at most.
//   - Sessions_changed says that something changed, not how often: while one waits to be written, more of them add nothing. Which users an event
//     touches is known from the event, and from the tabs that it ends at this gateway. A tab that is over by the time that it would be told hears of that instead.
//   - A notice holds what its person may see: never reason_admin, and never another session's id.
//
// What it doesn't promise: that a tab obeys. Services refuse the session themselves; the notice is for the screen.
//
// Conns come by [Service.Front], which takes them before an HTTP server sees them, or by [Service.Routes]. On Linux one goroutine
// waits for what the peers of all conns of plain TCP say; others have a goroutine each, which waits in a small read. Who tells a conn something writes it, and a goroutine that
// writes exists only while a peer doesn't take it at once. None has a timer while it is idle: one goroutine looks after those that are due, which a wheel of 10 ms slots tells. What
// is WebSocket or an event stream about a conn is behind the interface wire; the library that speaks WebSocket is used there, for the upgrade, and nowhere else.
package fanout
