// Many snapshots are to go when a slot is due, and the API server takes its time for each.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { slotRunName } from '../../src/api/names.ts'
import type { BackupPolicyStatus } from '../../src/api/kinds/backup-policy-status.ts'
import type { KubernetesObject } from '../../src/api/kubernetes.ts'
import { scheduleHash } from '../../src/plan/policy/schedule.ts'
import { WaitError } from '../../src/runtime/client/errors.ts'
import { addSeconds } from '../../src/schedule/times.ts'
import {
  at,
  claim,
  completed,
  ready,
  scheduled,
  snapshotClass,
  snapshotOf,
  snapshotPolicy,
  stamp,
  volumeOf,
} from '../plan/world.ts'
import { ToyApiServer } from './toy/api-server.ts'
import { ToyOperator } from './toy/operator.ts'

const due = at('02:00')
const claims = 20
const perDeletionMs = 500

/** As a person applies it. */
function fresh<T extends KubernetesObject>(object: T): T {
  const { resourceVersion: _, ...metadata } = object.metadata
  return { ...object, metadata }
}

/** A policy that keeps one snapshot of each claim, and has three weeks of them. */
function cluster(): ToyApiServer {
  const server = new ToyApiServer(at('00:00'))
  const of = snapshotPolicy({ schedule: '0 2 * * *', retention: 1, startingDeadlineSeconds: 90 })
  const kept = { value: 1, since: stamp(addSeconds(due, -7 * 86_400)) }
  const status: BackupPolicyStatus = {
    scheduleHash: scheduleHash(of),
    scheduleSince: stamp(at('00:00')),
    accountedUntil: stamp(at('01:00')),
    retention: kept,
    onDemandRetention: kept,
  }
  server.create('backuppolicies', fresh(of))
  server.update('backuppolicies', 'nightly', each => ({ ...each, status }))
  server.create('volumesnapshotclasses', fresh(snapshotClass('csi')))
  for (const name of Array.from({ length: claims }, (_, n) => `data-${n}`)) {
    const bound = claim(name)
    server.create('persistentvolumeclaims', fresh(bound))
    server.update('persistentvolumeclaims', name, each => ({ ...each, status: bound.status }))
    server.create('persistentvolumes', fresh(volumeOf(name)))
    for (let day = 1; day <= 21; day++) hasRun(server, name, addSeconds(due, -day * 86_400))
  }
  server.now = addSeconds(due, 1)
  return server
}

function hasRun(server: ToyApiServer, target: string, slot: Date): void {
  server.now = slot
  const run = slotRunName('nightly', target, slot)
  const status = completed(run, slot, { target, takenTime: stamp(slot), snapshot: { name: run } })
  const made = server.create('backups', fresh(scheduled(slot, { name: run, target })))
  server.update('backups', run, each => ({ ...each, status }))
  server.create('volumesnapshots', fresh(snapshotOf({ ...made, status })))
  server.update('volumesnapshots', run, each => ({ ...each, status: { ...ready, creationTime: stamp(slot) } }))
}

test('F71: a slot begins within its deadline however many snapshots are to go, and however slowly', async () => {
  const server = cluster()
  const remove = server.delete.bind(server)
  let deletions = 0
  server.delete = (...args) => {
    deletions++
    server.now = addSeconds(server.now, perDeletionMs / 1000)
    return remove(...args)
  }
  const operator = new ToyOperator(server, 'nightly', { onWrite: () => {} })
  for (let pass = 0; pass < 5; pass++) {
    await operator.pass().catch((error: unknown) => {
      if (!(error instanceof WaitError)) throw error
    })
    for (const { metadata } of server.all('volumesnapshots'))
      if (metadata.deletionTimestamp) server.remove('volumesnapshots', metadata.name)
    server.now = addSeconds(server.now, 1)
  }
  const begun = server.all('backups').filter(({ spec }) => spec.slot === due.toISOString())
  assert.equal(begun.length, claims)
  assert.equal(server.get('backuppolicies', 'nightly')?.status?.slots?.missed ?? 0, 0)
  assert.ok(deletions * perDeletionMs > 90_000, `${deletions} snapshots went meanwhile`)
})
