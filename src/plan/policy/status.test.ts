import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import {
  at,
  backend,
  claim,
  complete,
  completed,
  failed,
  jobOfSlot,
  pod,
  policy,
  ready,
  saying,
  scheduled,
  snapshotClass,
  snapshotOf,
  snapshotPolicy,
  stamp,
  volumeOf,
  world,
} from '../../../test/plan/world.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { StoreStatus } from '../../api/kinds/backup-policy-status.ts'
import type { Condition } from '../../api/kubernetes.ts'
import { annotation } from '../../api/labels.ts'
import { stateHash, storeLocation } from '../../resources/desired-state.ts'
import type { PolicyWorld } from '../view/world.ts'
import { kept } from '../../../test/plan/kept.ts'
import { only, planPolicy } from '../../../test/plan/planned.ts'

const now = at('12:00')

function statusOf(seen: PolicyWorld) {
  const written = only(planPolicy(seen, now).actions, 'status BackupPolicy')[0]?.status
  return written ?? seen.policy?.status ?? {}
}

function conditionsOf(seen: PolicyWorld): ReadonlyMap<string, Condition> {
  return new Map(statusOf(seen).conditions?.map(condition => [condition.type, condition]))
}

/** A job policy whose store has been probed, and whose command can be started. */
function probed(result: StoreStatus['result'], store: Partial<StoreStatus> = {}, spec: object = {}): BackupPolicy {
  const { backend: of, strategy } = policy(spec).spec
  const startable = { specHash: stateHash(strategy.job), result: 'Startable', attempts: 1, failures: 0 } as const
  const start = { ...startable, reason: 'Ready', message: '', lastTime: stamp(at('11:59:40')) }
  const known = { backendHash: stateHash(of), result, reason: 'Ready', message: 'as probed', attempts: 1, failures: 0 }
  return policy(spec, { status: { store: { ...known, lastProbeTime: stamp(at('11:59:30')), ...store }, start } })
}

const claims = [claim('data')]
const snapshots = (more: Parameters<typeof world>[1] = {}, spec: object = {}) =>
  world(snapshotPolicy(spec), { claims, ...more })

