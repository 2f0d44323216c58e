// From 03:00 on one clock is wrong all the time, by an hour or two (a hardware clock that was taken for local time) or by some minutes, and
// nothing else happens. What is counted is of the time from an hour later on.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { KubernetesObject } from '../../src/api/kubernetes.ts'
import { WaitError } from '../../src/runtime/client/errors.ts'
import { overdueSeconds } from '../../src/plan/policy/overdue.ts'
import { addSeconds } from '../../src/schedule/times.ts'
import { at, claim, policy, snapshotClass, snapshotPolicy, stamp, volumeOf } from '../plan/world.ts'
import { ToyApiServer } from './toy/api-server.ts'
import { ToyCronController } from './toy/cron-controller.ts'
import { endJobsOfSlots } from './toy/ended-jobs.ts'
import { ToyOperator } from './toy/operator.ts'

function fresh<T extends KubernetesObject>(object: T): T {
  const { resourceVersion: _, ...metadata } = object.metadata
  return { ...object, metadata }
}

const hour = 3600
const wrongFrom = at('03:00')
const settled = at('05:10')

function missedOf(server: ToyApiServer): number {
  return server.get('backuppolicies', 'nightly')?.status?.slots?.missed ?? 0
}

async function pass(operator: ToyOperator): Promise<void> {
  await operator.pass().catch((error: unknown) => {
    if (!(error instanceof WaitError)) throw error
  })
}

function by(now: Date, seconds: number): Date {
  return now < wrongFrom ? now : addSeconds(now, seconds)
}

type Wrong = { readonly controller?: number; readonly operator?: number; readonly apiServer?: number }

async function jobs(
  { controller = 0, operator = 0, apiServer = 0 }: Wrong,
  schedule: string,
  hours: number,
  step = 60,
) {
  const server = new ToyApiServer(at('01:00'))
  server.ownTime = at('01:00')
  server.create('backuppolicies', fresh(policy({ schedule, retention: 50 })))
  const cron = new ToyCronController(server)
  const process = new ToyOperator(server, 'nightly', { onWrite: () => {} })
  const names: string[] = []
  let before: number | undefined
  const uids = new Set<string>()
  const end = addSeconds(at('01:00'), hours * 3600)
  for (let now = addSeconds(at('01:00'), 7); now < end; now = addSeconds(now, step)) {
    if (now >= settled) before ??= missedOf(server)
    server.ownTime = by(now, apiServer)
    server.now = by(now, controller)
    cron.sync()
    for (const { metadata } of endJobsOfSlots(server, now)) {
      if (!uids.has(metadata.uid ?? '')) names.push(metadata.name)
      uids.add(metadata.uid ?? '')
    }
    server.now = by(now, operator)
    for (let n = 0; n < 3; n++) await pass(process)
  }
  const of = server.get('backuppolicies', 'nightly') ?? assert.fail()
  const { status } = of
  return {
    runs: names.length,
    twice: names.length - new Set(names).size,
    missed: missedOf(server) - (before ?? 0),
    skipped: status?.slots?.skipped ?? 0,
    overdue: overdueSeconds(of, server.now),
  }
}

async function snapshots({ operator = 0, apiServer = 0 }: Wrong, schedule: string, hours: number) {
  const server = new ToyApiServer(at('01:00'))
  server.ownTime = at('01:00')
  server.create('backuppolicies', fresh(snapshotPolicy({ schedule, retention: 50 })))
  const data = claim('data')
  server.create('persistentvolumeclaims', fresh(data))
  server.update('persistentvolumeclaims', 'data', each => ({ ...each, status: data.status }))
  server.create('persistentvolumes', fresh(volumeOf('data')))
  server.create('volumesnapshotclasses', fresh(snapshotClass('csi')))
  const process = new ToyOperator(server, 'nightly', { onWrite: () => {} })
  const end = addSeconds(at('01:00'), hours * 3600)
  let before: number | undefined
  for (let now = addSeconds(at('01:00'), 1); now < end; now = addSeconds(now, 60)) {
    if (now >= settled) before ??= missedOf(server)
    for (let n = 0; n < 3; n++) {
      server.ownTime = by(addSeconds(now, n), apiServer)
      server.now = by(addSeconds(now, n), operator)
      await pass(process)
      for (const { metadata, status } of server.all('volumesnapshots'))
        if (!status && n > 0)
          server.update('volumesnapshots', metadata.name, each => ({
            ...each,
            status: { readyToUse: true, creationTime: stamp(now), boundVolumeSnapshotContentName: 'content' },
          }))
    }
  }
  const of = server.get('backuppolicies', 'nightly') ?? assert.fail()
  const { status } = of
  const slots = server.all('backups').map(({ spec }) => spec.slot)
  return {
    runs: slots.length,
    twice: slots.length - new Set(slots).size,
    missed: missedOf(server) - (before ?? 0),
    skipped: status?.slots?.skipped ?? 0,
    overdue: overdueSeconds(of, server.now),
  }
}

for (const [what, wrong] of [
  ['no clock is wrong', {}],
  ['the controller is an hour ahead', { controller: hour }],
  ['the operator is two hours ahead', { operator: 2 * hour }],
  ['the operator is two hours behind', { operator: -2 * hour }],
  ['the API server is two hours ahead', { apiServer: 2 * hour }],
  ['the API server is two hours behind', { apiServer: -2 * hour }],
] as const) {
  test(`F23: job, hourly, ${what}: each slot runs once and none is missed`, async () => {
    const { runs, ...rest } = await jobs(wrong, '30 * * * *', 10)
    assert.deepEqual([runs >= 8, rest], [true, { twice: 0, missed: 0, skipped: 0, overdue: 0 }], `runs ${runs}`)
  })
  if (!('controller' in wrong))
    test(`F23: snapshot, hourly, ${what}: each slot runs once and none is missed`, async () => {
      const { runs, ...rest } = await snapshots(wrong, '30 * * * *', 10)
      assert.deepEqual([runs >= 8, rest], [true, { twice: 0, missed: 0, skipped: 0, overdue: 0 }], `runs ${runs}`)
    })
}
for (const [what, wrong] of [
  ['the operator is six minutes ahead', { operator: 360 }],
  ['the API server is six minutes behind', { apiServer: -360 }],
  ['the controller is six minutes ahead', { controller: 360 }],
] as const) {
  test(`F23: job, every 5 minutes, ${what}: each slot runs once and none is missed`, async () => {
    const { runs, ...rest } = await jobs(wrong, '*/5 * * * *', 6, 20)
    assert.deepEqual([runs >= 50, rest], [true, { twice: 0, missed: 0, skipped: 0, overdue: 0 }], `runs ${runs}`)
  })
  if (!('controller' in wrong))
    test(`F23: snapshot, every 5 minutes, ${what}: each slot runs once and none is missed`, async () => {
      const { runs, ...rest } = await snapshots(wrong, '*/5 * * * *', 6)
      assert.deepEqual([runs >= 50, rest], [true, { twice: 0, missed: 0, skipped: 0, overdue: 0 }], `runs ${runs}`)
    })
}
