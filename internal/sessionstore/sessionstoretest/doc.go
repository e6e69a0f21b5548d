// Package sessionstoretest holds every [sessionstore.Store] to one contract.
//
//	sessionstoretest.Run(t, func(t *testing.T) sessionstoretest.Opener { … })
package sessionstoretest
