import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  at,
  backup,
  complete,
  completed,
  desiredCronJob,
  failed,
  jobFailed,
  jobOfSlot,
  pod,
  policy,
  running,
  scheduled,
  stamp,
  world,
} from '../../../test/plan/world.ts'
import type { Backup, BackupStatus } from '../../api/kinds/backup.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { BackupPolicyStatus } from '../../api/kinds/backup-policy-status.ts'
import type { CronJob, Job } from '../../api/kubernetes.ts'
import { annotation, label } from '../../api/labels.ts'
import type { Action } from '../core/actions.ts'
import { scheduleHash } from './schedule.ts'
import { addSeconds } from '../../schedule/times.ts'
import { does, only, planPolicy } from '../../../test/plan/planned.ts'

const now = at('12:00')

function cronJobActions(actions: readonly Action[]): readonly string[] {
  return actions.map(does).filter(name => name.includes('CronJob'))
}

/** A policy whose schedule has been the same since midnight, with the book at a slot. */
function steady(spec: object = {}, status: Partial<BackupPolicyStatus> = {}) {
  const made = policy(spec)
  return policy(spec, { status: { scheduleHash: scheduleHash(made), scheduleSince: stamp(at('00:00')), ...status } })
}

function withCronJob(of: ReturnType<typeof policy>, change: (current: CronJob) => CronJob) {
  const current = world(of).cronJob
  assert.ok(current)
  return world(of, { cronJob: change(current) })
}

test('a policy without its CronJob gets it', () => {
  assert.deepEqual(cronJobActions(planPolicy(world(policy(), { cronJob: undefined }), now).actions), ['create CronJob'])
})

test('a CronJob that is as it should be is left alone', () => {
  assert.deepEqual(cronJobActions(planPolicy(world(policy()), now).actions), [])
})

test('what fires nothing is written at once: image, arguments, retention', () => {
  const before = policy({ retention: 3 })
  const { actions } = planPolicy(world(policy(), { cronJob: world(before).cronJob }), now)
  assert.deepEqual(cronJobActions(actions), ['replace CronJob'])
})

for (const [what, before, after] of [
  ['a schedule', { schedule: '0 1 * * *' }, {}],
  ['a time zone', { timeZone: 'Europe/Berlin' }, {}],
  ['a starting deadline', { startingDeadlineSeconds: 60 }, {}],
  ['a resume', { suspend: true }, {}],
] as const)
  test(`${what} is written only after the CronJob's clock was set, so that nothing fires for the past`, () => {
    const { actions } = planPolicy(world(policy(after), { cronJob: world(policy(before)).cronJob }), now)
    assert.deepEqual(cronJobActions(actions), ['patch CronJob', 'replace CronJob'])
  })

test('a suspension needs no rest: it fires nothing', () => {
  const { actions } = planPolicy(world(policy({ suspend: true }), { cronJob: world(policy()).cronJob }), now)
  assert.deepEqual(cronJobActions(actions), ['replace CronJob'])
})

test('a CronJob that somebody suspended by hand is resumed, without firing for the past', () => {
  const seen = withCronJob(policy(), current => ({ ...current, spec: { ...current.spec, suspend: true } }))
  assert.deepEqual(cronJobActions(planPolicy(seen, now).actions), ['patch CronJob', 'replace CronJob'])
})

const strangers: readonly (readonly [string, Readonly<Record<string, string>>])[] = [
  ['a stranger', {}],
  ['our CronJob of another policy', { [label.managedBy]: 'backup-operator', [label.policy]: 'other' }],
]
for (const [what, labels] of strangers)
  test(`${what} that has the name is left alone, and the policy is stalled`, () => {
    const seen = withCronJob(policy(), current => ({
      ...current,
      metadata: { ...current.metadata, labels, annotations: {}, ownerReferences: [] },
    }))
    const { actions } = planPolicy(seen, now)
    assert.deepEqual(cronJobActions(actions), [])
    const [written] = only(actions, 'status BackupPolicy')
    const ready = written?.status.conditions?.find(({ type }) => type === 'Ready')
    assert.deepEqual([ready?.status, ready?.reason], ['False', 'NameTaken'])
    assert.equal(written?.status.cronJob, undefined)
  })