/** What is seen → the condition, as type, status, reason, and its words. */
const rows: readonly (readonly [
  what: string,
  seen: PolicyWorld,
  type: string,
  status: string | undefined,
  reason?: string,
  message?: RegExp,
])[] = [
  ['a new job policy', world(policy()), 'Ready', 'Unknown', 'Probing'],
  ['a new job policy', world(policy()), 'Reconciling', 'True', 'Probing'],
  ['a job policy whose store can be used', world(probed('Usable')), 'Ready', 'True', 'Ready'],
  ['a job policy whose store can be used', world(probed('Usable')), 'Reconciling', undefined],
  [
    'a job policy that is suspended',
    world(probed('Usable', {}, { suspend: true })),
    'Ready',
    'True',
    'Suspended',
    /on-demand/,
  ],
  ...(
    [
      'SecretNotFound',
      'SecretKeyMissing',
      'BucketNotFound',
      'AccessDenied',
      'EndpointUnreachable',
      'TLSVerificationFailed',
    ] as const
  ).map(
    reason =>
      [
        `a store that answers ${reason}`,
        world(probed('Unusable', { reason, failures: 1 })),
        'Ready',
        'False',
        reason,
        /as probed; it is tried again/,
      ] as const,
  ),
  [
    'a schedule that never fires',
    world(probed('Usable', {}, { schedule: '0 0 31 2 *' })),
    'Stalled',
    'True',
    'ScheduleNeverFires',
  ],
  [
    'a schedule that cannot be read',
    world({ ...policy(), spec: { ...policy().spec, schedule: 'now and then' } }),
    'Stalled',
    'True',
    'InvalidSchedule',
  ],
  [
    'a time zone that does not exist',
    world({ ...policy(), spec: { ...policy().spec, timeZone: 'Moon/Base' } }),
    'Ready',
    'False',
    'InvalidSchedule',
  ],
  [
    'a selector that matches no pod',
    world(probed('Usable'), { selectedPods: 0 }),
    'TargetsSelected',
    'False',
    'SelectorMatchedNothing',
    /kubectl get pods/,
  ],
  ['a selector that matches no pod', world(probed('Usable'), { selectedPods: 0 }), 'Ready', 'True', 'Ready'],
  [
    'a store without conditional writes',
    world(probed('Usable', { unconditionalCommit: true })),
    'UnconditionalCommit',
    'True',
    'UnconditionalCommit',
  ],
  [
    'a schedule that clock changes touch',
    world(probed('Usable', {}, { schedule: '30 2 * * *', timeZone: 'Europe/Berlin' })),
    'DaylightSavingAffectsSchedule',
    'True',
    'ClockChange',
    /2026-03-29/,
  ],
  [
    'a schedule that clock changes do not touch',
    world(probed('Usable', {}, { schedule: '30 4 * * *', timeZone: 'Europe/Berlin' })),
    'DaylightSavingAffectsSchedule',
    undefined,
  ],
  // snapshots
  ['a snapshot policy with a claim', snapshots(), 'Ready', 'True', 'Ready'],
  ['a snapshot policy with a backend', snapshots(), 'OffsiteCopy', 'False', 'NotExported'],
  ['a snapshot policy without a backend', snapshots({}, { backend: undefined }), 'OffsiteCopy', 'False', 'NoBackend'],
  [
    'no snapshot CRDs',
    snapshots({ snapshotClasses: undefined }),
    'Stalled',
    'True',
    'SnapshotCRDsMissing',
    /without a restart/,
  ],
  ['no claim', snapshots({ claims: [] }), 'Ready', 'False', 'SelectorMatchedNothing', /label the claims/],
  ['no class', snapshots({ snapshotClasses: [] }), 'Ready', 'False', 'NoSnapshotClass'],
  [
    'two default classes',
    snapshots({ snapshotClasses: [snapshotClass('a', { isDefault: true }), snapshotClass('b', { isDefault: true })] }),
    'Ready',
    'False',
    'AmbiguousSnapshotClass',
    /a, b/,
  ],
  [
    'a claim that is pending',
    snapshots({ claims: [claim('data', { status: { phase: 'Pending' } })] }),
    'Ready',
    'False',
    'PVCPending',
  ],
  [
    'a claim that is lost',
    snapshots({ claims: [claim('data', { status: { phase: 'Lost' } })] }),
    'TargetsReady',
    'False',
    'PVCLost',
  ],
  [
    'a volume that is not of a CSI driver',
    snapshots({ volumes: new Map([['volume-of-data', volumeOf('data', 'none')]]) }),
    'Ready',
    'False',
    'NotACsiVolume',
  ],
  [
    'one of two claims that is lost: the other goes on',
    snapshots({
      claims: [claim('data'), claim('logs', { status: { phase: 'Lost' } })],
      volumes: world(snapshotPolicy(), { claims: [claim('data')] }).volumes,
    }),
    'Ready',
    'True',
    'Ready',
  ],
  [
    'one of two claims that is lost: it is told',
    snapshots({
      claims: [claim('data'), claim('logs', { status: { phase: 'Lost' } })],
      volumes: world(snapshotPolicy(), { claims: [claim('data')] }).volumes,
    }),
    'TargetsReady',
    'False',
    'PVCLost',
    /logs/,
  ],
  [
    'two claims with different problems',
    snapshots({
      claims: [claim('data', { status: { phase: 'Pending' } }), claim('logs', { status: { phase: 'Lost' } })],
    }),
    'Ready',
    'False',
    'SeveralTargetsNotReady',
  ],
  [
    'a class that deletes',
    snapshots({ snapshotClasses: [snapshotClass('fast', { deletionPolicy: 'Delete' })] }),
    'NamespaceDeletionLosesData',
    'True',
    'DeletionPolicyDelete',
    /data/,
  ],
  ['a class that retains', snapshots(), 'NamespaceDeletionLosesData', undefined],
]

