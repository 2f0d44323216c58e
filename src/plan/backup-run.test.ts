import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  at,
  backup,
  claim,
  complete,
  completed,
  failed,
  job,
  jobFailed,
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
} from '../../test/world.ts'
import type { Backup, BackupStatus } from '../api/backup.ts'
import { childBackupName, onDemandJobName } from '../api/names.ts'
import { childBackup } from '../resources/backup-objects.ts'
import { planBackup } from './backup-run.ts'
import { planPolicy } from './policy.ts'
import type { PolicyWorld } from './world.ts'

const now = at('12:00')
const asked = (more: Parameters<typeof backup>[1] = {}) =>
  backup('now', { ...more, metadata: { creationTimestamp: stamp(now), ...more.metadata } })

function plan(seen: PolicyWorld, of: Backup, time = now) {
  const { actions, wakeAt } = planBackup(seen, of, undefined, time)
  return {
    actions,
    wakeAt,
    status: only(actions, 'write-backup-status')[0]?.status,
    does: actions.map(action => action.do),
  }
}

const onDemandJob = (of: Backup, more: Parameters<typeof job>[2] = {}) =>
  job(onDemandJobName('nightly', of.metadata.uid ?? ''), 'run', {
    status: { startTime: stamp(now), active: 1 },
    ...more,
  })

// ── strategy job

test('an on-demand Backup starts a Job, also while the schedule is suspended', () => {
  for (const suspend of [false, true])
    assert.deepEqual(plan(world(policy({ suspend })), asked()).does, ['create-run-job'])
})

test('its Job is followed', () => {
  const of = asked()
  const run = onDemandJob(of)
  const { status } = plan(world(policy(), { jobs: [run], pods: [pod(run, 1)] }), of)
  assert.deepEqual([status?.phase, status?.run, status?.target], ['Running', run.metadata.name, 'command'])
})

test('a success is told once, with its sizes and duration', () => {
  const of = asked()
  const run = onDemandJob(of, { status: complete(now, at('12:02')) })
  const message = {
    phase: 'committed',
    finishedAt: at('12:02').getTime(),
    bytes: 2048,
    storedBytes: 1024,
    manifest: 'm',
  } as const
  const pods = [pod(run, 1, { status: { phase: 'Succeeded', containerStatuses: [saying(message)] } })]
  const { actions, status } = plan(world(policy(), { jobs: [run], pods }), of, at('12:03'))
  assert.deepEqual(
    [status?.phase, status?.bytes, status?.size, status?.duration, status?.completionTime],
    ['Completed', 2048, '1.0 KiB', '2m', stamp(at('12:02'))],
  )
  const [write] = only(actions, 'write-backup-status')
  assert.deepEqual(write?.outcome, { outcome: 'success', seconds: 120, strategy: 'job' })
  assert.equal(only(actions, 'event').length, 1)
  assert.deepEqual(plan(world(policy(), { jobs: [run], pods }), { ...of, status }).actions, [])
})

test('an on-demand Backup during a run is skipped, and says during which', () => {
  const running = jobOfSlot(at('02:00'))
  const { status } = plan(world(policy(), { jobs: [running], pods: [pod(running, 1)] }), asked())
  assert.deepEqual([status?.phase, status?.reason], ['Skipped', 'Overlapping'])
  assert.match(status?.message ?? '', new RegExp(running.metadata.name))
})

test('of two that are asked for at once one starts', () => {
  const backups = [asked(), asked({ metadata: { name: 'other', uid: 'other' } })]
  assert.equal(only(planPolicy(world(policy(), { backups }), now).actions, 'create-run-job').length, 1)
})

test('a target that a job policy does not have is refused', () => {
  const { status } = plan(world(policy()), asked({ spec: { target: 'data' } }))
  assert.deepEqual([status?.phase, status?.reason], ['Failed', 'TargetNotFound'])
  assert.match(status?.message ?? '', /the one target is command/)
})

test('a Job that disappeared before its end is a failure, after one more look', () => {
  const slot = at('02:00')
  for (const of of [
    scheduled(slot, { status: { phase: 'Running' } }),
    asked({ status: { phase: 'Running', run: 'x' } }),
  ]) {
    const { actions, status } = plan(world(policy()), of)
    assert.deepEqual([status?.phase, status?.reason], ['Failed', 'JobDeleted'])
    assert.equal(only(actions, 'write-backup-status')[0]?.unless?.kind, 'job')
  }
})

test('a final phase stays, whatever is seen later', () => {
  const slot = at('02:00')
  const run = jobOfSlot(slot, { status: complete(slot, at('02:10')) })
  for (const status of [failed('x', now), completed('x', now), { phase: 'Skipped' }, { phase: 'Deleting' }] as const)
    assert.deepEqual(plan(world(policy(), { jobs: [run] }), scheduled(slot, { status })).actions, [])
})

// ── policies that are not there

