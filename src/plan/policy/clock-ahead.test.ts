// F23: the clock jumped ahead a year (or two hours), and came back.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { StoreStatus } from '../../api/kinds/backup-policy-status.ts'
import type { Backup, BackupStatus } from '../../api/kinds/backup.ts'
import type { Job, Pod } from '../../api/kubernetes.ts'
import { slotRunName } from '../../api/names.ts'
import { storeLocation } from '../../resources/desired-state.ts'
import { addSeconds } from '../../schedule/times.ts'
import { lastRunSucceeded } from './measures.ts'
import { overdueSeconds } from './overdue.ts'
import { scheduleHash } from './schedule.ts'
import { does, only, planPolicy } from '../../../test/plan/planned.ts'
import {
  at,
  claim,
  complete,
  completed,
  ended,
  failed,
  jobOfSlot,
  pod,
  policy,
  ready,
  saying,
  scheduled,
  snapshotOf,
  snapshotPolicy,
  stamp,
  startable,
  usableStore,
  world,
} from '../../../test/plan/world.ts'

const store = (more: Partial<StoreStatus>) => usableStore(at('11:00'), more)
const start = startable(at('11:00'))
const book = { accountedUntil: stamp(at('02:00')), scheduleSince: stamp(at('00:00')) }

test('F23: a probe that failed while the clock was a year ahead is repeated when that is put right', () => {
  const ahead = addSeconds(at('12:00'), 365 * 24 * 3600)
  const bad = store({ result: 'Unusable', reason: 'StoreUnavailable', failures: 1, lastProbeTime: stamp(ahead) })
  const of = policy({}, { status: { store: bad, start, ...book } })
  const tried = [0, 1, 24, 24 * 30, 24 * 300].map(hours => {
    const now = addSeconds(at('12:00'), hours * 3600)
    return only(planPolicy(world(of), now).actions, 'create probe Job').length
  })
  assert.ok(
    tried.some(count => count > 0),
    `probes after 0 h, 1 h, a day, 30 days, 300 days: ${tried.join(', ')}`,
  )
})

test('F23: a store that was found usable while the clock was a year ahead is probed at once when that is put right, and not beside a slot', () => {
  const ahead = addSeconds(at('12:00'), 365 * 24 * 3600)
  const of = policy({}, { status: { store: store({ lastProbeTime: stamp(ahead) }), start, ...book } })
  assert.equal(only(planPolicy(world(of), at('12:00')).actions, 'create probe Job').length, 1)
  const beside = planPolicy(world(of), at('+1d 01:50'))
  assert.deepEqual(only(beside.actions, 'create probe Job'), [])
  assert.deepEqual(beside.wakeAt, at('+1d 02:00'))
})

test('F23: a run that failed on the store makes a probe also where the last one seems to be still to come', () => {
  const ahead = store({ lastProbeTime: stamp(addSeconds(at('12:00'), 365 * 24 * 3600)) })
  const lost = scheduled(at('02:00'), { status: failed('r', at('11:59'), { reason: 'StoreUnavailable' }) })
  const of = policy({}, { status: { store: ahead, start, ...book } })
  const [written] = only(planPolicy(world(of, { backups: [lost] }), at('12:00')).actions, 'status BackupPolicy')
  assert.equal(written?.status.store?.result, 'Unknown')
})

test('F23: a dry start that failed while the clock was a year ahead is repeated when that is put right', () => {
  const ahead = addSeconds(at('12:00'), 365 * 24 * 3600)
  const bad = {
    ...start,
    result: 'NotStartable',
    reason: 'ImagePullFailed',
    failures: 1,
    lastTime: stamp(ahead),
  } as const
  const tried = [0, 1, 24, 24 * 30, 24 * 300].map(hours => {
    const now = addSeconds(at('12:00'), hours * 3600)
    const of = policy({}, { status: { store: store({ lastProbeTime: stamp(now) }), start: bad, ...book } })
    return only(planPolicy(world(of), now).actions, 'create start Job').length
  })
  assert.ok(
    tried.some(count => count > 0),
    `dry starts after 0 h, 1 h, a day, 30 days, 300 days: ${tried.join(', ')}`,
  )
})