suite('the conditions of a policy tell of', () => {
  for (const [what, seen, type, status, reason, message] of rows)
    test(`${what}: ${type} ${status ?? 'is absent'} ${reason ?? ''}`, () => {
      const condition = conditionsOf(seen).get(type)
      assert.deepEqual([condition?.status, condition?.reason], [status, reason])
      if (message) assert.match(condition?.message ?? '', message)
    })
})

const last = (seen: PolicyWorld) => {
  const { status, reason, message } = conditionsOf(seen).get('LastBackupSucceeded') ?? {}
  return { status, reason, message }
}

test('before the first run nothing is known', () => {
  assert.deepEqual(last(world(policy())), { status: 'Unknown', reason: 'NoBackupYet', message: 'no run has ended yet' })
})

test('the newest run decides, and a failure does not make the policy unready', () => {
  const good = scheduled(at('02:00'), { status: completed('a', at('02:10')) })
  const bad = scheduled(at('03:00'), { status: failed('b', at('03:10'), { reason: 'SourceExit', message: 'exit 3' }) })
  assert.equal(last(world(policy(), { backups: [good] })).status, 'True')
  const seen = world(probed('Usable'), { backups: [good, bad] })
  assert.deepEqual(last(seen), {
    status: 'False',
    reason: 'SourceExit',
    message: `Backup ${bad.metadata.name}: exit 3`,
  })
  assert.equal(conditionsOf(seen).get('Ready')?.status, 'True')
})

test('F67: a run that began earlier and ends later hides nothing of the newer one, which has ended', () => {
  const started = { target: 'data', snapshot: { name: 'x' } }
  const slow = failed('slow', at('11:00'), { ...started, startTime: stamp(at('01:00')), reason: 'SnapshotNotReady' })
  const good = completed('good', at('02:01'), { ...started, startTime: stamp(at('02:00')) })
  const backups = [
    scheduled(at('01:00'), { name: 'slow', target: 'data', status: slow }),
    scheduled(at('02:00'), { name: 'good', target: 'data', status: good }),
  ]
  const last = conditionsOf(snapshots({ backups })).get('LastBackupSucceeded')
  assert.deepEqual([last?.status, last?.reason], ['True', 'Completed'])
})

test('F88: the status that tells of the first good end counts its backup: no policy is shown as unprotected or overdue then', () => {
  const slot = at('11:59')
  const location = storeLocation(policy().spec.backend ?? assert.fail())
  const metadata = { annotations: { [annotation.store]: location } }
  const job = jobOfSlot(slot, { metadata, status: complete(slot, now) })
  const message = { phase: 'committed', run: job.metadata.name, bytes: 10, storedBytes: 5 } as const
  const ended = pod(job, 1, { status: { phase: 'Succeeded', containerStatuses: [saying(message)] } })
  const status = statusOf(world(probed('Usable'), { backups: [scheduled(slot)], jobs: [job], pods: [ended] }))
  assert.deepEqual([status.lastSuccess, status.kept, status.state], [stamp(now), 1, 'Ready'])
})

test('F71: a verdict that is put off is not told as if it were written, and the rest of the status is', () => {
  const run = { target: 'data', run: 'x', snapshot: { name: 'x' } }
  const lost = scheduled(at('02:00'), { name: 'x', target: 'data', status: { phase: 'Running', ...run } })
  const told = (putOff: readonly string[]) => {
    const { actions } = planPolicy(snapshots({ backups: [lost] }), now, new Map(), { putOff: new Set(putOff) })
    return only(actions, 'status BackupPolicy')[0]?.status.conditions?.find(
      ({ type }) => type === 'LastBackupSucceeded',
    )
  }
  assert.equal(told([])?.reason, 'SnapshotDeleted')
  assert.equal(told(['run/x'])?.reason, 'NoBackupYet')
})

