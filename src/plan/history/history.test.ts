import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  at,
  claim,
  complete,
  completed,
  failed,
  jobOfSlot,
  only,
  pod,
  policy,
  ready,
  saying,
  scheduled,
  snapshotOf,
  snapshotPolicy,
  stamp,
  world,
} from '../../../test/plan/world.ts'
import type { Backup } from '../../api/kinds/backup.ts'
import type { VolumeSnapshot } from '../../api/kubernetes.ts'
import { annotation } from '../../api/labels.ts'
import { marksOf, nextCleanUp, planCleanUp, planRetained, retentionByTarget } from './history.ts'

const now = at('12:00')

type Kept = { readonly backup: Backup; readonly snapshot: VolumeSnapshot }

/** The n-th snapshot of a claim, an hour after the one before. */
function kept(
  hour: number,
  more: {
    readonly target?: string
    readonly phase?: 'Completed' | 'Failed'
    readonly ready?: boolean
    readonly held?: boolean
  } = {},
): Kept {
  const { target = 'data', phase = 'Completed' } = more
  const slot = at(`${String(hour).padStart(2, '0')}:00`)
  const name = `nightly-${target}-${hour}`
  const snapshot = { name }
  const status =
    phase === 'Completed' ? completed(name, slot, { target, snapshot }) : failed(name, slot, { target, snapshot })
  const annotations: Backup['metadata']['annotations'] = more.held ? { [annotation.hold]: 'true' } : {}
  const backup = scheduled(slot, { name, target, status, metadata: { annotations } })
  return { backup, snapshot: snapshotOf(backup, { status: (more.ready ?? true) ? ready : { readyToUse: false } }) }
}

function plan(retention: number, some: readonly Kept[]) {
  const of = snapshotPolicy({ retention })
  const seen = world(of, {
    claims: [claim('data')],
    backups: some.map(each => each.backup),
    snapshots: some.map(each => each.snapshot),
  })
  return planRetained(seen, of, retentionByTarget(seen, of))
}
const deleted = (actions: ReturnType<typeof plan>) => only(actions, 'delete-snapshot').map(({ name }) => name)

test('the newest N ready snapshots of each claim stay, the others go, oldest first', () => {
  const actions = plan(2, [kept(1), kept(2), kept(3), kept(4), kept(5, { target: 'logs' })])
  assert.deepEqual(deleted(actions), ['nightly-data-1', 'nightly-data-2'])
  assert.ok(only(actions, 'delete-snapshot').every(({ prune }) => prune?.keep === 2))
})

test('snapshots that are not ready, or that failed, push nothing out and are not pruned', () => {
  const some = [kept(1), kept(2, { ready: false }), kept(3, { phase: 'Failed' }), kept(4, { ready: false })]
  assert.deepEqual(deleted(plan(1, some)), [])
})

test('a snapshot that is being deleted does not count any more', () => {
  const going = kept(2)
  const snapshot = { ...going.snapshot, metadata: { ...going.snapshot.metadata, deletionTimestamp: stamp(now) } }
  assert.deepEqual(deleted(plan(1, [kept(1), { ...going, snapshot }])), [])
})

test('a held snapshot stays, and counts', () => {
  assert.deepEqual(deleted(plan(1, [kept(1, { held: true }), kept(2)])), [])
  assert.deepEqual(deleted(plan(1, [kept(1), kept(2, { held: true })])), ['nightly-data-1'])
})

test('a snapshot whose Backup object was deleted still counts, and is pruned in its turn', () => {
  const of = snapshotPolicy({ retention: 1 })
  const seen = world(of, { snapshots: [kept(1).snapshot, kept(2).snapshot] })
  assert.deepEqual(deleted(planRetained(seen, of, retentionByTarget(seen, of))), ['nightly-data-1'])
})

test('the verdict is written before the snapshot goes, and again only when it changes', () => {
  const actions = plan(1, [kept(1), kept(2)])
  assert.deepEqual(
    actions.map(action => action.do),
    ['write-backup-status', 'write-backup-status', 'delete-snapshot'],
  )
  const [first] = only(actions, 'write-backup-status')
  assert.deepEqual(first?.status.retention, { keep: false, reason: 'BeyondRetention' })
  assert.equal(first?.status.phase, 'Completed')
  const told = kept(2)
  const status = { ...told.backup.status, retention: { keep: true, reason: 'WithinRetention' } }
  assert.deepEqual(plan(1, [{ ...told, backup: { ...told.backup, status } }]), [])
})

test('a snapshot stays until its Backup says that it was good', () => {
  const old = kept(1)
  const running = { ...old, backup: { ...old.backup, status: { ...old.backup.status, phase: 'Running' as const } } }
  assert.deepEqual(deleted(plan(1, [running, kept(2)])), [])
  assert.deepEqual(deleted(plan(1, [old, kept(2)])), ['nightly-data-1'])
})