test('F23: a run that failed on the store two hours ahead of now makes no probe follow another', () => {
  const end = at('14:00')
  const lost = scheduled(at('02:00'), { status: failed('r', end, { reason: 'StoreUnavailable' }) })
  let of = policy({}, { status: { store: store({}), start, ...book } })
  let jobs: Job[] = []
  let pods: Pod[] = []
  let made = 0
  const readies: string[] = []
  let now = at('12:00')
  for (let pass = 0; now < at('12:30') && pass < 1000; pass++) {
    const { actions } = planPolicy(world(of, { backups: [lost], jobs, pods }), now)
    const status = only(actions, 'status BackupPolicy')[0]?.status
    if (status) of = { ...of, status }
    const ready = status?.conditions?.find(({ type }) => type === 'Ready')
    if (ready) readies.push(ready.reason)
    const gone = new Set(only(actions, 'delete Job').map(({ name }) => name))
    jobs = jobs.filter(({ metadata }) => !gone.has(metadata.name))
    const [begun] = only(actions, 'create probe Job')
    now = addSeconds(now, 5)
    if (!begun) continue
    made++
    const { object } = begun
    const metadata = { ...object.metadata, uid: `uid-${object.metadata.name}`, creationTimestamp: stamp(now) }
    const job = { ...object, metadata, status: complete(now, now) }
    jobs = [...jobs, job]
    pods = [
      pod(job, 1, {
        status: { phase: 'Succeeded', containerStatuses: [ended('dump', 0), saying({ v: 1, phase: 'done' } as never)] },
      }),
    ]
  }
  assert.ok(made <= 2, `${made} probe Jobs in half an hour; Ready was ${readies.slice(0, 8).join(', ')}…`)
})

const nextYear = addSeconds(at('02:00'), 365 * 24 * 3600)

/** Of the claim `data`: dated by clocks of the operator and of the storage system, and made at this time by that of the API server. */
function runOf(slot: Date, made: Date, more: Partial<BackupStatus> = {}, target = 'data'): Backup {
  const name = slotRunName('nightly', target, slot)
  const run = { target, startTime: stamp(made), takenTime: stamp(made), snapshot: { name } }
  const status = completed(name, addSeconds(made, 60), { ...run, ...more })
  return scheduled(slot, { name, target, metadata: { creationTimestamp: stamp(made) }, status })
}

/** What the status tells of these Backups, each with its snapshot. */
function told(backups: readonly Backup[], now: Date, claims = ['data']) {
  const accountedUntil = stamp(addSeconds(now, -3600))
  const scheduleSince = stamp(at('00:00'))
  const of = snapshotPolicy(
    {},
    { status: { scheduleHash: scheduleHash(snapshotPolicy()), scheduleSince, accountedUntil } },
  )
  const snapshots = backups.map(each => {
    const { creationTimestamp } = each.metadata
    const creationTime = each.status?.takenTime ?? ''
    return snapshotOf(each, { status: { ...ready, creationTime }, metadata: { creationTimestamp } })
  })
  const seen = world(of, { claims: claims.map(name => claim(name)), backups, snapshots })
  const status = only(planPolicy(seen, now).actions, 'status BackupPolicy')[0]?.status ?? assert.fail()
  return { ...of, status }
}

const ahead = { completionTime: stamp(addSeconds(nextYear, 60)) }
for (const [what, backup] of [
  ['without any wrong clock', runOf(at('02:00'), at('02:00'))],
  ['whose slot is of next year', runOf(nextYear, at('02:00'))],
  ['whose end is of next year', runOf(at('02:00'), at('02:00'), ahead)],
  ['of which all that the operator wrote is of next year', runOf(nextYear, at('02:00'), ahead)],
] as const)
  test(`F23: after a Backup ${what} the next night is owed as ever, and the status tells when it really was`, () => {
    const of = told([backup], at('03:00'))
    assert.equal(of.status.targets?.[0]?.newest, stamp(at('02:00')))
    const { lastSuccess = '' } = of.status
    assert.ok(lastSuccess >= stamp(at('02:00')) && lastSuccess <= stamp(at('02:01')), lastSuccess)
    assert.equal(overdueSeconds(of, at('+7d 12:00')), 6 * 24 * 3600 + 10 * 3600)
  })

test('F23: a claim that has but a Backup of next year is not thought to be as young as its neighbour', () => {
  const backups = [runOf(nextYear, at('02:00')), runOf(at('+6d 02:00'), at('+6d 02:00'), {}, 'logs')]
  const of = told(backups, at('+6d 03:00'), ['data', 'logs'])
  assert.ok((overdueSeconds(of, at('+6d 12:00')) ?? 0) > 5 * 24 * 3600)
})

