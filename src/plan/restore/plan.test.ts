import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  chosen,
  fromPolicy,
  jobOf,
  planRestore,
  podSaying,
  resolved,
  resolving,
  restore,
  restoreWorld,
  restoring,
  taskOf,
} from '../../../test/plan/restore-world.ts'
import { all, found, presetPolicy } from '../../../test/plan/preset-world.ts'
import { at, backup, complete, completed, jobFailed, pod, policy, running, stamp } from '../../../test/plan/world.ts'
import type { BackupStatus } from '../../api/kinds/backup.ts'
import type { Refusal } from '../core/actions.ts'

const now = at('03:00:10')
const uid = (job: { readonly metadata: { readonly uid?: string } }) => job.metadata.uid ?? ''

test('a Restore says that it begins before anything is made for it', () => {
  const { groups, status } = planRestore(restoreWorld(restore()), now)
  assert.deepEqual(groups, [])
  assert.deepEqual([status?.phase, status?.reason, status?.policy], ['Resolving', 'Resolving', 'nightly'])
  assert.equal(status?.startTime, stamp(at('03:00')))
  assert.deepEqual(
    status?.conditions?.map(({ type, status: is }) => [type, is]),
    [
      ['Ready', 'Unknown'],
      ['Reconciling', 'True'],
    ],
  )
})

test('the Job that looks for the backup is made right after the status was written as it was seen', () => {
  const of = restore(fromPolicy, { status: { ...resolving, policy: 'nightly' } })
  const { groups, created } = planRestore(restoreWorld(of), now)
  const [first, second] = groups.flatMap(({ actions }) => actions)
  assert.ok(first?.do === 'write-status' && first.object === of)
  assert.equal(second?.do, 'create')
  const task = taskOf(created[0])
  assert.ok(task.kind === 'resolve')
  assert.deepEqual([task.pick, task.target, task.owner.policy], ['newest', undefined, 'nightly'])
  const attemptsOfBoth = 3 * 180 + 600 + 3 * 86_400 + 600
  assert.equal(task.expiresAt, now.getTime() + (attemptsOfBoth + 3600) * 1000)
})

test('a time before which the backup must be is told to the Job', () => {
  const before = stamp(at('01:00'))
  const source = { policy: { name: 'nightly', before, target: 'command' } }
  const of = restore({ ...fromPolicy, source }, { status: resolving })
  const task = taskOf(planRestore(restoreWorld(of), now).created[0])
  assert.ok(task.kind === 'resolve')
  assert.deepEqual([task.pick, task.target], [{ before: at('01:00').getTime() }, 'command'])
})

test('what the bucket says of the backup is written down, and makes the next Job', () => {
  const of = restore(fromPolicy, { status: resolving })
  const job = jobOf(of, 'resolve', complete(at('03:00'), now))
  const pods = [podSaying(job, { phase: 'done', resolved })]
  const { status, groups, wakeAt } = planRestore(restoreWorld(of, { jobs: [job], pods }), now)
  assert.deepEqual(groups, [])
  assert.deepEqual(status?.backup, chosen)
  assert.deepEqual([status?.phase, status?.jobs?.resolve?.uid], ['Restoring', uid(job)])
  assert.equal(wakeAt, now)
  assert.ok(!status?.conditions?.some(({ type }) => type === 'Unpinned'))

  const { created } = planRestore(restoreWorld({ ...of, status: status ?? {} }), now)
  const task = taskOf(created[0])
  assert.ok(task.kind === 'restore')
  assert.deepEqual([task.run, task.slot, task.target], [resolved.run, resolved.slot, 'command'])
  assert.equal(task.verify, false)
})

test('a backup that could not be pinned is restored all the same, and that is said until the end', () => {
  const of = restore(fromPolicy, { status: resolving })
  const job = jobOf(of, 'resolve', complete(at('03:00'), now))
  const pods = [podSaying(job, { phase: 'done', resolved: { ...resolved, pinned: false } })]
  const { status } = planRestore(restoreWorld(of, { jobs: [job], pods }), now)
  const unpinned = (conditions = status?.conditions) => conditions?.find(({ type }) => type === 'Unpinned')
  assert.equal(unpinned()?.reason, 'PinRefused')

  const later = { ...of, status: status ?? {} }
  const next = jobOf(later, 'restore')
  const goes = planRestore(restoreWorld(later, { jobs: [next], pods: [pod(next, 1)] }), now)
  assert.ok(unpinned(goes.status?.conditions))
  const done = [podSaying(next, { phase: 'done' })]
  const ends = planRestore(restoreWorld(later, { jobs: [next], pods: done }), now)
  assert.equal(ends.status?.phase, 'Completed')
  assert.equal(unpinned(ends.status?.conditions), undefined)
})

