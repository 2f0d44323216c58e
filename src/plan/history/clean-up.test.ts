import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Backup } from '../../api/kinds/backup.ts'
import { kept } from '../../../test/plan/kept.ts'
import { actionsOf, only, planPolicy } from '../../../test/plan/planned.ts'
import {
  at,
  backup,
  complete,
  completed,
  jobOfSlot,
  pod,
  policy,
  saying,
  scheduled,
  snapshotPolicy,
  world,
  stamp,
} from '../../../test/plan/world.ts'
import type { VolumeSnapshot } from '../../api/kubernetes.ts'
import { annotation, label } from '../../api/labels.ts'
import { viewOf } from '../view/view.ts'
import { nextCleanUp, planCleanUp } from './clean-up.ts'

const now = at('12:00')

/** Slots up to here are accounted for. */
const booked = (until: string) => ({ status: { accountedUntil: stamp(at(until)) } })

const cleanUp = (more: Parameters<typeof world>[1], of = snapshotPolicy({}, booked('12:00'))) =>
  actionsOf(planCleanUp(viewOf(world(of, more)), new Set(), now))

test('a Backup goes when its snapshot is gone, after one more look', () => {
  const { backup } = kept(1)
  const [action] = only(cleanUp({ backups: [backup] }), 'delete Backup')
  assert.deepEqual(
    [action?.name, action?.provided],
    ['nightly-data-1', { that: 'no-snapshot', name: 'nightly-data-1' }],
  )
})

test('without the snapshot API no Backup is forgotten', () => {
  assert.deepEqual(cleanUp({ backups: [kept(1).backup], snapshotClasses: undefined }), [])
})

test('a Backup goes when a mover says that it deleted the run', () => {
  const of = jobOfSlot(at('03:00'), { status: complete(at('03:00'), at('03:10')) })
  const message = { phase: 'committed', run: of.metadata.name, deleted: ['old'] } as const
  const pods = [pod(of, 1, { status: { phase: 'Succeeded', containerStatuses: [saying(message)] } })]
  const old = scheduled(at('01:00'), { name: 'old', status: completed('old', at('01:10')) })
  const other = scheduled(at('02:00'), { status: completed('other', at('02:10')) })
  const forgotten = (...run: readonly Backup[]) =>
    only(
      planPolicy(world(policy({}, booked('02:30')), { jobs: [of], pods, backups: [old, other, ...run] }), now).actions,
      'delete Backup',
    ).map(({ name }) => name)
  const slot = at('03:00')
  assert.deepEqual(forgotten(scheduled(slot, { status: completed(of.metadata.name, at('03:10')) })), ['old'])
  // Until its own success is told the earlier one is the last that people know of.
  assert.deepEqual(forgotten(), [])
  assert.deepEqual(forgotten(scheduled(slot)), [])
  assert.deepEqual(forgotten(scheduled(slot, { status: { phase: 'Running' } })), [])
  assert.deepEqual(forgotten(backup(of.metadata.name)), [], 'F27: another with its name does not tell of it')
})

test('F63: what a mover deleted in one store is not gone from another, held or not', () => {
  const slot = at('03:00')
  const left = (told: string, lies: string, from: 'Job' | 'pod', hold?: 'true') => {
    const of = jobOfSlot(slot, {
      metadata: { annotations: { [annotation.store]: told, [annotation.cronJobSlot]: '2026-01-05T03:00:00Z' } },
      status: complete(slot, at('03:10')),
    })
    const message = { phase: 'committed', run: of.metadata.name, deleted: ['old'] } as const
    const pods = [pod(of, 1, { status: { phase: 'Succeeded', containerStatuses: [saying(message)] } })]
    const own = { store: told, jobUID: of.metadata.uid }
    const newest = scheduled(slot, { status: completed(of.metadata.name, at('03:10'), own) })
    const old = scheduled(at('01:00'), {
      name: 'old',
      status: completed('old', at('01:10'), { store: lies }),
      ...(hold ? { metadata: { annotations: { [annotation.hold]: hold } } } : {}),
    })
    const seen = { jobs: from === 'Job' ? [of] : [], pods, backups: [old, newest] }
    const actions = cleanUp(seen, policy({}, booked('04:00')))
    return [
      ...only(actions, 'delete Backup').map(({ name }) => `${name} goes`),
      ...only(actions, 'status Backup').map(({ status }) => `${status.run} is said to be ${status.phase}`),
    ]
  }
  for (const from of ['Job', 'pod'] as const) {
    assert.deepEqual(left('here', 'here', from), ['old goes'])
    assert.deepEqual(left('here', 'here', from, 'true'), ['old is said to be Deleting'])
    assert.deepEqual(
      left('here', 'elsewhere', from),
      [],
      'a bucket that was copied has the same runs as the one before',
    )
    assert.deepEqual(left('here', 'elsewhere', from, 'true'), [])
  }
})

test('the snapshot of a failed Backup goes', () => {
  const { backup, snapshot } = kept(1, { phase: 'Failed', ready: false })
  assert.deepEqual(only(cleanUp({ backups: [backup], snapshots: [snapshot] }), 'delete VolumeSnapshot').length, 1)
})