for (const [what, good] of [
  ['the storage system is two days ahead', runOf(at('02:00'), at('02:00'), { takenTime: stamp(at('+2d 02:00')) })],
  ['the slot is of next year', runOf(nextYear, at('02:00'), { startTime: undefined })],
] as const)
  test(`F23: a night that fails after a success is the newest run, although by its clock ${what}`, () => {
    const bad = runOf(at('+1d 02:00'), at('+1d 02:00'), {
      phase: 'Failed',
      reason: 'SnapshotNotCut',
      message: '',
      takenTime: undefined,
    })
    const of = told([good, bad], at('+1d 03:00'))
    const last = of.status.conditions?.find(({ type }) => type === 'LastBackupSucceeded')
    assert.deepEqual([last?.status, of.status.lastBackup, of.status.state], ['False', bad.metadata.name, 'Failed'])
    assert.equal(lastRunSucceeded(of, [good, bad], at('+1d 03:00')), 0)
  })

test('F23: a slot of next year that counts as missed keeps no later one from being told', () => {
  const slots = { missed: 1, skipped: 0, lastMissed: stamp(nextYear) }
  const known = { scheduleHash: scheduleHash(snapshotPolicy()), scheduleSince: stamp(at('00:00')), slots }
  const of = snapshotPolicy(
    {},
    { status: { ...known, lastRun: stamp(at('02:00')), accountedUntil: stamp(at('02:00')) } },
  )
  const { actions } = planPolicy(world(of), at('+1d 02:00'))
  assert.deepEqual(
    only(actions, 'event')
      .filter(({ reason }) => reason === 'Missed')
      .map(({ reason }) => reason),
    ['Missed'],
  )
})

test('F23: a suspect newest backup stops retention also where an older one is dated ahead', () => {
  const location = storeLocation(policy().spec.backend ?? assert.fail())
  const of = (slot: Date, more: Partial<BackupStatus>) =>
    scheduled(slot, { status: completed('x', at('02:10'), { store: location, ...more }) })
  const backups = [of(nextYear, { run: 'ahead' }), of(at('02:00'), { run: 'new', suspect: true })]
  const { actions } = planPolicy(
    world(policy({}, { status: { store: store({}), start, ...book } }), { backups }),
    at('12:00'),
  )
  const { conditions } = only(actions, 'status BackupPolicy')[0]?.status ?? assert.fail()
  assert.equal(conditions?.find(({ type }) => type === 'RetentionBlocked')?.reason, 'Suspect')
})

/** What is planned for a CronJob that says that it was last scheduled then, of a policy that is otherwise as it should be. */
function lastScheduled(time: Date, more: Parameters<typeof world>[1] = {}, of = policy({}, { status: book })) {
  const cronJob = world(of).cronJob ?? assert.fail()
  const seen = { ...cronJob, status: { lastScheduleTime: stamp(time) } }
  const { actions } = planPolicy(world(of, { cronJob: seen, ...more }), at('12:00'))
  const patched = only(actions, 'patch CronJob').map(({ status }) => status)
  const told = only(actions, 'event').filter(({ reason }) => reason === 'ClockJumped')
  return { patched, told: told.map(({ message }) => message), replaced: only(actions, 'replace CronJob').length }
}

test('F23: a CronJob that was scheduled in the future, by a clock that was ahead, is set to now, and people are told', () => {
  const { patched, told } = lastScheduled(at('+400d 12:00'))
  assert.deepEqual(patched, [{ lastScheduleTime: stamp(at('12:00')) }])
  assert.match(told.join(), /backup-nightly said that it was last scheduled in the future.*put back/)
  assert.deepEqual(lastScheduled(at('+401d 12:00')).told, told, 'a text for each time would be an event for each time')
  assert.equal(lastScheduled(at('12:06')).patched.length, 1)
  assert.deepEqual(lastScheduled(at('12:04')), { patched: [], told: [], replaced: 0 }, 'clocks differ by some minutes')
})

test('F23: a CronJob is not set to before a slot that has run, because the clock of the operator may be behind', () => {
  const slot = at('14:00')
  for (const ran of [{ jobs: [jobOfSlot(slot)] }, { backups: [scheduled(slot)] }]) {
    assert.deepEqual(lastScheduled(slot, ran), { patched: [], told: [], replaced: 0 })
    assert.deepEqual(lastScheduled(at('+9d 12:00'), ran).patched, [{ lastScheduleTime: stamp(slot) }])
  }
})

test('F23: a CronJob is put back to the time of the API server where the clock of the operator is behind', () => {
  const serverTime = at('+2d 12:00')
  assert.deepEqual(lastScheduled(at('+2d 12:00'), { serverTime }), { patched: [], told: [], replaced: 0 })
  assert.deepEqual(lastScheduled(at('+9d 12:00'), { serverTime }).patched, [{ lastScheduleTime: stamp(serverTime) }])
  assert.deepEqual(lastScheduled(at('+9d 12:00'), { serverTime: at('11:00') }).patched, [
    { lastScheduleTime: stamp(at('12:00')) },
  ])
})