test('a Restore of a place in a bucket without a run fails with the newest that are there', () => {
  const bucket = { backend: backendOf(), namespace: 'old', policy: 'shop' }
  const of = restore({ source: { bucket }, into: { ...fromPolicy.into, image: 'postgres:15' } }, { status: resolving })
  const task = taskOf(planRestore(restoreWorld(of, { policy: undefined }), now).created[0])
  assert.ok(task.kind === 'resolve')
  assert.deepEqual([task.pick, task.owner.namespace, task.owner.policy], ['nothing', 'old', 'shop'])

  const job = jobOf(of, 'resolve', jobFailed(at('03:00'), now))
  const found = Array.from({ length: 25 }, (_, index) => ({
    run: `run-${index}`,
    target: 'command',
    slot: at('02:00').getTime() - index,
    storedBytes: 1,
  }))
  const message = { phase: 'failed', reason: 'RunNotNamed', message: 'no run is named', found } as const
  const pods = [podSaying(job, message, 1, 26)]
  const { status } = planRestore(restoreWorld(of, { policy: undefined, jobs: [job], pods }), now)
  assert.deepEqual([status?.phase, status?.reason], ['Failed', 'RunNotNamed'])
  assert.match(status?.message ?? '', /create a Restore with one of them as source.bucket.run, or with newest: true$/)
  assert.equal(status?.available?.length, 20)
  assert.equal(status?.available?.[0]?.run, 'run-0')
})

test('the restore that is done says what it made, how much, and how long it took', () => {
  const of = restore(fromPolicy, { status: restoring })
  const job = jobOf(of, 'restore')
  const made = { database: 'shop', as: 'shop_new', previous: null, tables: 3 }
  const result = { databases: [made, 7, { as: 'nameless' }], leftOut: ['trigger t', {}], seconds: 4 }
  const warnings = [{ reason: 'Suspect' as const, message: 'run-9 is suspect' }]
  const progress = { artifact: 'shop', bytes: 4096, totalBytes: 4096 }
  const finishedAt = at('03:05').getTime()
  const pods = [podSaying(job, { phase: 'done', result, restore: progress, finishedAt, warnings })]
  const { status, conclusion } = planRestore(restoreWorld(of, { jobs: [job], pods }), at('03:06'))
  assert.equal(status?.phase, 'Completed')
  assert.deepEqual(status?.progress, { ...progress, percent: 100 })
  assert.deepEqual(status?.result?.databases, [{ database: 'shop', as: 'shop_new' }])
  assert.deepEqual([status?.result?.leftOut, status?.into], [['trigger t'], 'shop_new'])
  assert.match(status?.result?.details ?? '', /"seconds":4/)
  assert.deepEqual([status?.completionTime, status?.duration], [stamp(at('03:05')), '5m'])
  assert.match(status?.message ?? '', /is back as shop_new; status.result lists what was left out; Suspect: run-9/)
  assert.deepEqual(
    conclusion.map(action => (action.do === 'write-status' ? action.restored : action.do)),
    [{ phase: 'Completed', policy: 'nightly' }, 'event'],
  )
})

test('an attempt that failed is shown while the next one goes on', () => {
  const of = restore(fromPolicy, { status: restoring })
  const job = jobOf(of, 'restore', { startTime: stamp(at('03:00')), failed: 1, active: 1 })
  const message = { phase: 'failed', reason: 'StoreUnavailable', message: 'it is away' } as const
  const progress = { bytes: 1024, totalBytes: 4096 }
  const second = pod(job, 2, {
    metadata: { creationTimestamp: stamp(at('03:00:05')) },
    status: { phase: 'Running', containerStatuses: [running('restore'), running('mover')] },
  })
  const pods = [podSaying(job, { ...message, restore: progress }, 1, 20), second]
  const { status } = planRestore(restoreWorld(of, { jobs: [job], pods }), now)
  assert.deepEqual([status?.phase, status?.reason, status?.attempts], ['Restoring', 'Running', 2])
  assert.deepEqual(status?.progress, { ...progress, percent: 25 })
  assert.match(
    status?.message ?? '',
    /attempt 2; the attempt before failed \(StoreUnavailable: it is away\); kubectl logs/,
  )
})

