import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Registry } from 'prom-client'
import { FakeClock } from './fake-clock.ts'
import { createRuntimeMetrics } from './metrics.ts'
import type { KubeObject } from './client/resource.ts'
import { Store } from './cache/store.ts'

test('counters are there from the first scrape, and caches are measured at each', async () => {
  const registry = new Registry()
  const clock = new FakeClock()
  const metrics = createRuntimeMetrics(registry, clock)
  const hooks = metrics.controllerHooks('widgets')
  metrics.onRestart('pods')
  const store = new Store<KubeObject>()
  metrics.watchCache('pods', store)
  const onLeader = metrics.onLeader('lock')
  const before = await registry.metrics()
  assert.match(before, /^controller_reconcile_total\{controller="widgets",result="error"\} 0$/m)
  assert.match(before, /^reflector_restarts_total\{resource="pods",reason="dead"\} 0$/m)
  assert.match(before, /^reflector_synced\{resource="pods"\} 0$/m)
  assert.match(before, /^leader_election_master_status\{name="lock"\} 0$/m)

  onLeader(true)
  hooks.onReconciled?.('error', 0.2)
  metrics.onRequest({ verb: 'get', resource: 'pods', code: '200', seconds: 0.01 })
  store.replace([{ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'x' } }])
  store.markSeen(clock.monotonic())
  await clock.advance(30_000)
  const after = await registry.metrics()
  assert.match(after, /^controller_reconcile_total\{controller="widgets",result="error"\} 1$/m)
  assert.match(after, /^rest_client_requests_total\{verb="get",resource="pods",code="200"\} 1$/m)
  assert.match(after, /^reflector_last_seen_age_seconds\{resource="pods"\} 30$/m)
  assert.match(after, /^reflector_objects\{resource="pods"\} 1$/m)
  assert.match(after, /^reflector_synced\{resource="pods"\} 1$/m)
  assert.match(after, /^leader_election_master_status\{name="lock"\} 1$/m)
  assert.doesNotMatch(before, /^reflector_served\{/m, 'nobody knows yet')
  assert.match(after, /^reflector_served\{resource="pods"\} 1$/m)
  store.markAbsent(clock.monotonic())
  assert.match(await registry.metrics(), /^reflector_served\{resource="pods"\} 0$/m)
})