test('a policy may come a little later than the Backup that names it', () => {
  const early = plan(world(undefined), asked(), at('12:00:59'))
  assert.deepEqual(
    [early.status?.phase, early.status?.reason, early.wakeAt],
    ['Pending', 'PolicyNotFound', at('12:01')],
  )
  const late = plan(world(undefined), asked(), at('12:01'))
  assert.deepEqual([late.status?.phase, late.status?.reason], ['Failed', 'PolicyNotFound'])
  const waiting = asked({ status: early.status })
  assert.deepEqual(plan(world(policy()), waiting).does, ['create-run-job'])
})

test('deleting a policy ends its run', () => {
  const slot = at('02:00')
  const run = jobOfSlot(slot)
  const { does, status } = plan(world(undefined, { jobs: [run], pods: [pod(run, 1)] }), scheduled(slot))
  assert.deepEqual(does, ['delete-job', 'write-backup-status'])
  assert.deepEqual([status?.phase, status?.reason], ['Failed', 'PolicyDeleted'])
  // A crash between the two: the Job is gone.
  assert.equal(plan(world(undefined), scheduled(slot)).status?.reason, 'PolicyDeleted')
})

test('a run that had committed when its policy was deleted is a success', () => {
  const slot = at('02:00')
  const run = jobOfSlot(slot)
  const pods = [
    pod(run, 1, { status: { containerStatuses: [saying({ phase: 'committed', finishedAt: now.getTime() })] } }),
  ]
  assert.equal(plan(world(undefined, { jobs: [run], pods }), scheduled(slot)).status?.phase, 'Completed')
})

test('a run that had failed when its policy was deleted keeps its own reason', () => {
  const slot = at('02:00')
  const run = jobOfSlot(slot, { status: jobFailed(slot, now) })
  const pods = [
    pod(run, 1, {
      status: { phase: 'Failed', containerStatuses: [saying({ phase: 'failed', reason: 'SourceExit' })] },
    }),
  ]
  assert.equal(plan(world(undefined, { jobs: [run], pods }), scheduled(slot)).status?.reason, 'SourceExit')
})

test('a snapshot that was ready when its policy was deleted is kept, and a success', () => {
  const of = scheduled(at('02:00'), {
    name: 'nightly-data-1',
    target: 'data',
    status: { phase: 'Running', reason: 'SnapshotPending' },
  })
  const { does, status } = plan(world(undefined, { snapshots: [snapshotOf(of, { status: ready })] }), of)
  assert.deepEqual([status?.phase, does.includes('delete-snapshot')], ['Completed', false])
})

test('a snapshot that was not ready when its policy was deleted goes, as it was seen', () => {
  const of = scheduled(at('02:00'), { name: 'nightly-data-1', target: 'data' })
  const snapshot = snapshotOf(of)
  const { actions, status } = plan(world(undefined, { snapshots: [snapshot] }), of)
  assert.equal(status?.reason, 'PolicyDeleted')
  assert.equal(only(actions, 'delete-snapshot')[0]?.resourceVersion, snapshot.metadata.resourceVersion)
})

test('an on-demand Backup over several targets tells what became of them, also when its policy is deleted', () => {
  const of = asked({ status: { phase: 'Running', reason: 'Children' } })
  const child = (target: string, status: BackupStatus) => {
    const made = childBackup(of, target)
    return { ...made, metadata: { ...made.metadata, uid: target }, status }
  }
  const stopped: BackupStatus = { phase: 'Failed', reason: 'PolicyDeleted', target: 'logs' }
  const children = [child('data', stopped), child('logs', stopped)]
  assert.equal(plan(world(undefined, { backups: [of, ...children] }), of, at('15:00')).status?.reason, 'PolicyDeleted')
  const done = children.map(each => ({
    ...each,
    status: { ...each.status, phase: 'Completed', reason: 'Completed' } as const,
  }))
  assert.equal(plan(world(undefined, { backups: [of, ...done] }), of, at('15:00')).status?.phase, 'Completed')
})

// ── strategy snapshot

const data = asked({ spec: { target: 'data' } })
const snapshots = (more: Parameters<typeof world>[1] = {}) =>
  world(snapshotPolicy(), { claims: [claim('data'), claim('logs')], ...more })

test('a Backup of a claim makes a VolumeSnapshot with the class of its driver', () => {
  const [action] = only(plan(snapshots(), data).actions, 'create-snapshot')
  assert.deepEqual([action?.claim, action?.className], ['data', 'fast'])
})

test('what is known before creating fails at once', () => {
  for (const [seen, reason] of [
    [snapshots({ snapshotClasses: [] }), 'NoSnapshotClass'],
    [snapshots({ snapshotClasses: undefined }), 'SnapshotCRDsMissing'],
    [snapshots({ claims: [claim('data', { status: { phase: 'Lost' } })] }), 'PVCLost'],
    [snapshots({ claims: [claim('logs')] }), 'TargetNotFound'],
  ] as const) {
    const { status, does } = plan(seen, data)
    assert.deepEqual([status?.phase, status?.reason], ['Failed', reason])
    assert.ok(!does.includes('create-snapshot'))
  }
})