/** What is planned where somebody has changed the owners of the CronJob, which the policy knows by its UID or does not. */
function disowned(ownerReferences: CronJob['metadata']['ownerReferences'], knows: boolean, of = steady()) {
  const uid = world(of).cronJob?.metadata.uid ?? ''
  const knowing = knows ? { ...of, status: { ...of.status, cronJobUIDs: [uid] } } : of
  const seen = withCronJob(knowing, current => ({ ...current, metadata: { ...current.metadata, ownerReferences } }))
  const { actions } = planPolicy(seen, now)
  const [written] = only(actions, 'status BackupPolicy')
  return { actions, ready: written?.status.conditions?.find(({ type }) => type === 'Ready') }
}

test('F74: a CronJob of ours that somebody took from its policy is given back, so that it goes with it', () => {
  const { name, uid = '' } = policy().metadata
  const noController = { apiVersion: 'backup.dev/v1alpha1', kind: 'BackupPolicy', name, uid }
  for (const owners of [[], undefined, [noController]]) {
    const { actions } = disowned(owners, true)
    const [replaced, ...others] = only(actions, 'replace CronJob')
    assert.deepEqual([others, cronJobActions(actions)], [[], ['replace CronJob']])
    assert.deepEqual(replaced?.object.metadata.ownerReferences, desiredCronJob(policy())?.metadata.ownerReferences)
  }
})

test('F74: one with our labels that the policy does not know is not taken in, and people are told what to do', () => {
  const drifted = steady({ schedule: '0 3 * * *' })
  for (const each of [steady(), drifted]) {
    const { actions, ready } = disowned([], false, each)
    assert.deepEqual(cronJobActions(actions), [])
    assert.deepEqual([ready?.status, ready?.reason], ['False', 'NameTaken'])
    assert.match(ready?.message ?? '', /backup-nightly has our labels and is none that this policy has made.*delete it/)
  }
})

test('the CronJob of an earlier policy of this name waits for the garbage collector', () => {
  const seen = world(policy({}, { metadata: { uid: 'new' } }), { cronJob: world(policy({ retention: 3 })).cronJob })
  assert.deepEqual(cronJobActions(planPolicy(seen, now).actions), [])
})

test('a CronJob that outlived its policy goes', () => {
  const orphan = world(policy()).cronJob
  const { actions } = planPolicy(world(undefined, { cronJob: orphan }), now)
  assert.deepEqual(cronJobActions(actions), ['delete CronJob'])
})

test('a policy that became a snapshot policy loses its CronJob', () => {
  const { actions } = planPolicy(
    world(policy({ strategy: { type: 'snapshot' } }), { cronJob: desiredCronJob(policy()) }),
    now,
  )
  assert.deepEqual(cronJobActions(actions), ['delete CronJob'])
})

test('a Job of the CronJob gets its Backup, under its own name, once', () => {
  const slot = at('02:00')
  const job = jobOfSlot(slot)
  const { actions } = planPolicy(world(steady(), { jobs: [job] }), at('02:01'))
  const [made, ...others] = only(actions, 'create Backup')
  assert.deepEqual(others, [])
  assert.deepEqual([made?.name, made?.target, made?.slot], [job.metadata.name, 'command', slot])
  const again = planPolicy(world(steady(), { jobs: [job], backups: [scheduled(slot)] }), at('02:01'))
  assert.deepEqual(only(again.actions, 'create Backup'), [])
})

test('F27: the Job of a slot is recorded though another Backup has its name, which is then told to be taken', () => {
  const slot = at('02:00')
  const job = jobOfSlot(slot)
  const { name } = job.metadata
  for (const stranger of [backup(name), backup(name, { spec: { slot: at('01:00').toISOString() } })]) {
    const seen = world(steady(), { jobs: [job], backups: [stranger] })
    const { actions } = planPolicy(seen, at('02:01'), new Map(), { taken: new Set([`record/${name}`]) })
    assert.deepEqual(
      only(actions, 'create Backup').map(each => [each.name, each.slot]),
      [[name, slot]],
    )
    assert.equal(only(actions, 'status BackupPolicy')[0]?.status.accountedUntil, stamp(slot), 'it has run')
  }
})