test('what the command wrote last, and its exit code, are in the status of one that failed', () => {
  const of = restore(fromPolicy, { status: restoring })
  const job = jobOf(of, 'restore', jobFailed(at('03:00'), now))
  const message = { phase: 'failed', reason: 'SourceExit', message: 'it ended with 1', sourceStatus: 1 } as const
  const said = podSaying(job, message, 1, 10)
  const command = {
    name: 'restore',
    state: { terminated: { exitCode: 1, message: 'backup-feed: waits\nERROR: no such role' } },
  }
  const pods = [
    { ...said, status: { ...said.status, containerStatuses: [...(said.status?.containerStatuses ?? []), command] } },
  ]
  const { status, unless } = planRestore(restoreWorld(of, { jobs: [job], pods }), now)
  assert.deepEqual([status?.phase, status?.reason, status?.exitCode], ['Failed', 'SourceExit', 1])
  assert.equal(status?.stderr?.trim(), 'ERROR: no such role')
  assert.equal(unless?.kind, 'newer-pods')
})

test('a Job that its own controller has not ended is deleted before its Restore is called failed', () => {
  const of = restore(fromPolicy, { status: restoring })
  const job = jobOf(of, 'restore')
  const world = restoreWorld(of, { jobs: [job] })
  const late = at('+5d 03:00')
  const { groups, status } = planRestore(world, late)
  assert.deepEqual(
    groups.map(({ name, actions }) => [name, actions[0]?.do]),
    [['end', 'delete']],
  )
  assert.deepEqual([status?.phase, status?.reason], ['Failed', 'DeadlineExceeded'])

  const refusal: Refusal = { action: 'delete', kind: 'Job', name: job.metadata.name, words: 'no', passing: false }
  const refused = planRestore(world, late, new Map([['end', refusal]]))
  assert.deepEqual([refused.status?.phase, refused.status?.reason], ['Restoring', 'DeletionRefused'])
  const unanswered = planRestore(world, late, new Map(), { putOff: new Set(['end']) })
  assert.equal(unanswered.status, undefined)
})

test('a Restore that has ended is not looked at any more, whatever became of its Jobs', () => {
  for (const phase of ['Completed', 'Failed'] as const) {
    const { actions, wakeAt } = planRestore(restoreWorld(restore(fromPolicy, { status: { ...restoring, phase } })), now)
    assert.deepEqual([actions, wakeAt], [[], undefined])
  }
})

test('a Job that somebody deleted is not made again', () => {
  const of = restore(fromPolicy, { status: restoring })
  const job = jobOf(of, 'restore')
  const reference = { name: job.metadata.name, uid: uid(job) }
  const begun = restore(fromPolicy, { status: { ...restoring, jobs: { restore: reference } } })
  const lost = planRestore(restoreWorld(begun), now)
  assert.deepEqual([lost.status?.phase, lost.status?.reason], ['Failed', 'JobDeleted'])
  assert.deepEqual(lost.unless, { kind: 'job', ...reference, seen: [] })

  const going = planRestore(restoreWorld(begun, { pods: [pod(job, 1)] }), now)
  assert.deepEqual([going.status?.phase, going.status?.reason], ['Restoring', 'JobDeleted'])
  const done = planRestore(restoreWorld(begun, { pods: [podSaying(job, { phase: 'done' })] }), now)
  assert.equal(done.status?.phase, 'Completed')
})

test('only the Job that the Restore controls is heard', () => {
  const of = restore(fromPolicy, { status: restoring })
  const other = jobOf(restore(fromPolicy, { metadata: { uid: 'another' } }), 'restore')
  const named = { ...other, metadata: { ...other.metadata, name: jobOf(of, 'restore').metadata.name } }
  const pods = [podSaying(named, { phase: 'done' })]
  const { status, created } = planRestore(restoreWorld(of, { jobs: [named], pods }), now)
  assert.equal(created.length, 1)
  assert.notEqual(status?.phase, 'Completed')
  const taken = planRestore(restoreWorld(of), now, new Map(), { taken: new Set(['restore']) })
  assert.deepEqual([taken.status?.phase, taken.status?.reason], ['Failed', 'NameTaken'])
})