test("one target's success does not hide another's failure, whatever the order of the cache", () => {
  const end = at('02:10')
  const good = scheduled(at('02:00'), { name: 'z', target: 'data', status: completed('z', end, { target: 'data' }) })
  const bad = scheduled(at('02:00'), { name: 'a', target: 'logs', status: failed('a', end, { target: 'logs' }) })
  for (const backups of [
    [good, bad],
    [bad, good],
  ])
    assert.equal(last(snapshots({ claims: [claim('data'), claim('logs')], backups })).status, 'False')
})

test('the failure of a target that is no longer selected does not stay for ever', () => {
  const good = scheduled(at('03:00'), {
    name: 'z',
    target: 'data',
    status: completed('z', at('03:10'), { target: 'data' }),
  })
  const bad = scheduled(at('02:00'), {
    name: 'a',
    target: 'logs',
    status: failed('a', at('02:10'), { target: 'logs' }),
  })
  assert.equal(last(snapshots({ backups: [bad, good] })).status, 'True')
})

test('what the last run proved stays, when its Backup is deleted', () => {
  const first = statusOf(
    world(policy(), { backups: [scheduled(at('02:00'), { status: completed('a', at('02:10')) })] }),
  )
  const later = world(policy({}, { status: first }))
  assert.equal(last(later).status, 'True')
  assert.equal(statusOf(later).lastSuccess, stamp(at('02:10')))
})

test('a condition keeps the time of its last change', () => {
  const first = statusOf(world(probed('Usable')))
  const moved = first.conditions?.map(each => ({ ...each, lastTransitionTime: stamp(at('01:00')) }))
  const again = statusOf(
    world({
      ...probed('Unusable', { reason: 'AccessDenied' }),
      status: { ...probed('Unusable', { reason: 'AccessDenied' }).status, conditions: moved },
    }),
  )
  const times = new Map(again.conditions?.map(each => [each.type, each.lastTransitionTime]))
  assert.equal(times.get('Ready'), stamp(now))
  assert.equal(times.get('TargetsSelected'), stamp(at('01:00')))
})

test('F60: a snapshot that lost its content is none that is kept, and pausing retention for it is told', () => {
  const some = [0, 1, 2, 3].map(hour => kept(hour, { ready: hour !== 3 }))
  const of = snapshotPolicy({ retention: 2 }, { status: { retention: { value: 2, since: stamp(at('00:00')) } } })
  const seen = world(of, {
    claims: [claim('data')],
    backups: some.map(each => each.backup),
    snapshots: some.map(each => each.snapshot),
  })
  const { targets } = statusOf(seen)
  assert.deepEqual(
    targets?.map(({ name, kept: count, newest }) => [name, count, newest]),
    [['data', 3, stamp(at('02:00'))]],
  )
  const blocked = conditionsOf(seen).get('RetentionBlocked')
  assert.deepEqual([blocked?.status, blocked?.reason], ['True', 'RetentionPaused'])
  assert.match(blocked?.message ?? '', /of nightly-data-3, its data are not all in the store/)
})

test('each target shows what is kept of it, and what goes next', () => {
  const backups = [1, 2, 3].map(hour => {
    const slot = at(`0${hour}:00`)
    return scheduled(slot, {
      name: `n${hour}`,
      target: 'data',
      status: completed(`n${hour}`, slot, { target: 'data', snapshot: { name: `n${hour}` } }),
    })
  })
  const seen = snapshots(
    { backups, snapshots: backups.map(each => snapshotOf(each, { status: ready })) },
    { retention: 3 },
  )
  const [target] = statusOf(seen).targets ?? []
  assert.deepEqual(
    [target?.name, target?.kept, target?.oldest, target?.newest, target?.nextToGo],
    ['data', 3, stamp(at('01:00')), stamp(at('03:00')), 'n1'],
  )
})

