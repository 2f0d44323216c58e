import assert from 'node:assert/strict'
import { test } from 'node:test'
import { asked, now, plan } from '../../../test/plan/backup-plan.ts'
import {
  at,
  complete,
  completed,
  failed,
  jobFailed,
  jobOfBackup,
  jobOfSlot,
  pod,
  policy,
  ready,
  saying,
  scheduled,
  snapshotOf,
  stamp,
  world,
} from '../../../test/plan/world.ts'
import type { Backup, BackupStatus } from '../../api/kinds/backup.ts'
import type { Job } from '../../api/kubernetes.ts'
import type { CatalogEntry } from '../../api/mover/message.ts'
import { onDemandJobName } from '../../api/names.ts'
import { versionOf } from '../core/actions.ts'
import { childBackup } from '../../resources/backup-objects.ts'
import { planBackup, only, planPolicy } from '../../../test/plan/planned.ts'

const onDemandJob = (of: Backup, more: Parameters<typeof jobOfBackup>[1] = {}) =>
  jobOfBackup(of, { status: { startTime: stamp(now), active: 1 }, ...more })

// ── strategy job

test('an on-demand Backup starts a Job, also while the schedule is suspended', () => {
  for (const suspend of [false, true])
    assert.deepEqual(plan(world(policy({ suspend })), asked()).does, ['create run Job'])
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
  const [write] = only(actions, 'status Backup')
  assert.deepEqual(write?.outcome, { outcome: 'success', seconds: 120, strategy: 'job' })
  assert.equal(only(actions, 'event').length, 1)
  assert.deepEqual(plan(world(policy(), { jobs: [run], pods }), { ...of, status }).actions, [])
})

test('F81: an on-demand Backup during a run waits for its end, and says which; after the starting deadline it is skipped and Stalled', () => {
  const running = jobOfSlot(at('02:00'))
  const during = (of: ReturnType<typeof policy>, time?: Date) =>
    plan(world(of, { jobs: [running], pods: [pod(running, 1)] }), asked(), time)
  const waiting = during(policy())
  assert.deepEqual(
    [waiting.status?.phase, waiting.status?.reason, waiting.wakeAt],
    ['Pending', 'Overlapping', at('13:00')],
  )
  assert.match(waiting.status?.message ?? '', new RegExp(running.metadata.name))
  for (const { status } of [during(policy(), at('13:00')), during(policy({ whenBusy: 'Skip' }))]) {
    assert.deepEqual([status?.phase, status?.reason], ['Skipped', 'Overlapping'])
    assert.equal(status?.conditions?.find(({ type }) => type === 'Stalled')?.status, 'True')
  }
})

test('F81: of several that wait the one that was created first starts, then by UID', () => {
  const waiting = (name: string, uid: string, created: string) =>
    asked({ metadata: { name, uid, creationTimestamp: stamp(at(created)) } })
  const backups = [waiting('a', '3', '11:59'), waiting('b', '2', '11:58'), waiting('c', '1', '11:58')]
  const [start] = only(planPolicy(world(policy(), { backups }), now).actions, 'create run Job')
  assert.equal(start?.object.metadata.annotations?.['backup.dev/backup'], 'c')
})

test('an on-demand Backup waits for the end of a run whose Backup was deleted', () => {
  const cancelled = asked({ metadata: { name: 'cancelled', uid: 'uid-of-cancelled' } })
  const running = onDemandJob(cancelled)
  const during = (backups: readonly Backup[]) =>
    plan(world(policy(), { backups, jobs: [running], pods: [pod(running, 1)] }), asked())
  assert.doesNotMatch(during([cancelled]).status?.message ?? '', /was deleted/)
  const deleting = { ...cancelled, metadata: { ...cancelled.metadata, deletionTimestamp: stamp(now) } }
  for (const left of [[], [deleting]]) {
    const { status, does } = during(left)
    assert.deepEqual([status?.phase, status?.reason], ['Pending', 'Overlapping'])
    assert.ok(!does.includes('create run Job'))
    assert.deepEqual(plan(world(policy()), asked(status ? { status } : {})).does, ['create run Job'])
  }
})

