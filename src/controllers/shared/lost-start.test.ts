// A Job or VolumeSnapshot that was created, of which neither the answer nor the watch has told: its run is not ended without a look.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { applyContext } from '../../../test/histories/toy/apply-context.ts'
import { ToyApiServer, toyClient } from '../../../test/histories/toy/api-server.ts'
import { toyCaches } from '../../../test/histories/toy/caches.ts'
import { passOf } from '../../../test/histories/toy/pass.ts'
import {
  at,
  backup,
  claim,
  jobOfBackup,
  jobOfSlot,
  policy,
  ready,
  scheduled,
  snapshotOf,
  snapshotPolicy,
  stamp,
  world,
} from '../../../test/plan/world.ts'
import type { Backup } from '../../api/kinds/backup.ts'
import { FakeClock } from '../../runtime/fake-clock.ts'

const metadata = { creationTimestamp: stamp(at('11:00')) }
const going = { phase: 'Running', reason: 'SnapshotPending', target: 'data' } as const
const slot = scheduled(at('11:00'), { name: 'nightly-data-1', target: 'data' })
const now = at('11:06')

for (const [what, run] of [
  ['a slot', slot],
  ['one that was asked for', backup('now', { spec: { target: 'data' }, metadata })],
] as const)
  test(`F31: the run of ${what} whose claim went is not failed where the answer to its start was lost: its snapshot is looked for, and it is complete`, async () => {
    const server = new ToyApiServer(now)
    server.create('backups', run)
    const made = server.update('backups', run.metadata.name, each => ({
      ...each,
      metadata: { ...each.metadata, ...metadata },
    }))
    const { name } = server.create('volumesnapshots', snapshotOf(made ?? assert.fail())).metadata
    server.update('volumesnapshots', name, each => ({ ...each, status: ready }))
    const client = toyClient(server)
    const caches = toyCaches(client)
    const context = applyContext(client, new FakeClock(now), { caches })
    const told: (Backup['status'] | undefined)[] = []
    for (let pass = 0; pass < 3; pass++) {
      const known = caches.snapshots.get('shop', name)
      const seen = world(snapshotPolicy(), {
        claims: [claim('other')],
        backups: server.all('backups'),
        snapshots: known ? [known] : [],
      })
      await passOf(context, seen, now, /^(run|clean)\//)
      told.push(server.get('backups', run.metadata.name)?.status)
    }
    assert.deepEqual(
      told.map(status => status?.phase),
      [undefined, 'Completed', 'Completed'],
    )
    assert.equal(server.get('volumesnapshots', name)?.metadata.deletionTimestamp, undefined)
  })

for (const [what, run] of [
  ['that goes on', scheduled(at('11:00'), { name: 'nightly-data-1', target: 'data', status: going })],
  ['of which nothing is told yet', backup('now', { spec: { target: 'data' }, metadata })],
  ['whose status alone names its target', backup('now', { metadata, status: { ...going, phase: 'Pending' } })],
] as const)
  test(`F31: a run ${what} is not ended with its policy before its snapshot was looked for, and is complete where that is ready`, async () => {
    const server = new ToyApiServer(now)
    server.create('backups', run)
    const made = server.update('backups', run.metadata.name, ({ metadata: { uid } }) => ({
      ...run,
      metadata: { ...run.metadata, ...metadata, ...(uid === undefined ? {} : { uid }) },
    }))
    const { name } = server.create('volumesnapshots', snapshotOf(made ?? assert.fail(), { claim: 'data' })).metadata
    server.update('volumesnapshots', name, each => ({
      ...each,
      metadata: { ...each.metadata, ...metadata },
      status: ready,
    }))
    const client = toyClient(server)
    const caches = toyCaches(client)
    caches.backups.replace(server.all('backups'))
    const context = applyContext(client, new FakeClock(now), { caches })
    const told: (string | undefined)[] = []
    for (let pass = 0; pass < 2; pass++) {
      const known = caches.snapshots.get('shop', name)
      const seen = world(undefined, { backups: server.all('backups'), snapshots: known ? [known] : [] })
      await passOf(context, seen, now, /^(run|clean|end)\//)
      told.push(server.get('backups', run.metadata.name)?.status?.phase)
    }
    assert.deepEqual(told, [run.status?.phase, 'Completed'])
  })

for (const [strategy, what, own, other, of] of [
  ['job', {}, jobOfBackup, { jobs: [jobOfSlot(at('11:00'))] }, policy],
  [
    'snapshot',
    { target: 'data' },
    snapshotOf,
    { snapshots: [snapshotOf(slot, { metadata: { creationTimestamp: stamp(now) } })], claims: [claim('data')] },
    snapshotPolicy,
  ],
] as const)
  for (const spec of [{ whenBusy: 'Skip' }, { startingDeadlineSeconds: 60 }] as const)
    test(`F28: a Backup on demand whose ${strategy} was made is not Skipped behind another run where no watch shows its own yet: ${JSON.stringify(spec)}`, async () => {
      const server = new ToyApiServer(now)
      server.create('backups', backup('now', { spec: what }))
      const asked = server.update('backups', 'now', each => ({ ...each, metadata: { ...each.metadata, ...metadata } }))
      assert.ok(asked)
      const kind = strategy === 'job' ? 'jobs' : 'volumesnapshots'
      server.create(kind, own(asked))
      const client = toyClient(server)
      const caches = toyCaches(client)
      const context = applyContext(client, new FakeClock(now), { caches })
      caches.policies.replace([of(spec)])
      caches.backups.replace([asked])
      await passOf(context, world(of(spec), { backups: [asked, slot], ...other }), now, /^run\/now/)
      assert.equal(server.get('backups', 'now')?.status, undefined)
      assert.equal((strategy === 'job' ? caches.jobs : caches.snapshots).size, 1, 'the next plan sees it')
    })
