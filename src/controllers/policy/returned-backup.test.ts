// A Backup that comes back with its status (a restore of the status, an import) has another UID than the one that its VolumeSnapshot was named by.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { applyContext } from '../../../test/histories/toy/apply-context.ts'
import { toyClient, ToyApiServer } from '../../../test/histories/toy/api-server.ts'
import { fillCaches, toyCaches } from '../../../test/histories/toy/caches.ts'
import {
  at,
  backup,
  claim,
  completed,
  ready,
  snapshotOf,
  snapshotPolicy,
  stamp,
  world,
} from '../../../test/plan/world.ts'
import type { BackupStatus } from '../../api/kinds/backup.ts'
import type { VolumeSnapshot } from '../../api/kubernetes.ts'
import { annotation, label } from '../../api/labels.ts'
import { planPolicy } from '../../plan/policy/policy.ts'
import { scheduleHash } from '../../plan/policy/schedule.ts'
import { FakeClock } from '../../runtime/fake-clock.ts'
import { silentLog } from '../../runtime/log.ts'
import { applyPlan } from '../shared/apply.ts'
import { RefusalMemory } from '../shared/refusals.ts'

const now = at('02:00:30')

/** A policy whose slot of 02:00 is due, and a held Backup of another UID than when its snapshot was made; three passes over them. */
async function returned(statusOf: (snapshot: string) => BackupStatus, status: VolumeSnapshot['status']) {
  const server = new ToyApiServer(now)
  const made = server.create('backuppolicies', snapshotPolicy())
  const since = { scheduleHash: scheduleHash(made), scheduleSince: stamp(at('00:00')) }
  server.update('backuppolicies', 'nightly', each => ({ ...each, status: since }))
  const asked = backup('now', { spec: { target: 'data' }, metadata: { annotations: { [annotation.hold]: 'true' } } })
  const { name } = server.create('volumesnapshots', snapshotOf(server.create('backups', asked))).metadata
  server.update('volumesnapshots', name, each => ({ ...each, status }))
  server.remove('backups', 'now')
  server.create('backups', asked)
  server.update('backups', 'now', each => ({ ...each, status: statusOf(name) }))
  const client = toyClient(server)
  const caches = toyCaches(client)
  const context = applyContext(client, new FakeClock(now), { caches })
  for (let pass = 0; pass < 3; pass++) {
    fillCaches(caches, server, true)
    const seen = world(server.get('backuppolicies', 'nightly'), {
      claims: [claim('data')],
      backups: server.all('backups'),
      snapshots: server.all('volumesnapshots'),
    })
    await applyPlan(context, seen, planPolicy(seen, now), new RefusalMemory(), silentLog, new AbortController().signal)
  }
  return { server, name }
}

const running = (name: string): BackupStatus => ({ phase: 'Running', target: 'data', run: name, snapshot: { name } })
const complete = (name: string) => completed(name, at('00:30'), { target: 'data', snapshot: { name } })

for (const [what, statusOf, status, phase] of [
  ['was complete', complete, ready, 'Completed'],
  ['was going on, and is ready by now', running, ready, 'Completed'],
  ['goes on', running, {}, 'Running'],
] as const)
  test(`F71: a Backup that ${what} has its snapshot also under another UID, and its policy goes on`, async () => {
    const { server, name } = await returned(statusOf, status)
    assert.equal(server.get('backuppolicies', 'nightly')?.status?.accountedUntil, stamp(at('02:00')))
    assert.equal(server.all('backups').filter(({ spec }) => spec.slot).length, 1, 'the slot that was due has run')
    const { status: told } = server.get('backups', 'now') ?? assert.fail()
    assert.deepEqual([told?.phase, told?.run], [phase, name])
    assert.equal(
      server.get('volumesnapshots', name)?.metadata.labels?.[label.hold],
      'true',
      'its hold reaches the data',
    )
  })