test('F81: it waits for such a run as long as for any other: it is skipped at the starting deadline, or at once where the policy says so', () => {
  const running = onDemandJob(asked({ metadata: { name: 'cancelled', uid: 'uid-of-cancelled' } }))
  const behind = (of: ReturnType<typeof policy>, time?: Date) =>
    plan(world(of, { jobs: [running], pods: [pod(running, 1)] }), asked(), time)
  assert.deepEqual(behind(policy()).wakeAt, at('13:00'))
  for (const { status } of [behind(policy(), at('13:00')), behind(policy({ whenBusy: 'Skip' }))])
    assert.deepEqual([status?.phase, status?.reason], ['Skipped', 'Overlapping'])
})

test('of two that are asked for at once one starts', () => {
  const backups = [asked(), asked({ metadata: { name: 'other', uid: 'other' } })]
  assert.equal(only(planPolicy(world(policy(), { backups }), now).actions, 'create run Job').length, 1)
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
    assert.equal(only(actions, 'status Backup')[0]?.unless?.kind, 'job')
  }
})

test('only a run that was seen to begin is told and counted as one that lost its Job: others may come from the list', () => {
  for (const [status, tells] of [
    [{ phase: 'Pending' }, false],
    [{ phase: 'Running', startTime: stamp(at('02:00')) }, true],
  ] as const) {
    const { actions } = plan(world(policy()), scheduled(at('02:00'), { status }))
    const [written] = only(actions, 'status Backup')
    assert.equal(written?.status.phase, 'Failed')
    assert.deepEqual([written.outcome !== undefined, only(actions, 'event').length === 1], [tells, tells])
  }
})

test('a run whose Job is gone is judged once its pods have ended: a mover in its grace period may commit', () => {
  const slot = at('02:00')
  const run = jobOfSlot(slot)
  const begun = { phase: 'Running', startTime: stamp(slot), store: 'there', jobUID: run.metadata.uid } as const
  const lost = scheduled(slot, { status: begun })
  const seen = (status?: Parameters<typeof pod>[2]) => world(policy(), { pods: [pod(run, 1, status)] })

  const first = plan(seen(), lost)
  assert.deepEqual([first.status?.phase, first.status?.reason, first.wakeAt], ['Running', 'JobDeleted', at('13:00')])
  assert.match(first.status?.message ?? '', new RegExp(`pod ${run.metadata.name}-1 may still commit`))
  assert.equal(first.actions.length, 1, 'nothing is counted or told yet')
  const waiting = { ...lost, status: first.status }

  const finishedAt = at('12:01').getTime()
  const message = { phase: 'committed', finishedAt, bytes: 2048, storedBytes: 1024, manifest: 'm' } as const
  const committed = plan(seen({ status: { containerStatuses: [saying(message)] } }), waiting, at('12:02'))
  assert.deepEqual(
    [committed.status?.phase, committed.status?.size, committed.status?.store, committed.status?.completionTime],
    ['Completed', '1.0 KiB', 'there', stamp(at('12:01'))],
  )
  assert.equal(only(committed.actions, 'status Backup')[0]?.outcome?.outcome, 'success')
  assert.deepEqual(
    plan(world(policy()), { ...lost, status: committed.status }).actions,
    [],
    'it stays when the pod goes',
  )

  const ends = [
    ['its mover ended without a commit', seen({ status: { containerStatuses: [saying({ phase: 'failed' }, 24)] } })],
    ['its pod is over', seen({ status: { phase: 'Failed' } })],
    ['its pod is gone', world(policy())],
  ] as const
  for (const [why, end] of ends) {
    const { status } = plan(end, waiting, at('12:02'))
    assert.deepEqual([status?.phase, status?.reason, status?.completionTime], ['Failed', 'JobDeleted', stamp(now)], why)
  }
  assert.equal(plan(seen(), waiting, at('13:00')).status?.phase, 'Failed', 'a pod on a lost node never ends')
})

