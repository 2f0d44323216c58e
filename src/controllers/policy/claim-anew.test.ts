// A claim that somebody makes anew right before its slot, while the watch of claims is behind: the observer, plans and writes.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { applyContext } from '../../../test/histories/toy/apply-context.ts'
import { ToyApiServer, toyClient } from '../../../test/histories/toy/api-server.ts'
import { fillCaches, toyCaches } from '../../../test/histories/toy/caches.ts'
import {
  at,
  claim,
  namespace,
  settings,
  snapshotClass,
  snapshotPolicy,
  stamp,
  volumeOf,
} from '../../../test/plan/world.ts'
import type { PersistentVolumeClaim } from '../../api/kubernetes.ts'
import { planPolicy } from '../../plan/policy/policy.ts'
import { isConflict, WaitError } from '../../runtime/client/errors.ts'
import { FakeClock } from '../../runtime/fake-clock.ts'
import { silentLog } from '../../runtime/log.ts'
import { applyPlan } from '../shared/apply.ts'
import { RefusalMemory } from '../shared/refusals.ts'
import { createObserver } from './observe.ts'

/** A policy that keeps one snapshot, of every hour. */
function hourly() {
  const server = new ToyApiServer(at('00:10'))
  const client = toyClient(server)
  const caches = toyCaches(client)
  const clock = new FakeClock(server.now)
  clock.now = () => server.now
  clock.monotonic = () => server.now.getTime()
  const context = applyContext(client, clock, { caches, record: () => {} })
  const observe = createObserver(caches, client, settings, clock, silentLog)
  const memory = new RefusalMemory()
  const { signal } = new AbortController()
  const uidOfClaim = () => server.get('persistentvolumeclaims', 'data')?.metadata.uid
  const makeClaim = () => {
    server.create('persistentvolumeclaims', claim('data'))
    server.update('persistentvolumeclaims', 'data', each => ({ ...each, status: { phase: 'Bound' } }))
  }
  /** The snapshot controller looks for the claim by its name. The content tells of which it is. */
  const cut = () => {
    for (const { metadata, status } of server.all('volumesnapshots')) {
      if (metadata.deletionTimestamp) server.remove('volumesnapshots', metadata.name)
      else if (!status?.readyToUse) {
        const boundVolumeSnapshotContentName = uidOfClaim() ?? ''
        const cutNow = { readyToUse: true, creationTime: stamp(server.now), boundVolumeSnapshotContentName }
        server.update('volumesnapshots', metadata.name, each => ({ ...each, status: cutNow }))
      }
    }
  }
  server.create('volumesnapshotclasses', snapshotClass('fast'))
  server.create('persistentvolumes', volumeOf('data'))
  makeClaim()
  server.create('backuppolicies', snapshotPolicy({ retention: 1, schedule: '0 * * * *' }))
  return {
    server,
    uidOfClaim,
    makeClaim,
    /** @param claims what the watch of claims tells, where it is behind */
    live: async (time: string, claims?: readonly PersistentVolumeClaim[]) => {
      server.now = at(time)
      for (let pass = 0; pass < 6; pass++) {
        fillCaches(caches, server, true, new Map(claims ? [['persistentvolumeclaims', claims]] : []))
        const seen = { ...(await observe(namespace, 'nightly', signal)), probesRunning: 0 }
        await applyPlan(context, seen, planPolicy(seen, server.now), memory, silentLog, signal).catch(
          (error: unknown) => {
            if (!(error instanceof WaitError) && !isConflict(error)) throw error
          },
        )
      }
      cut()
    },
  }
}

for (const [what, again] of [
  ['made anew', true],
  ['deleted', false],
] as const)
  test(`F31: a claim that is ${what} before the cut while the watch of claims is behind costs the old volume no snapshot`, async () => {
    const { server, uidOfClaim, makeClaim, live } = hourly()
    for (const time of ['00:11', '01:00', '01:00:01', '01:30']) await live(time)
    const [old, before] = [uidOfClaim(), server.all('persistentvolumeclaims')]
    server.now = at('01:59:57')
    server.remove('persistentvolumeclaims', 'data')
    if (again) makeClaim()
    for (const time of ['02:00', '02:00:01', '02:00:03']) await live(time, before)
    for (const time of ['02:00:10', '02:30']) await live(time)
    const told = server.all('backups').map(({ status }) => [status?.phase, status?.snapshot?.claimUID])
    assert.deepEqual(told, [
      ['Completed', old],
      ['Completed', 'unproven'],
    ])
    const contents = server.all('volumesnapshots').map(({ status }) => status?.boundVolumeSnapshotContentName)
    assert.deepEqual(contents, [old, uidOfClaim() ?? ''])
  })