test('a Job that the API server refuses is told, and the Restore waits', () => {
  const of = restore(fromPolicy, { status: resolving })
  const words = 'exceeded quota'
  const refusal: Refusal = { action: 'create', kind: 'Job', name: 'x', words, passing: false }
  const { status } = planRestore(restoreWorld(of), now, new Map([['resolve', refusal]]))
  assert.deepEqual([status?.phase, status?.reason], ['Resolving', 'CreationRefused'])
  assert.match(status?.message ?? '', /exceeded quota. It is tried again/)
})

test('a Restore that Velero brought back without its status does not run', () => {
  const labels = { 'velero.io/restore-name': 'x' }
  const { status } = planRestore(restoreWorld(restore(fromPolicy, { metadata: { labels } })), now)
  assert.deepEqual([status?.phase, status?.reason], ['Failed', 'RestoredObject'])
})

const sources: readonly (readonly [title: string, Parameters<typeof restoreWorld>[1], expected: readonly string[]])[] =
  [
    ['without its Backup waits a minute for it', {}, ['Pending', 'BackupNotFound']],
    ['of a Backup that goes on waits', { backup: ofStatus({ phase: 'Running' }) }, ['Pending', 'BackupNotCompleted']],
    ['of a Backup that failed fails', { backup: ofStatus({ phase: 'Failed' }) }, ['Failed', 'BackupNotCompleted']],
    [
      'of a snapshot fails',
      { backup: ofStatus({ ...completed('run', at('02:10')), snapshot: { name: 's' } }) },
      ['Failed', 'NotInBucket'],
    ],
    [
      'of a Backup in another store fails',
      { backup: ofStatus(completed('run', at('02:10'), { store: 'other' })) },
      ['Failed', 'StoreChanged'],
    ],
    [
      'of a Backup whose policy is gone waits a minute for it',
      { backup: ofStatus(completed('run', at('02:10'))), policy: undefined },
      ['Pending', 'PolicyNotFound'],
    ],
    [
      'of a Backup in the store of a policy that is suspended begins',
      { backup: ofStatus(completed('run', at('02:10'), { store: chosen.store })), policy: policy({ suspend: true }) },
      ['Resolving', 'Resolving'],
    ],
  ]
for (const [title, more, expected] of sources)
  test(`a Restore ${title}`, () => {
    const of = restore({ ...fromPolicy, source: { backup: 'one' } })
    const { status } = planRestore(restoreWorld(of, more), now)
    assert.deepEqual([status?.phase, status?.reason], expected)
    assert.match(status?.message ?? '', /\w{3}/)
  })

test('what is awaited is not awaited for ever', () => {
  const of = restore({ ...fromPolicy, source: { backup: 'one' } })
  assert.deepEqual(planRestore(restoreWorld(of), now).wakeAt, at('03:01'))
  const { status } = planRestore(restoreWorld(of), at('03:01'))
  assert.deepEqual([status?.phase, status?.reason], ['Failed', 'BackupNotFound'])
})

test('the run of a Backup is the one that is looked for', () => {
  const of = restore({ ...fromPolicy, source: { backup: 'one' } }, { status: resolving })
  const backed = ofStatus(completed('backup-nightly-1', at('02:10'), { store: chosen.store }))
  const task = taskOf(planRestore(restoreWorld(of, { backup: backed }), now).created[0])
  assert.ok(task.kind === 'resolve')
  assert.deepEqual([task.pick, task.target], [{ run: 'backup-nightly-1' }, 'command'])
})

test('a store that the policy no longer names is not read for the run that was chosen in it', () => {
  const of = restore(fromPolicy, { status: { ...restoring, backup: { ...chosen, store: 'other' } } })
  const { status, created } = planRestore(restoreWorld(of), now)
  assert.deepEqual([status?.phase, status?.reason, created], ['Failed', 'StoreChanged', []])
})

test('what was found is restored, although its Backup is gone by now, but not without its policy', () => {
  const of = restore({ ...fromPolicy, source: { backup: 'one' } }, { status: { ...restoring, policy: 'nightly' } })
  assert.equal(planRestore(restoreWorld(of), at('04:00')).created.length, 1)
  const { status } = planRestore(restoreWorld(of, { policy: undefined }), at('04:00'))
  assert.deepEqual([status?.phase, status?.reason], ['Failed', 'PolicyNotFound'])
})