test('an error of the storage system is told and decides nothing; ready does', () => {
  const error = { readyToUse: false, error: { message: 'array busy' } }
  const trying = plan(snapshots({ snapshots: [snapshotOf(data, { status: error })] }), data)
  assert.deepEqual([trying.status?.phase, trying.status?.reason], ['Running', 'SnapshotError'])
  assert.match(trying.status?.message ?? '', /array busy/)
  assert.deepEqual(trying.wakeAt, at('12:10'))
  const deletionPolicies = new Map([['content', 'Retain' as const]])
  const good = plan(
    snapshots({ snapshots: [snapshotOf(data, { status: { ...error, ...ready } })], deletionPolicies }),
    data,
  )
  assert.deepEqual(
    [good.status?.phase, good.status?.size, good.status?.snapshot?.deletionPolicy],
    ['Completed', '1Gi', 'Retain'],
  )
})

test('a snapshot that is not ready in time failed, and goes after that is written', () => {
  const { status, does } = plan(snapshots({ snapshots: [snapshotOf(data)] }), data, at('12:10'))
  assert.deepEqual([status?.phase, status?.reason], ['Failed', 'SnapshotNotReady'])
  assert.deepEqual(does, ['write-backup-status', 'event', 'delete-snapshot'])
})

test('a snapshot that disappeared is a failure, after one more look', () => {
  const { actions, status } = plan(snapshots(), { ...data, status: { phase: 'Running', run: 'now-x' } })
  assert.equal(status?.reason, 'SnapshotDeleted')
  assert.deepEqual(only(actions, 'write-backup-status')[0]?.unless, { kind: 'snapshot', name: 'now-x' })
})

test("a stranger's snapshot under the Backup's name is not followed", () => {
  const stranger = snapshotOf(data, { status: ready, metadata: { annotations: {} } })
  assert.deepEqual(plan(snapshots({ snapshots: [stranger] }), data).does, ['create-snapshot'])
})

// ── on-demand, several targets

const child = (parent: Backup, target: string, status?: Backup['status']): Backup => {
  const made = childBackup(parent, target)
  return { ...made, metadata: { ...made.metadata, uid: `uid-of-${target}` }, ...(status ? { status } : {}) }
}

test('without a target every claim gets a child, and the parent is written after the last of them', () => {
  const { actions, does, status } = plan(snapshots(), asked())
  assert.deepEqual(does, ['create-child-backup', 'create-child-backup', 'write-backup-status'])
  assert.deepEqual(
    only(actions, 'create-child-backup').map(({ target }) => target),
    ['data', 'logs'],
  )
  assert.deepEqual([status?.phase, status?.reason], ['Pending', 'Children'])
})

test('after a crash behind the first child only the others are made', () => {
  const parent = asked()
  const { actions } = plan(snapshots({ backups: [parent, child(parent, 'data')] }), parent)
  assert.deepEqual(
    only(actions, 'create-child-backup').map(({ target }) => target),
    ['logs'],
  )
})

test('a single claim needs no child', () => {
  const parent = asked()
  const { status, does } = plan(snapshots({ claims: [claim('data')] }), parent)
  assert.deepEqual([does, status?.target], [['write-backup-status'], 'data'])
  assert.deepEqual(plan(snapshots({ claims: [claim('data')] }), { ...parent, status }).does, ['create-snapshot'])
})

test('a claim that went after its sibling was made does not turn the parent into the run of the rest', () => {
  const parent = asked()
  const { status } = plan(snapshots({ claims: [claim('logs')], backups: [parent, child(parent, 'data')] }), parent)
  assert.deepEqual([status?.reason, status?.target], ['Children', undefined])
})

test('the parent shows the worst of its children, once all have ended', () => {
  const parent = asked({ status: { phase: 'Pending', reason: 'Children' } })
  const good = child(parent, 'data', completed('a', now, { target: 'data' }))
  const bad = child(parent, 'logs', failed('b', now, { target: 'logs', reason: 'SnapshotNotReady' }))
  const going = child(parent, 'logs', { phase: 'Running' })
  const shows = (...children: readonly Backup[]) => plan(snapshots({ backups: [parent, ...children] }), parent).status
  assert.deepEqual([shows(good, going)?.phase, shows(good, going)?.message], ['Running', '1 of 2 targets are done'])
  assert.deepEqual([shows(good, bad)?.phase, shows(good, bad)?.reason], ['Failed', 'PartiallyFailed'])
  assert.match(shows(good, bad)?.message ?? '', /1 of 2 targets failed: logs: SnapshotNotReady/)
  assert.equal(shows(good)?.phase, 'Completed')
  assert.deepEqual(
    [shows()?.phase, shows()?.message],
    ['Failed', 'the Backups of its targets were deleted before they had ended'],
  )
})

test('nothing selected is a failure, not silence', () => {
  const { status } = plan(snapshots({ claims: [] }), asked())
  assert.deepEqual([status?.phase, status?.reason], ['Failed', 'SelectorMatchedNothing'])
})

test('children have names of their own, however long the parent is called', () => {
  const long = 'x'.repeat(253)
  const names = ['data', 'logs'].map(target => childBackupName(long, 'uid', target))
  assert.ok(names.every(name => name.length <= 63) && names[0] !== names[1])
})