test('a Job up to the mark of the book is never recorded again, so that a deleted Backup stays deleted', () => {
  const slot = at('02:00')
  const job = jobOfSlot(slot, { status: complete(slot, at('02:10')) })
  const { actions } = planPolicy(world(steady({}, { accountedUntil: stamp(slot) }), { jobs: [job] }), now)
  assert.deepEqual(only(actions, 'create Backup'), [])
})

test('all Jobs that were not seen to start are recorded, oldest first', () => {
  const jobs = [at('03:00'), at('02:00'), at('01:00')].map(slot => jobOfSlot(slot, { status: complete(slot, slot) }))
  const { actions } = planPolicy(world(steady({ schedule: '0 * * * *' }), { jobs }), at('03:30'))
  assert.deepEqual(
    only(actions, 'create Backup').map(({ slot }) => slot),
    [at('01:00'), at('02:00'), at('03:00')],
  )
})

const hourly = { schedule: '0 * * * *', startingDeadlineSeconds: 600 }
const slotsAfter = (actions: readonly Action[]) => only(actions, 'status BackupPolicy')[0]?.status.slots

test('a slot without a Job is open until its deadline, and missed after it', () => {
  const of = steady(hourly, { accountedUntil: stamp(at('01:00')) })
  const open = planPolicy(world(of), at('02:11:59'))
  assert.equal(slotsAfter(open.actions)?.missed, 0)
  const closed = planPolicy(world(of), at('02:12'))
  assert.deepEqual(only(closed.actions, 'status BackupPolicy')[0]?.unless, {
    kind: 'newer-jobs',
    name: 'nightly',
    seen: new Set(),
  })
  assert.equal(only(open.actions, 'status BackupPolicy')[0]?.unless, undefined)
  assert.deepEqual(slotsAfter(closed.actions), { missed: 1, skipped: 0, lastMissed: stamp(at('02:00')) })
  assert.equal(only(closed.actions, 'event').filter(({ reason }) => reason === 'Missed').length, 1)
})

test('the outcome of a slot does not wait for the next look', () => {
  const of = steady(hourly, { accountedUntil: stamp(at('01:00')) })
  const { wakeAt } = planPolicy(world(of), at('02:05'))
  assert.deepEqual(wakeAt, at('02:12'))
})

/** When the slot of 02:00 is told as missed, and until when the plan sleeps at 02:13, where the CronJob is so. */
function closing(change: (spec: CronJob['spec']) => CronJob['spec'], more: object = {}) {
  const of = steady({ ...hourly, ...more }, { accountedUntil: stamp(at('01:00')) })
  const seen = withCronJob(of, current => ({ ...current, spec: change(current.spec) }))
  const minutes = Array.from({ length: 120 }, (_, n) => addSeconds(at('02:00'), n * 60))
  const missedAt = minutes.find(time => slotsAfter(planPolicy(seen, time).actions)?.missed === 1)
  return [missedAt, planPolicy(seen, at('02:13')).wakeAt]
}

test('F77: a slot is open for as long as the CronJob that stands may start it: until its own deadline, and not past its next slot', () => {
  const withDeadline = (startingDeadlineSeconds: number) => closing(spec => ({ ...spec, startingDeadlineSeconds }))
  assert.deepEqual(withDeadline(600), [at('02:12'), at('03:00')])
  assert.deepEqual(withDeadline(60), [at('02:12'), at('03:00')], 'one that is shorter changes nothing')
  assert.deepEqual(withDeadline(1800), [at('02:32'), at('02:32')])
  assert.deepEqual(withDeadline(7200), [at('03:02'), at('03:00')])
  assert.deepEqual(
    closing(({ startingDeadlineSeconds: _, ...spec }) => spec),
    [at('03:02'), at('03:00')],
    'none',
  )
})