test('F34: an on-demand run whose Job went before its status was written is not started again while a pod of it stands', () => {
  const of = asked()
  const run = onDemandJob(of)
  const seen = (more: Parameters<typeof pod>[2] = {}, jobs: readonly Job[] = []) =>
    world(policy(), { jobs, pods: [pod(run, 1, more)] })
  const first = plan(seen(), of)
  assert.deepEqual([first.does, first.wakeAt], [['status Backup'], at('13:00')])
  assert.deepEqual(
    [first.status?.phase, first.status?.reason, first.status?.run],
    ['Running', 'JobDeleted', run.metadata.name],
  )
  assert.equal(only(first.actions, 'status Backup')[0]?.unless?.kind, 'job')
  const told = { ...of, status: first.status }
  assert.deepEqual(plan(seen(), told, at('12:59')).does, [])
  assert.equal(plan(world(policy()), told, at('12:59')).status?.phase, 'Failed', 'the pod has gone')

  // Nobody knows the UID of that Job, so that anybody's pod may say so.
  const message = { phase: 'committed', finishedAt: now.getTime(), bytes: 1, storedBytes: 1, manifest: 'm' } as const
  const committed = plan(seen({ status: { phase: 'Succeeded', containerStatuses: [saying(message)] } }), of)
  assert.deepEqual([committed.status?.phase, committed.status?.reason], ['Failed', 'JobDeleted'])

  const { labels } = pod(run, 1).metadata
  for (const [what, world] of [
    ['a pod that has only the labels', seen({ metadata: { labels, ownerReferences: [] } })],
    [
      'the pod of a stranger that has the name',
      seen({}, [{ ...run, metadata: { ...run.metadata, ownerReferences: [] } }]),
    ],
    ['the pod of a Backup of this name before', seen({}, [])],
  ] as const) {
    const other = what.startsWith('the pod of a Backup') ? asked({ metadata: { uid: 'another' } }) : of
    assert.deepEqual(plan(world, other).does, ['create run Job'], what)
  }
})

test('F34: one of which the list of the bucket knows is filled by it, and not started again', () => {
  const of = asked()
  const run = onDemandJobName('nightly', of.metadata.uid ?? '')
  const [startedAt, finishedAt] = [at('11:50').getTime(), at('11:55').getTime()]
  const entry = { run, slot: startedAt, startedAt, finishedAt, bytes: 10, storedBytes: 5 }
  for (const open of [true, false]) {
    const { actions } = planBackup(world(policy()), of, { entries: new Map([[run, entry]]), open }, now)
    assert.deepEqual(
      actions.map(action => 'object' in action && (action.object as Backup).status?.phase),
      ['Completed'],
    )
  }
})

