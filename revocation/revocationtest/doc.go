// Package revocationtest helps to test what is built upon package revocation.
//
//	feed := revocationtest.New()
//	feed.AutoBeat(time.Second) // without it: one beat, when the feed is first followed
//	replica, err := revocation.Open(t.Context(), revocation.Config{Feed: feed})
//	...
//	position := feed.Publish(event)
//	err = replica.WaitFor(t.Context(), position)
//
// [Feed] is a feed without a server, and a whole stream in memory behind it. It can do what goes wrong in production: fall silent, break,
// lose its beats, be made anew. It has no goroutine of its own, so that it works inside testing/synctest bubbles and leaves nothing behind.
//
// [TestFeed] is the suite that every [revocation.Feed] passes, this one and revocationnats's alike.
//
// # What it doesn't do
//
// The fake delivers at once and in the replica's goroutine; it shows no timing of a network. It keeps everything in memory until the test
// ends. Nothing in here belongs into a program that isn't a test.
package revocationtest