test('F77: slots of the policy wait for one that a CronJob with another schedule may start, and not for one that nobody can read', () => {
  const other = (schedule: string) => closing(spec => ({ ...spec, schedule, startingDeadlineSeconds: 1800 }))
  assert.deepEqual(other('55 1 * * *'), [at('02:27'), at('02:27')])
  assert.deepEqual(other('whenever'), [at('02:12'), at('03:00')])
  const nowhere = closing(spec => ({ ...spec, timeZone: 'Nowhere/At-all', startingDeadlineSeconds: 1800 }))
  assert.deepEqual(nowhere, [at('02:12'), at('03:00')])
})

test('a slot that a run covered was skipped', () => {
  const long = jobOfSlot(at('01:00'), { status: complete(at('01:00'), at('02:20')) })
  const of = steady(hourly, { accountedUntil: stamp(at('01:00')) })
  const { actions } = planPolicy(world(of, { jobs: [long], backups: [scheduled(at('01:00'))] }), at('02:30'))
  assert.deepEqual(slotsAfter(actions), { missed: 0, skipped: 1, lastSkipped: stamp(at('02:00')) })
})

test('F28: a slot that has its Backup is neither missed nor skipped, though its Job is gone and the book was never moved past it', () => {
  const of = steady(hourly, { accountedUntil: stamp(at('01:00')) })
  const told = scheduled(at('02:00'), { status: failed('', at('02:30'), { startTime: stamp(at('02:00')) }) })
  const slots = (jobs: readonly Job[], now: Date) =>
    slotsAfter(planPolicy(world(of, { jobs, backups: [told] }), now).actions)
  const none = { missed: 0, skipped: 0 }
  assert.deepEqual(slots([], at('02:40')), none)
  assert.deepEqual(slots([jobOfSlot(at('03:00'))], at('03:01')), none)
})

test('F28: slots that have their Backup are not missed, however many the book was not told of', () => {
  const of = steady({ schedule: '* * * * *', startingDeadlineSeconds: 60 }, { accountedUntil: stamp(at('01:00')) })
  const slots = Array.from({ length: 300 }, (_, n) => addSeconds(at('01:01'), n * 60))
  const told = (some: readonly Date[]) =>
    some.map(slot => scheduled(slot, { status: completed(`r-${slot.getTime()}`, addSeconds(slot, 20)) }))
  // The history of the CronJob holds ten of them.
  const jobs = slots.slice(-10).map(slot => jobOfSlot(slot, { status: complete(slot, addSeconds(slot, 20)) }))
  const missed = (some: readonly Date[]) =>
    slotsAfter(planPolicy(world(of, { jobs, backups: told(some) }), at('06:00:30')).actions)?.missed
  assert.deepEqual([missed(slots), missed(slots.filter((_, n) => n !== 100 && n !== 250))], [0, 2])
})

test('the Job of a slot closes the book on all slots before it', () => {
  const jobs = [jobOfSlot(at('05:00'))]
  const of = steady({ ...hourly, startingDeadlineSeconds: 36_000 }, { accountedUntil: stamp(at('02:00')) })
  const { actions } = planPolicy(world(of, { jobs }), at('05:01'))
  assert.deepEqual(slotsAfter(actions), { missed: 2, skipped: 0, lastMissed: stamp(at('04:00')) })
})