test('a run whose Job is gone waits an hour for the list of a bucket that holds more than is known', () => {
  const list = (entries?: ReadonlyMap<string, CatalogEntry>) => ({ entries, open: true })
  const slot = at('02:00')
  const ofSlot = scheduled(slot, { status: { phase: 'Running', startTime: stamp(slot) } })
  const onDemand = asked({
    status: { phase: 'Running', startTime: stamp(slot), run: onDemandJobName('nightly', 'uid') },
  })
  for (const lost of [ofSlot, { ...onDemand, metadata: { ...onDemand.metadata, uid: 'uid' } }]) {
    const run = lost.spec.slot ? lost.metadata.name : onDemandJobName('nightly', 'uid')
    const seen = world(policy(), { backups: [lost] })
    const first = planBackup(seen, lost, list(), now)
    const [written] = only(first.actions, 'status Backup')
    assert.deepEqual(
      [written?.status.phase, written?.status.reason, written?.unless, first.wakeAt],
      ['Running', 'JobDeleted', { kind: 'job', name: run }, at('13:00')],
    )
    assert.equal(first.actions.length, 1, 'nothing is counted or told yet')
    const waiting = { ...lost, status: written?.status }
    assert.deepEqual(planBackup(seen, waiting, list(), at('12:59')), { actions: [], wakeAt: at('13:00') })
    const late = only(planBackup(seen, waiting, list(), at('13:00')).actions, 'status Backup')[0]?.status
    assert.deepEqual([late?.phase, late?.reason, late?.completionTime], ['Failed', 'JobDeleted', stamp(now)])
    assert.match(late?.message ?? '', /could not be read.*comes back/)
    const settled = only(
      planBackup(seen, waiting, { entries: undefined, open: false }, at('12:01')).actions,
      'status Backup',
    )
    assert.doesNotMatch(settled[0]?.status.message ?? '', /could not be read/)
    assert.equal(settled[0]?.status.phase, 'Failed')
    const [startedAt, finishedAt] = [slot.getTime(), at('02:05').getTime()]
    const entry = { run, slot: slot.getTime(), startedAt, finishedAt, bytes: 10, storedBytes: 5 }
    const found = only(planBackup(seen, waiting, list(new Map([[run, entry]])), at('12:30')).actions, 'status Backup')
    assert.deepEqual(
      [found[0]?.status.phase, found[0]?.status.run, found[0]?.status.completionTime],
      ['Completed', run, stamp(at('02:05'))],
    )
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
  assert.deepEqual(plan(world(policy()), waiting).does, ['create run Job'])
})

/** As it was seen while its policy was there. */
function goingOn(run: Job): Backup {
  return scheduled(at('02:00'), { status: { phase: 'Running', jobUID: run.metadata.uid } })
}

test('deleting a policy ends its run', () => {
  const slot = at('02:00')
  const run = jobOfSlot(slot)
  const { does, status } = plan(world(undefined, { jobs: [run], pods: [pod(run, 1)] }), goingOn(run))
  assert.deepEqual(does, ['delete Job', 'status Backup'])
  assert.deepEqual([status?.phase, status?.reason], ['Failed', 'PolicyDeleted'])
  // A crash between the two: the Job is gone.
  const begun = scheduled(slot, { status: { phase: 'Running' } })
  assert.equal(plan(world(undefined), begun).status?.reason, 'PolicyDeleted')
})

test('a run that had committed when its policy was deleted is a success', () => {
  const slot = at('02:00')
  const run = jobOfSlot(slot)
  const pods = [
    pod(run, 1, { status: { containerStatuses: [saying({ phase: 'committed', finishedAt: now.getTime() })] } }),
  ]
  assert.equal(plan(world(undefined, { jobs: [run], pods }), goingOn(run)).status?.phase, 'Completed')
})

test('a run whose Job went with its policy is a success where its pod says that it has committed', () => {
  const run = jobOfSlot(at('02:00'))
  const committed = saying({ phase: 'committed', finishedAt: now.getTime() })
  const pods = [pod(run, 1, { status: { containerStatuses: [committed] } })]
  assert.equal(plan(world(undefined, { pods }), goingOn(run)).status?.phase, 'Completed')
})

test('F31: that a policy took its run along is said once the API server knows of no Job, nor of more words of its pod', () => {
  const run = jobOfSlot(at('02:00'))
  const { name, uid } = run.metadata
  const going = pod(run, 1)
  const seen = [versionOf(going)]
  const unless = (jobs: readonly Job[], of: Backup, time?: Date) =>
    only(plan(world(undefined, { jobs, pods: [going] }), of, time).actions, 'status Backup')[0]?.unless
  assert.deepEqual(unless([run], goingOn(run)), { kind: 'newer-pods', name, uid, seen })
  assert.deepEqual(unless([], goingOn(run)), { kind: 'job', name, uid, seen })
  assert.equal(unless([], asked(), at('12:01'))?.kind, 'job')
})

test('a run that had failed when its policy was deleted keeps its own reason', () => {
  const slot = at('02:00')
  const run = jobOfSlot(slot, { status: jobFailed(slot, now) })
  const pods = [
    pod(run, 1, {
      status: { phase: 'Failed', containerStatuses: [saying({ phase: 'failed', reason: 'SourceExit' })] },
    }),
  ]
  assert.equal(plan(world(undefined, { jobs: [run], pods }), goingOn(run)).status?.reason, 'SourceExit')
})

test('a snapshot that was ready when its policy was deleted is kept, and a success', () => {
  const of = scheduled(at('02:00'), {
    name: 'nightly-data-1',
    target: 'data',
    status: { phase: 'Running', reason: 'SnapshotPending' },
  })
  const { does, status } = plan(world(undefined, { snapshots: [snapshotOf(of, { status: ready })] }), of)
  assert.deepEqual([status?.phase, does.includes('delete VolumeSnapshot')], ['Completed', false])
})

test('a snapshot that was not ready when its policy was deleted goes, as it was seen', () => {
  const of = scheduled(at('02:00'), { name: 'nightly-data-1', target: 'data' })
  const snapshot = snapshotOf(of)
  const { actions, status } = plan(world(undefined, { snapshots: [snapshot] }), of)
  assert.equal(status?.reason, 'PolicyDeleted')
  assert.equal(only(actions, 'delete VolumeSnapshot')[0]?.resourceVersion, snapshot.metadata.resourceVersion)
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