test('F23: a CronJob whose runs the whole control plane has dated a year ahead goes on', () => {
  const slot = at('+365d 02:00')
  const backups = [scheduled(slot, { metadata: { creationTimestamp: stamp(slot) } })]
  assert.deepEqual(lastScheduled(slot, { backups }).patched, [{ lastScheduleTime: stamp(at('12:00')) }])
})

test('F23: own slots go on where the operator was 20 hours ahead for one pass', () => {
  const of = { schedule: '0 * * * *' }
  const known = { scheduleHash: scheduleHash(snapshotPolicy(of)), scheduleSince: stamp(at('00:00')) }
  let seen = snapshotPolicy(of, { status: { ...known, accountedUntil: stamp(at('01:00')) } })
  const events: string[] = []
  function pass(now: Date) {
    const { actions } = planPolicy(world(seen, { claims: [claim('data')] }), now)
    const [write] = only(actions, 'status BackupPolicy')
    if (write) seen = { ...seen, status: write.status }
    events.push(...only(actions, 'event').map(({ reason }) => reason))
    return only(actions, 'create Backup').map(({ name }) => name)
  }
  pass(at('21:30'))
  const begun = new Set<string>()
  for (let minute = 0; minute < 20 * 60; minute += 5)
    for (const name of pass(addSeconds(at('01:30'), minute * 60))) begun.add(name)
  assert.equal(begun.size, 20)
  assert.equal(events.filter(reason => reason === 'ClockJumped').length, 1)
})

test('F23: a Job that the clock of its controller, a day ahead, has dated is told, and counts no slot as missed', () => {
  const of = policy({ schedule: '0 * * * *' }, { status: { ...book, accountedUntil: stamp(at('11:00')) } })
  const job = jobOfSlot(at('+1d 11:00'))
  const made = { ...job, metadata: { ...job.metadata, creationTimestamp: stamp(at('11:10')) } }
  const { actions } = planPolicy(world(of, { jobs: [made] }), at('11:11'))
  assert.equal(only(actions, 'create Backup').length, 1)
  const { accountedUntil, slots } = only(actions, 'status BackupPolicy')[0]?.status ?? assert.fail()
  assert.deepEqual([accountedUntil, slots?.missed], [stamp(at('11:10')), 0])
})

test('F23: a slot is missed only when it is too late by the clock of the API server, too', () => {
  const of = policy({}, { status: book })
  const missed = (serverTime: Date) => {
    const { actions, wakeAt } = planPolicy(world(of, { serverTime }), at('+1d 12:00'))
    return { missed: only(actions, 'status BackupPolicy')[0]?.status.slots?.missed, wakeAt }
  }
  assert.equal(missed(at('+1d 12:00')).missed, 1)
  const behind = missed(at('+1d 01:00'))
  assert.equal(behind.missed, 0)
  assert.ok(behind.wakeAt && behind.wakeAt > at('+1d 12:00'), 'and it is not planned again and again until then')
})

test('F23: runs that the clock of the CronJob controller, a year ahead, has dated do not keep the schedule from going on', () => {
  const slot = at('+365d 02:00')
  const creationTimestamp = stamp(at('11:00'))
  const run = jobOfSlot(slot)
  const job = { ...run, metadata: { ...run.metadata, creationTimestamp } }
  const backups = [scheduled(slot, { metadata: { creationTimestamp } })]
  const { patched } = lastScheduled(slot, { jobs: [job], backups })
  assert.deepEqual(patched, [{ lastScheduleTime: stamp(at('12:00')) }])
})

test('F23: the clock of a CronJob is put back before it is changed, and not while it is to be suspended', () => {
  const of = policy({ schedule: '0 3 * * *' }, { status: book })
  const { cronJob } = world(policy())
  const seen = { ...(cronJob ?? assert.fail()), status: { lastScheduleTime: stamp(at('+9d 12:00')) } }
  const { groups } = planPolicy(world(of, { cronJob: seen }), at('12:00'))
  const [first, second] = groups
  assert.deepEqual(first?.actions.map(does), ['patch CronJob', 'event'])
  assert.deepEqual(second?.actions.map(does), ['patch CronJob', 'replace CronJob'])
  assert.deepEqual(second?.needs, [{ group: first?.name, was: 'refused' }])
  const suspended = lastScheduled(at('+9d 12:00'), {}, policy({ suspend: true }, { status: book }))
  assert.deepEqual(suspended.patched, [])
})