test('an encrypted backup is not begun without an identity', () => {
  const encrypted = { ...restoring, backup: { ...chosen, encrypted: true } }
  const { status } = planRestore(restoreWorld(restore(fromPolicy, { status: encrypted })), now)
  assert.deepEqual([status?.phase, status?.reason], ['Failed', 'NoIdentityMatches'])
  const opened = { ...fromPolicy, identities: { secretRef: 'keys' } }
  const task = taskOf(planRestore(restoreWorld(restore(opened, { status: encrypted })), now).created[0])
  assert.ok(task.kind === 'restore')
  assert.equal(task.identitiesDirectory, '/var/run/backup/identities')
})

test('a preset that the bucket names is a word, and no path', () => {
  const of = restore(fromPolicy, { status: resolving })
  const job = jobOf(of, 'resolve', complete(at('03:00'), now))
  const presetOf = (preset: string) => {
    const pods = [podSaying(job, { phase: 'done', resolved: { ...resolved, preset } })]
    return planRestore(restoreWorld(of, { jobs: [job], pods }), now).status?.backup?.preset
  }
  assert.deepEqual([presetOf('postgres'), presetOf('../../tmp/x'), presetOf('a b')], ['postgres', undefined, undefined])
})

test('a Restore that verifies has a mover alone', () => {
  const of = restore({ source: fromPolicy.source, verify: true }, { status: { ...restoring, phase: 'Verifying' } })
  const { created, status } = planRestore(restoreWorld(of), now)
  const task = taskOf(created[0])
  assert.ok(task.kind === 'restore' && task.verify)
  assert.deepEqual(
    created[0]?.spec.template.spec.containers.map(({ name }) => name),
    ['mover'],
  )
  assert.equal(status?.phase ?? 'Verifying', 'Verifying')
})

function ofStatus(status: BackupStatus) {
  return backup('one', { status })
}

function backendOf() {
  return { type: 's3', bucket: 'old', endpoint: 'http://old:9000', secretRef: 'old-creds' } as const
}

test('a workload that is away is waited for, and is refused after ten minutes', () => {
  const ofPreset = { ...chosen, preset: 'postgres', target: 'db' }
  const source = { policy: { name: 'nightly' } }
  const of = restore({ source, into: {} }, { status: { ...restoring, backup: ofPreset } })
  const world = (more: object) => restoreWorld(of, { policy: presetPolicy(), ...more })
  const away = world({ workloads: all([]) })
  const early = planRestore(away, now)
  assert.deepEqual([early.created, early.status?.phase, early.status?.reason], [[], 'Restoring', 'TargetNotFound'])
  assert.deepEqual(early.wakeAt, at('03:00:20'))
  const late = planRestore(away, at('03:10'))
  assert.deepEqual([late.status?.phase, late.status?.reason], ['Failed', 'TargetNotFound'])
  // Nobody knows what is there: that is no verdict, however long it takes.
  const unknown = planRestore(world({}), at('05:00'))
  assert.deepEqual([unknown.status?.phase, unknown.status?.reason], ['Restoring', 'TargetsUnknown'])
  const [job] = planRestore(world({ workloads: all([found('db')]) }), at('05:00')).created
  const container = job?.spec.template.spec.containers.find(({ name }) => name === 'restore')
  assert.deepEqual(container?.args, ['/.backup/busybox', 'sh', '/.backup/preset-postgres.sh', 'restore'])
})

test('a Restore that verifies says by whom the dumps were read', () => {
  const of = restore({ source: fromPolicy.source, verify: true }, { status: { ...restoring, phase: 'Verifying' } })
  const job = jobOf(of, 'restore', complete(at('03:00'), now))
  const told = { databases: [{ database: 'shop' }, { database: 'crm' }] }
  const said = (restored: object) =>
    planRestore(
      restoreWorld(of, {
        jobs: [job],
        pods: [podSaying(job, { phase: 'done', restore: { bytes: 1 }, ...restored } as never)],
      }),
      now,
    ).status?.message
  assert.match(said({ result: told }) ?? '', /checked, and the programs of the database have read its dumps to the end/)
  assert.match(said({}) ?? '', /checked$/)
})