test('slots whose Jobs the CronJob controller may have forgotten are not called missed; those after them are', () => {
  const of = steady(hourly, { accountedUntil: stamp(at('00:00')) })
  const ofHour = (hour: number, outcome: (start: Date, end: Date) => Job['status']) => {
    const slot = at(`${String(hour).padStart(2, '0')}:00`)
    return jobOfSlot(slot, { status: outcome(slot, addSeconds(slot, 60)) })
  }
  const good = [5, 6, 7, 8, 9, 10, 11, 12, 14, 15].map(hour => ofHour(hour, complete))
  const after = (jobs: readonly Job[]) => slotsAfter(planPolicy(world(of, { jobs }), at('15:30')).actions)
  const oneMissed = { missed: 1, skipped: 0, lastMissed: stamp(at('13:00')) }
  assert.deepEqual(after([ofHour(1, jobFailed), ...good]), oneMissed, 'an older failure says nothing of successes')
  const inTime = scheduled(at('05:00'), { metadata: { creationTimestamp: stamp(at('05:00')) } })
  const late = scheduled(at('05:00'), { metadata: { creationTimestamp: stamp(at('15:00')) } })
  const beside = (backup: Backup) =>
    slotsAfter(planPolicy(world(of, { jobs: good, backups: [backup] }), at('15:30')).actions)?.missed
  assert.deepEqual([beside(late), beside(inTime)], [1, 5], 'who recorded the oldest when it ran saw those before it')
  assert.deepEqual(after(good), oneMissed)
  assert.equal(after([ofHour(1, jobFailed), ...good.slice(1)])?.missed, 5, 'nine are not the whole history')
  const seen = steady(hourly, { accountedUntil: stamp(at('05:00')) })
  const known = planPolicy(world(seen, { jobs: good, backups: [scheduled(at('05:00'))] }), at('15:30'))
  assert.deepEqual(slotsAfter(known.actions), oneMissed)
})

test('nothing is missed while a policy is suspended', () => {
  const of = steady({ ...hourly, suspend: true })
  assert.equal(slotsAfter(planPolicy(world(of), now).actions)?.missed, 0)
})

test('a change of the schedule begins a new count', () => {
  const before = steady(hourly)
  const after = policy({ ...hourly, schedule: '30 * * * *' }, { status: before.status })
  const [written] = only(planPolicy(world(after), now).actions, 'status BackupPolicy')
  assert.deepEqual(written?.status.slots, { missed: 0, skipped: 0 })
  assert.equal(written?.status.scheduleSince, stamp(now))
})

test('a month of minutely slots without an operator is a number, not a month of objects', () => {
  const of = steady({ schedule: '* * * * *' }, { accountedUntil: stamp(at('00:00')) })
  const { actions } = planPolicy(world(of), at('+30d 00:00'))
  assert.equal(only(actions, 'create Backup').length, 0)
  assert.equal(slotsAfter(actions)?.missed, 30 * 1440 - 62)
})

test('a mark that a wild clock left in the future does not stop the recording of Jobs', () => {
  const of = steady(hourly, { accountedUntil: stamp(at('+400d 00:00')) })
  const [written] = only(planPolicy(world(of), at('02:30')).actions, 'status BackupPolicy')
  assert.equal(written?.status.accountedUntil, stamp(at('02:30')))
})

test('a Job that was lost before anybody saw it gets its Backup before it goes', () => {
  const slot = at('02:00')
  const job = jobOfSlot(slot, { status: { ...jobFailed(slot, at('03:00'), { type: 'FailureTarget' }), active: 1 } })
  const lost = addSeconds(slot, 65_400 + 600)
  const of = steady({}, { accountedUntil: stamp(at('01:00')) })
  const first = planPolicy(world(of, { jobs: [job] }), lost)
  assert.equal(only(first.actions, 'create Backup').length, 1)
  assert.deepEqual(only(first.actions, 'delete Job'), [])
  assert.deepEqual(
    only(planPolicy(world(of, { jobs: [job] }), addSeconds(lost, 600)).actions, 'delete Job').map(({ name }) => name),
    [job.metadata.name],
    'it does not block the schedule for as long as its Backup is refused',
  )
  const then = planPolicy(world(of, { jobs: [job], backups: [scheduled(slot)] }), lost)
  assert.equal(only(then.actions, 'status Backup')[0]?.status.reason, 'DeadlineExceeded')
})

