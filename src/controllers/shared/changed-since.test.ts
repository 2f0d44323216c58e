// What is deleted only as it was seen, and was written to since: a watch that is behind must not cost a snapshot that is good by now.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { applyContext } from '../../../test/histories/toy/apply-context.ts'
import { ToyApiServer, toyClient } from '../../../test/histories/toy/api-server.ts'
import { toyCaches } from '../../../test/histories/toy/caches.ts'
import { passOf } from '../../../test/histories/toy/pass.ts'
import {
  at,
  claim,
  failed,
  ready,
  scheduled,
  snapshotOf,
  snapshotPolicy,
  stamp,
  world,
} from '../../../test/plan/world.ts'
import type { Backup } from '../../api/kinds/backup.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import { FakeClock } from '../../runtime/fake-clock.ts'
import { lookLast } from '../policy/look-before-deletion.ts'

const signal = new AbortController().signal
const name = 'nightly-data-1'
const run = scheduled(at('11:00'), { name, target: 'data' })

/** The snapshot of a run as the watch has told it, cut and not ready; by now it is ready. Two passes, each from what the cache knows then. */
async function twoPasses(now: Date, policy: BackupPolicy | undefined, backups: readonly Backup[]) {
  const server = new ToyApiServer(now)
  for (const each of backups) server.create('backups', each)
  const uncut = snapshotOf(run, { status: { readyToUse: false } })
  server.create('volumesnapshots', uncut)
  const seen = server.update('volumesnapshots', name, each => ({
    ...each,
    metadata: { ...each.metadata, creationTimestamp: stamp(at('11:00')) },
    status: { readyToUse: false },
  }))
  server.update('volumesnapshots', name, each => ({ ...each, status: ready }))
  const client = toyClient(server)
  const caches = toyCaches(client)
  caches.snapshots.offer(seen ?? assert.fail())
  const context = applyContext(client, new FakeClock(now), { caches })
  const begun: string[] = []
  for (let pass = 0; pass < 2; pass++) {
    const known = world(policy, {
      claims: [claim('data')],
      backups: server.all('backups'),
      snapshots: [caches.snapshots.get('shop', name) ?? assert.fail()],
    })
    begun.push(...(await passOf(context, known, now, /^(clean|end|run)\//)))
  }
  const { deletionTimestamp } = server.get('volumesnapshots', name)?.metadata ?? assert.fail('it was deleted')
  assert.equal(deletionTimestamp, undefined, 'it is being deleted')
  return { begun, backup: server.get('backups', name) }
}

test('F31: a snapshot without a Backup that became ready after the watch told of it stays, and the next plan knows it', async () => {
  const { begun } = await twoPasses(at('12:00'), snapshotPolicy(), [])
  assert.deepEqual(begun, [`clean/${name}`], 'it was to go once')
})

test('F31: a snapshot that became ready before its policy was deleted stays, and its Backup is complete', async () => {
  const { begun, backup } = await twoPasses(at('11:05'), undefined, [run])
  assert.deepEqual(begun, [`end/${name}/0`, `run/${name}`, `run/${name}`])
  assert.equal(backup?.status?.phase, 'Completed', String(backup?.status?.message))
})

test('a Backup that is to make room for its successor stays where it was written to since', async () => {
  const server = new ToyApiServer(at('12:00'))
  const failedAt = (time: string) =>
    server.update('backups', name, each => ({ ...each, status: failed(name, at(time)) }))
  server.create('backups', run)
  failedAt('11:01')
  const client = toyClient(server)
  const { uid = '', resourceVersion = '' } = server.get('backups', name)?.metadata ?? assert.fail()
  const doomed = { kind: 'Backup', name, uid, resourceVersion }
  const owner = { namespace: 'shop', name: 'nightly' }
  const caches = toyCaches(client)
  const look = async () => {
    const provided = { that: 'nobody-needs-it' } as const
    return (await lookLast({ client, caches }, owner, doomed, provided, new Map(), signal)).is
  }
  assert.equal(await look(), 'to-go')
  failedAt('11:02')
  assert.equal(await look(), 'stays')
  assert.notEqual(caches.backups.get('shop', name)?.metadata.resourceVersion, resourceVersion, 'the next plan knows')
})