test('a target that is no longer selected stays in the status for as long as it has backups', () => {
  const old = scheduled(at('01:00'), {
    name: 'n1',
    target: 'logs',
    status: completed('n1', at('01:00'), { target: 'logs', snapshot: { name: 'n1' } }),
  })
  const targets = statusOf(snapshots({ backups: [old], snapshots: [snapshotOf(old, { status: ready })] })).targets ?? []
  assert.deepEqual(
    targets.map(({ name, reason, kept }) => [name, reason, kept]),
    [
      ['data', 'Ready', 0],
      ['logs', 'TargetNotFound', 1],
    ],
  )
})

test('a suspect newest backup stops retention until somebody has looked', () => {
  const store = storeLocation(policy({ backend }).spec.backend ?? assert.fail())
  const suspect = (annotations: Readonly<Record<string, string>>) =>
    world(probed('Usable'), {
      backups: [
        scheduled(at('02:00'), {
          status: completed('a', at('02:10'), { suspect: true, store }),
          metadata: { annotations },
        }),
      ],
    })
  assert.equal(conditionsOf(suspect({})).get('RetentionBlocked')?.reason, 'Suspect')
  assert.equal(conditionsOf(suspect({ [annotation.accepted]: 'true' })).get('RetentionBlocked'), undefined)
})

test('a store that refuses deletions is told of until a run finds otherwise', () => {
  const slot = at('02:00')
  const location = storeLocation(policy().spec.backend ?? assert.fail())
  const of = jobOfSlot(slot, {
    metadata: { annotations: { [annotation.store]: location } },
    status: complete(slot, at('02:10')),
  })
  const after = (
    warnings: readonly { readonly reason: 'RetentionBlocked'; readonly message: string }[],
    status: BackupPolicy['status'],
  ) => {
    const message = { phase: 'committed', run: of.metadata.name, kept: { count: 1, digest: 'd' }, warnings } as const
    const pods = [pod(of, 1, { status: { phase: 'Succeeded', containerStatuses: [saying(message)] } })]
    return statusOf(world(policy({}, { status }), { jobs: [of], pods }))
  }
  const reasonIn = (status: BackupPolicy['status']) =>
    status?.conditions?.find(({ type }) => type === 'RetentionBlocked')?.reason
  const blocked = after([{ reason: 'RetentionBlocked', message: '403 on delete' }], {})
  assert.equal(reasonIn(blocked), 'RetentionBlocked')
  assert.equal(reasonIn(statusOf(world(policy({}, { status: blocked })))), 'RetentionBlocked')
  assert.equal(reasonIn(after([], blocked)), undefined)
})

test('a status that is as it should be is not written again', () => {
  for (const seen of [world(policy()), snapshots(), world(probed('Usable'))]) {
    const status = statusOf(seen)
    const again = planPolicy({ ...seen, policy: { ...(seen.policy ?? assert.fail()), status } }, now)
    assert.deepEqual(only(again.actions, 'status BackupPolicy'), [])
  }
})

test('each change that people want to hear of is one event', () => {
  const of = snapshotPolicy()
  const first = planPolicy(world(of, { claims: [] }), at('01:00'))
  assert.deepEqual(
    only(first.actions, 'event').map(({ type, reason }) => [type, reason]),
    [['Warning', 'SelectorMatchedNothing']],
  )
  const status = only(first.actions, 'status BackupPolicy')[0]?.status
  const second = planPolicy(world({ ...of, status }, { claims }), at('01:00'))
  assert.deepEqual(
    only(second.actions, 'event').map(({ type, reason }) => [type, reason]),
    [
      ['Normal', 'Ready'],
      ['Normal', 'Selected'],
    ],
  )
})
