// Package revocationprom shows a replica in Prometheus. What a guard does with its answers is for the guard's own hooks to tell: count what
// revocationhttp and revocationgrpc report of calls that failed open, of questions to a gate and of what was ended.
//
//	metrics := revocationprom.New(prometheus.DefaultRegisterer)
//	replica, err := revocation.Open(ctx, revocation.Config{Feed: feed, Hooks: metrics.Hooks(revocation.Hooks{})})
//	if err != nil {
//		return err
//	}
//	metrics.Observe(replica)
//
// # Metrics
//
// What the replica is like now. Before [Metrics.Observe] they are those of a replica that knows nothing: the process waits in Open.
//
//	name                                 type       labels         meaning
//	curfew_replica_fresh                 gauge                     1 if a check can be answered with active: alert on 0
//	curfew_replica_synced                gauge                     1 if everything up to the stream's end at the start has been applied
//	curfew_replica_staleness_seconds     gauge                     age of the proof that nothing is missing; +Inf if there is none
//	curfew_replica_position              gauge                     up to where the stream has been applied
//	curfew_replica_head                  gauge                     the stream's last position when it was last asked; position may lie beyond
//	                                                               it, so it tells no lag: staleness does
//	curfew_replica_sessions              gauge                     sessions that are revoked by name
//	curfew_replica_cutoffs               gauge                     users, devices, clients and tenants with cutoffs
//	curfew_replica_retention_short       gauge                     1 if the stream keeps events for less than max age and leeway: alert on 1
//
// What it has done since the process began.
//
//	curfew_replica_checks_total          counter    state          checks by answer: active, revoked, undetermined
//	curfew_replica_applied_total         counter    type           events applied since Observe, by their type, such as SessionRevoked
//	curfew_replica_applied_latency_seconds  histogram              time from when the stream stored an event to when it was applied, since Observe
//	curfew_replica_skipped_total         counter    cause          messages left out, which may have been revocations: alert on any. Causes are
//	                                                               unknown_type, unknown_version, foreign_topic, cutoff_in_future, invalid, malformed
//	curfew_replica_exceptions_dropped_total  counter               cutoffs that were noted without the sessions that they except, which are refused as
//	                                                               well: alert on any, for somebody knows the key of fingerprints
//	curfew_replica_feed_lost_total       counter                   times that the feed was lost
//	curfew_replica_syncs_total           counter                   times that the replica became synced: more than 1 means that the stream was replaced or
//	                                                               put back, or that what came next after the replica's position was gone when it
//	                                                               came back: removed by retention, by hand, or as beats that had expired
//	curfew_replica_expired_total         counter                   entries forgotten because no session can need them any more
//
// Snapshots. The label place is file, nats or other, by what [revocation.Snapshots] says of itself before the colon.
//
//	curfew_snapshot_loads_total          counter    place, result  snapshots that were found at the start; the result is loaded or refused
//	curfew_snapshot_saves_total          counter    place, result  saved or failed
//	curfew_snapshot_saved_position       gauge      place          the last position that the last saved snapshot holds for sure
//	curfew_snapshot_saved_timestamp_seconds  gauge  place          when it was saved, in Unix time
//	curfew_snapshot_saved_bytes          gauge      place          its size
//	curfew_snapshot_saved_entries        gauge      place          how many sessions and cutoffs it holds
//	curfew_snapshot_save_duration_seconds  gauge    place          how long it took to save it
//
// No label ever holds an id, a tenant, a path or an address. Counters are there from the start with all values of their labels, so that the first
// occurrence shows in a rate; what was saved is shown once something was.
//
// # Two replicas in a process
//
// Each has Metrics of its own, registered with a label: prometheus.WrapRegistererWith(prometheus.Labels{"ledger": "eu"}, registerer).
package revocationprom