test('a lost Job that its policy will never record just goes', () => {
  const slot = at('02:00')
  const job = jobOfSlot(slot, { status: { ...jobFailed(slot, at('03:00'), { type: 'FailureTarget' }), active: 1 } })
  const lost = addSeconds(slot, 65_400 + 600)
  const { uid = '' } = job.metadata.ownerReferences?.[0] ?? {}
  const of = steady({}, { accountedUntil: stamp(at('01:00')), cronJobUIDs: [uid] })
  const rows: readonly (readonly [string, BackupPolicy])[] = [
    ['its policy goes', { ...of, metadata: { ...of.metadata, deletionTimestamp: stamp(lost) } }],
    ['its policy has become one for snapshots', { ...of, spec: { ...of.spec, strategy: { type: 'snapshot' } } }],
    ['nobody can read the schedule', { ...of, spec: { ...of.spec, schedule: '0 0 * * fri-1' } }],
  ]
  for (const [what, policy] of rows) {
    const { actions, groups } = planPolicy(world(policy, { jobs: [job] }), lost)
    assert.ok(groups.every(({ needs }) => needs === undefined))
    assert.deepEqual(
      only(actions, 'delete Job').map(({ name }) => name),
      [job.metadata.name],
      what,
    )
    assert.deepEqual(only(actions, 'create Backup'), [], what)
  }
})

test('F74: no Job is ended for the failure of a Backup that is not its own', () => {
  const slot = at('02:00')
  const job = jobOfSlot(slot, { status: { startTime: stamp(slot), active: 1 } })
  const { name, uid } = job.metadata
  const of = steady({}, { accountedUntil: stamp(at('01:00')) })
  const ended = (failure: Backup) =>
    only(
      planPolicy(world(of, { jobs: [job], pods: [pod(job, 1)], backups: [failure] }), at('02:10')).actions,
      'delete Job',
    ).length
  const lost = (more: Partial<BackupStatus> = {}) => failed(name, at('01:50'), { reason: 'JobDeleted', ...more })
  const told = { annotations: { [annotation.run]: name } }
  for (const [what, failure] of [
    ['it is told to be of this run by an annotation', backup('x', { metadata: told, status: lost() })],
    ['so is this one, which has the name besides', backup(name, { metadata: told, status: lost() })],
    ['it is of an earlier Job of this name', scheduled(slot, { status: lost({ jobUID: 'earlier' }) })],
  ] as const)
    assert.equal(ended(failure), 0, what)
  assert.equal(ended(scheduled(slot, { status: lost({ jobUID: uid }) })), 1)
  assert.equal(ended(scheduled(slot, { status: lost() })), 1, 'it has the name of its Job')
})

test('a Job that cannot end is deleted, so that the schedule goes on', () => {
  const slot = at('02:00')
  const job = jobOfSlot(slot, { status: { ...jobFailed(slot, at('03:00'), { type: 'FailureTarget' }), active: 1 } })
  const lost = new Date(slot.getTime() + (65_400 + 600) * 1000)
  const of = steady({}, { accountedUntil: stamp(slot) })
  const backups = [scheduled(slot, { status: failed(job.metadata.name, lost, { reason: 'DeadlineExceeded' }) })]
  const pods = [pod(job, 1, { status: { phase: 'Running', containerStatuses: [running('mover')] } })]
  const known = planPolicy(world(of, { jobs: [job], pods, backups }), lost)
  assert.deepEqual(
    only(known.actions, 'delete Job').map(({ name }) => name),
    [job.metadata.name],
  )
  const forgotten = planPolicy(world(of, { jobs: [job], pods }), lost)
  assert.deepEqual(
    only(forgotten.actions, 'delete Job').map(({ name }) => name),
    [job.metadata.name],
  )
  const stranger = planPolicy(world(of, { jobs: [job], pods, backups: [backup(job.metadata.name)] }), lost)
  assert.deepEqual(
    only(stranger.actions, 'delete Job').map(({ name }) => name),
    [job.metadata.name],
    'F27: a Backup that merely has its name does not tell of it',
  )
  const early = planPolicy(world(of, { jobs: [job], pods }), at('04:00'))
  assert.deepEqual(only(early.actions, 'delete Job'), [])
})
