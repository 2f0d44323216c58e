import assert from 'node:assert/strict'
import { test } from 'node:test'
import { at, backup } from '../../test/plan/world.ts'
import { backupSpec } from '../api/kinds/backup.ts'
import { annotation, label } from '../api/labels.ts'
import { slotRunName } from '../api/names.ts'
import { childBackup, scheduledBackup, volumeSnapshot } from './backup-objects.ts'

const slot = at('02:00')

test('a scheduled Backup outlives its policy: it has no owner', () => {
  const made = scheduledBackup('shop', 'nightly', slotRunName('nightly', 'data', slot), 'data', slot)
  assert.equal(made.metadata.ownerReferences, undefined)
  assert.deepEqual(backupSpec.strict().parse(made.spec), {
    policy: 'nightly',
    target: 'data',
    slot: '2026-01-05T02:00:00.000Z',
  })
  assert.deepEqual(made.metadata.labels, {
    [label.managedBy]: 'backup-operator',
    [label.policy]: 'nightly',
    [label.target]: 'data',
    [label.slot]: '20260105T020000Z',
  })
})

test('a VolumeSnapshot outlives its Backup and its policy, and says which Backup it was made for, when, and of which claim by its UID', () => {
  const run = scheduledBackup('shop', 'nightly', 'run', 'data', slot)
  const askedAt = '2026-01-05T02:00:03Z'
  const made = volumeSnapshot(run, 'run', 'data', 'fast', askedAt, { claimUID: 'uid-of-claim-data' })
  assert.equal(made.metadata.ownerReferences, undefined)
  assert.deepEqual(made.metadata.annotations, {
    [annotation.backup]: 'run',
    [annotation.askedAt]: '2026-01-05T02:00:03Z',
    [annotation.claimUID]: 'uid-of-claim-data',
  })
  assert.equal(made.metadata.labels?.[label.slot], '20260105T020000Z')
  assert.deepEqual(made.spec, { volumeSnapshotClassName: 'fast', source: { persistentVolumeClaimName: 'data' } })
})

test('a child Backup goes with its parent object, and is of one target', () => {
  const made = childBackup(backup('now'), 'data')
  assert.deepEqual(
    made.metadata.ownerReferences?.map(({ kind, uid }) => [kind, uid]),
    [['Backup', 'uid-of-backup-now']],
  )
  assert.deepEqual(made.spec, { policy: 'nightly', target: 'data' })
})

test('labels of long policies and claims fit, and stay apart', () => {
  const long = 'x'.repeat(250)
  const labels = (policy: string, target: string) =>
    Object.values(scheduledBackup('shop', policy, 'run', target, slot).metadata.labels ?? {})
  assert.ok([...labels(`${long}a`, `${long}b`)].every(value => value.length <= 63))
  assert.notDeepEqual(labels(`${long}a`, 'data'), labels(`${long}b`, 'data'))
})