test('F31: the ready snapshot of a Backup that failed for something else than the snapshot stays, and its Backup with it', () => {
  const goes = (reason: string, isReady: boolean) => {
    const { backup, snapshot } = kept(1, { phase: 'Failed', ready: isReady })
    const of = { ...backup, status: { ...backup.status, phase: 'Failed', reason } } as const
    return only(cleanUp({ backups: [of], snapshots: [snapshot] }), 'delete VolumeSnapshot')
  }
  for (const reason of [
    'TargetNotFound',
    'PVCGone',
    'NoSnapshotClass',
    'CreationRefused',
    'PolicyDeleted',
    'SnapshotDeleted',
  ]) {
    assert.deepEqual(goes(reason, true), [], reason)
    assert.equal(goes(reason, false)[0]?.resourceVersion, '1', `${reason}: it goes unless it became ready meanwhile`)
  }
  for (const reason of ['SnapshotNotCut', 'SnapshotNotReady']) assert.equal(goes(reason, true).length, 1, reason)
})

test("a stranger's snapshot under the name of a failed Backup is left alone", () => {
  const { backup, snapshot } = kept(1, { phase: 'Failed' })
  const stranger = { ...snapshot, metadata: { ...snapshot.metadata, annotations: {} } }
  assert.deepEqual(only(cleanUp({ backups: [backup], snapshots: [stranger] }), 'delete VolumeSnapshot'), [])
})

test('F67: a snapshot without a Backup goes when it was not cut in time, or not ready with an error, as it was seen', () => {
  const { snapshot } = kept(1, { ready: false })
  const late = at('+3d 12:00')
  const gone = (status: VolumeSnapshot['status'], time: Date) => {
    const seen = viewOf(world(snapshotPolicy(), { snapshots: [{ ...snapshot, status }] }))
    return only(actionsOf(planCleanUp(seen, new Set(), time)), 'delete VolumeSnapshot')
  }
  const creationTime = stamp(at('01:00'))
  const error = { message: 'the copy broke off' }
  assert.equal(gone({ readyToUse: false }, now)[0]?.resourceVersion, snapshot.metadata.resourceVersion)
  assert.equal(gone({ creationTime, error }, late).length, 1)
  assert.deepEqual(gone({ creationTime, error }, now), [], 'it has a day')
  assert.deepEqual(gone({ creationTime }, late), [], 'slow is no failure')
  assert.deepEqual(gone({ readyToUse: true }, late), [])
  const young = kept(12, { ready: false })
  const seen = viewOf(world(snapshotPolicy(), { snapshots: [young.snapshot] }))
  assert.deepEqual(actionsOf(planCleanUp(seen, new Set(), now)), [])
  assert.deepEqual(nextCleanUp(seen, now), at('12:10'))
})

test('of the failed Backups of a target the newest five stay', () => {
  const failures = [1, 2, 3, 4, 5, 6, 7].map(hour => kept(hour, { phase: 'Failed' }).backup)
  const others = [1, 2].map(hour => kept(hour, { phase: 'Failed', target: 'logs' }).backup)
  const actions = only(cleanUp({ backups: [...failures.toReversed(), ...others] }), 'delete Backup')
  assert.deepEqual(actions.map(({ name }) => name).toSorted(), ['nightly-data-1', 'nightly-data-2'])
})

test('F63: a held Backup stays when its data are gone, and no longer says that it can be restored', () => {
  const { backup } = kept(1, { held: true })
  const actions = cleanUp({ backups: [backup] })
  assert.deepEqual(only(actions, 'delete Backup'), [])
  const [told] = only(actions, 'status Backup')
  assert.deepEqual([told?.status.phase, told?.unless], ['Deleting', { kind: 'snapshot', name: 'nightly-data-1' }])
  assert.match(told?.status.message ?? '', /stays because somebody holds it/)
  assert.deepEqual(cleanUp({ backups: [{ ...backup, status: told?.status }] }), [], 'it is told once')
})

test('F63: held failures, and snapshots with a hold, are never cleaned up, and every deletion of a Backup asks for its hold', () => {
  const failures = [1, 2, 3, 4, 5, 6, 7].map(hour => kept(hour, { phase: 'Failed', held: hour === 1 }).backup)
  const actions = only(cleanUp({ backups: failures }), 'delete Backup')
  assert.deepEqual(
    actions.map(({ name }) => name),
    ['nightly-data-2'].slice(0, actions.length),
  )
  assert.ok(actions.every(({ provided }) => provided !== undefined))
  const { backup, snapshot } = kept(1, { phase: 'Failed', ready: false })
  const labels = { ...snapshot.metadata.labels, [label.hold]: 'true' }
  const heldSnapshot = { ...snapshot, metadata: { ...snapshot.metadata, labels } }
  assert.deepEqual(only(cleanUp({ backups: [backup], snapshots: [heldSnapshot] }), 'delete VolumeSnapshot'), [])
})

test('the Backup of a slot stays until the status of the policy accounts for the slot: it is the proof that the slot has run', () => {
  const { backup } = kept(3)
  const gone = (of: ReturnType<typeof snapshotPolicy>) =>
    only(cleanUp({ backups: [backup] }, of), 'delete Backup').length
  assert.equal(gone(snapshotPolicy({}, booked('02:59'))), 0)
  assert.equal(gone(snapshotPolicy()), 0)
  assert.equal(gone(snapshotPolicy({}, booked('03:00'))), 1)
  assert.equal(gone(snapshotPolicy({}, { status: { scheduleSince: stamp(at('04:00')) } })), 1, 'none of its slots')
})