test('a Backup is Deleting from when its snapshot goes, whoever deletes it', () => {
  const going = kept(1)
  const snapshot = { ...going.snapshot, metadata: { ...going.snapshot.metadata, deletionTimestamp: stamp(now) } }
  const [written] = only(plan(3, [{ ...going, snapshot }]), 'write-backup-status')
  assert.equal(written?.status.phase, 'Deleting')
})

test('a policy of strategy job deletes no snapshots, also none of its earlier strategy', () => {
  const of = policy({ retention: 1 })
  const some = [kept(1), kept(2)]
  const seen = world(of, { backups: some.map(each => each.backup), snapshots: some.map(each => each.snapshot) })
  assert.deepEqual(planRetained(seen, of, retentionByTarget(seen, of)), [])
})

const cleanUp = (more: Parameters<typeof world>[1], of = snapshotPolicy()) => planCleanUp(world(of, more), now)

test('a Backup goes when its snapshot is gone, after one more look', () => {
  const { backup } = kept(1)
  const [action] = only(cleanUp({ backups: [backup] }), 'delete-backup')
  assert.deepEqual([action?.name, action?.unlessSnapshot], ['nightly-data-1', 'nightly-data-1'])
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
    cleanUp({ jobs: [of], pods, backups: [old, other, ...run] }, policy()).map(
      action => action.do === 'delete-backup' && action.name,
    )
  const slot = at('03:00')
  assert.deepEqual(forgotten(scheduled(slot, { status: completed(of.metadata.name, at('03:10')) })), ['old'])
  // Until its own success is told the earlier one is the last that people know of.
  assert.deepEqual(forgotten(), [])
  assert.deepEqual(forgotten(scheduled(slot)), [])
  assert.deepEqual(forgotten(scheduled(slot, { status: { phase: 'Running' } })), [])
})

test('the snapshot of a failed Backup goes', () => {
  const { backup, snapshot } = kept(1, { phase: 'Failed', ready: false })
  assert.deepEqual(only(cleanUp({ backups: [backup], snapshots: [snapshot] }), 'delete-snapshot').length, 1)
})

test("a stranger's snapshot under the name of a failed Backup is left alone", () => {
  const { backup, snapshot } = kept(1, { phase: 'Failed' })
  const stranger = { ...snapshot, metadata: { ...snapshot.metadata, annotations: {} } }
  assert.deepEqual(only(cleanUp({ backups: [backup], snapshots: [stranger] }), 'delete-snapshot'), [])
})

test('a snapshot without a Backup goes when it has not become ready in time, as it was seen; a ready one stays', () => {
  const { snapshot } = kept(1, { ready: false })
  const [action] = only(cleanUp({ snapshots: [snapshot] }), 'delete-snapshot')
  assert.equal(action?.resourceVersion, snapshot.metadata.resourceVersion)
  assert.deepEqual(cleanUp({ snapshots: [kept(1).snapshot] }), [])
  const young = kept(12, { ready: false })
  const seen = world(snapshotPolicy(), { snapshots: [young.snapshot] })
  assert.deepEqual(planCleanUp(seen, now), [])
  assert.deepEqual(nextCleanUp(seen, now), at('12:10'))
})

test('of the failed Backups of a target the newest five stay, and on-demand ones are left to their owners', () => {
  const failures = [1, 2, 3, 4, 5, 6, 7].map(hour => kept(hour, { phase: 'Failed' }).backup)
  const others = [1, 2].map(hour => kept(hour, { phase: 'Failed', target: 'logs' }).backup)
  const actions = only(cleanUp({ backups: [...failures.toReversed(), ...others] }), 'delete-backup')
  assert.deepEqual(actions.map(({ name }) => name).toSorted(), ['nightly-data-1', 'nightly-data-2'])
})

test('what is held or accepted travels by the name of the run', () => {
  const held = scheduled(at('01:00'), {
    status: completed('a', now),
    metadata: { annotations: { [annotation.hold]: 'true' } },
  })
  const accepted = scheduled(at('02:00'), {
    status: completed('b', now),
    metadata: { annotations: { [annotation.accepted]: 'true' } },
  })
  const released = scheduled(at('03:00'), {
    status: completed('c', now),
    metadata: { annotations: { [annotation.hold]: 'false' } },
  })
  assert.deepEqual(marksOf([held, accepted, released]), { held: ['a'], accepted: ['b'] })
})

test('a suspect Backup does not count until it is accepted', () => {
  const { storeLocation } = world(policy())
  const suspect = (annotations: Readonly<Record<string, string>>) =>
    scheduled(at('02:00'), {
      status: completed('b', now, { store: storeLocation, suspect: true }),
      metadata: { annotations },
    })
  const good = scheduled(at('01:00'), { status: completed('a', now, { store: storeLocation }) })
  const verdict = (annotations: Readonly<Record<string, string>>) =>
    retentionByTarget(world(policy(), { backups: [good, suspect(annotations)] }), policy({ retention: 1 }))[0]?.plan
      .deleteNow
  assert.deepEqual(verdict({}), [])
  assert.deepEqual(verdict({ [annotation.accepted]: 'true' }), ['a'])
})
