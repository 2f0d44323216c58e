// A slot of which one claim gets its Backup and another does not, because the API server refuses it, or does not answer.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Backup } from '../../api/kinds/backup.ts'
import { backupPolicyStatus } from '../../api/kinds/backup-policy-status.ts'
import type { PersistentVolume, PersistentVolumeClaim, VolumeSnapshotClass } from '../../api/kubernetes.ts'
import { slotRunName } from '../../api/names.ts'
import { only, planPolicy } from '../../../test/plan/planned.ts'
import {
  at,
  claim,
  completed,
  ready,
  scheduled,
  snapshotOf,
  snapshotPolicy,
  stamp,
  volumeOf,
  world,
} from '../../../test/plan/world.ts'
import { scheduleHash } from './schedule.ts'

const slot = at('02:00')
const [data, logs] = [claim('data'), claim('logs')]
const both = [data, logs]

function done(target: string, of = slot): Backup {
  const name = slotRunName('nightly', target, of)
  return scheduled(of, { name, target, status: completed(name, of, { target, snapshot: { name } }) })
}

/** A run of an earlier moment whose snapshot is not cut yet. */
const early = at('01:55')
const name = slotRunName('nightly', 'more', early)
const going = { phase: 'Running', reason: 'SnapshotPending', target: 'more', run: name, snapshot: { name } } as const
const uncut = scheduled(early, { name, target: 'more', status: going })

type Pass = {
  readonly spec?: object
  readonly claims?: readonly PersistentVolumeClaim[]
  readonly backups?: readonly Backup[]
  readonly refused?: readonly string[]
  readonly putOff?: readonly string[]
  readonly of?: Date
  /** Whether the snapshot CRDs are installed. */
  readonly snapshotApi?: boolean
  readonly snapshotApiBackSince?: Date
  readonly snapshotClasses?: readonly VolumeSnapshotClass[]
  readonly volumes?: ReadonlyMap<string, PersistentVolume>
}

/** Passes over a policy that remembers nothing but its status, as after restarts: it has told of its claims before the slot. */
function telling(spec: object = {}, all: readonly PersistentVolumeClaim[] = both) {
  const nightly = { schedule: '0 2 * * *', startingDeadlineSeconds: 600, ...spec }
  const known = { scheduleHash: scheduleHash(snapshotPolicy(nightly)), scheduleSince: stamp(at('00:00')) }
  let of = snapshotPolicy(nightly, { status: { ...known, accountedUntil: stamp(at('01:00')) } })
  const missed: string[] = []
  let writes = 0
  function pass(
    time: string,
    {
      spec: edited,
      claims = all,
      backups = [],
      refused = [],
      putOff = [],
      of: due = slot,
      snapshotApi = true,
      ...more
    }: Pass = {},
  ) {
    const { status: told } = of
    if (edited) of = snapshotPolicy({ ...nightly, ...edited }, { metadata: { generation: 2 }, status: told })
    const snapshots = backups.map(each =>
      snapshotOf(each, each === uncut ? {} : { status: { ...ready, creationTime: each.spec.slot ?? '' } }),
    )
    const groupOf = (target: string) => `record/${slotRunName('nightly', target, due)}`
    const refusal = { action: 'create', kind: 'Backup', name: 'x', words: 'exceeded quota', passing: false } as const
    const { actions } = planPolicy(
      world(of, { claims, backups, snapshots, ...more, ...(snapshotApi ? {} : { snapshotClasses: undefined }) }),
      at(time),
      new Map(refused.map(target => [groupOf(target), refusal])),
      { putOff: new Set(putOff.map(groupOf)) },
    )
    missed.push(...only(actions, 'event').flatMap(({ reason, message }) => (reason === 'Missed' ? message : [])))
    const [write] = only(actions, 'status BackupPolicy')
    if (!write) return
    writes++
    assert.equal(backupPolicyStatus.safeParse(write.status).error, undefined)
    of = { ...of, status: write.status }
  }
  pass('01:50')
  writes = 0
  const seen = () => ({ missed: of.status?.slots?.missed, told: missed, until: of.status?.accountedUntil, writes })
  const skipped = () => of.status?.slots?.skipped
  return { pass, seen, skipped, unmade: () => of.status?.slots?.unmade }
}

for (const how of ['refused', 'putOff'] as const)
  test(`a slot of which the Backup of one claim is ${how} until its deadline is missed, once, and the event names that claim`, () => {
    const { pass, seen, unmade } = telling()
    const backups = [done('data')]
    pass('02:00:10', { backups, [how]: ['logs'] })
    assert.deepEqual(unmade(), { slot: stamp(slot), targets: ['logs'] })
    pass('02:05', { backups, [how]: ['logs'] })
    pass('02:09', { backups, [how]: ['logs'] })
    assert.deepEqual([seen().missed, seen().writes], [0, 1], 'it may still be made, and that is written once')
    pass('02:10:01', { backups })
    pass('02:11', { backups })
    const { told, ...rest } = seen()
    assert.deepEqual([rest, unmade()], [{ missed: 1, until: stamp(slot), writes: 2 }, undefined])
    assert.deepEqual([told.length, /The Backups of logs for \S+ could not be made/.test(told[0] ?? '')], [1, true])
  })

test('a slot of which the last Backup is made in time is not missed', () => {
  const { pass, seen, unmade } = telling()
  pass('02:00:10', { backups: [done('data')], refused: ['logs'] })
  pass('02:05', { backups: both.map(({ metadata }) => done(metadata.name)) })
  pass('02:11', { backups: both.map(({ metadata }) => done(metadata.name)) })
  assert.deepEqual([seen().missed, seen().told, unmade()], [0, [], undefined])
})

test('a Backup that was made and that only its deadline showed is no missed slot', () => {
  const { pass, seen } = telling()
  pass('02:00:10', { backups: [done('data')], putOff: ['logs'] })
  pass('02:11', { backups: both.map(({ metadata }) => done(metadata.name)) })
  assert.deepEqual([seen().missed, seen().until], [0, stamp(slot)])
})

for (const [what, late] of [
  ['made', claim('late', { metadata: { creationTimestamp: stamp(at('02:00:05')) } })],
  ['selected', claim('late')],
] as const)
  test(`a claim that is ${what} after the slot misses nothing, although its Backup is refused`, () => {
    const alone = telling()
    const more = { claims: [...both, late], backups: [done('data'), done('logs')], refused: ['late'] }
    for (const time of ['02:00:10', '02:05', '02:11']) alone.pass(time, more)
    assert.deepEqual([alone.seen().missed, alone.seen().until], [0, stamp(slot)])
    const beside = telling()
    beside.pass('02:00:10', { backups: [done('data')], refused: ['logs'] })
    for (const time of ['02:05', '02:06', '02:11']) beside.pass(time, more)
    assert.deepEqual([beside.seen().missed, beside.seen().until], [0, stamp(slot)])
  })

test('F31: neither does one that was made while the snapshot CRDs were away, where the status tells of nobody', () => {
  const late = claim('late', { metadata: { creationTimestamp: stamp(at('02:05')) } })
  const { pass, seen } = telling({ startingDeadlineSeconds: 3600 }, [...both, late])
  pass('02:06', { snapshotApi: false })
  const backups = [done('data'), done('logs')]
  for (const time of ['02:20', '02:59', '03:01', '03:02']) pass(time, { backups, refused: ['late'] })
  assert.deepEqual([seen().missed, seen().until], [0, stamp(slot)])
})

test('a claim that is no longer selected misses nothing', () => {
  const { pass, seen } = telling()
  pass('02:00:10', { backups: [done('data')], refused: ['logs'] })
  pass('02:05', { claims: [data], backups: [done('data')] })
  assert.deepEqual([seen().missed, seen().until], [0, stamp(slot)])
})

test('a claim that was refused and cannot be snapshotted any more has missed the slot', () => {
  const { pass, seen } = telling()
  const unbound = claim('logs', { spec: {}, status: { phase: 'Pending' } })
  pass('02:00:10', { backups: [done('data')], refused: ['logs'] })
  for (const time of ['02:05', '02:11']) pass(time, { claims: [data, unbound], backups: [done('data')] })
  assert.deepEqual([seen().missed, seen().told.length], [1, 1])
  const none = telling()
  none.pass('02:00:10', { backups: [done('data')], refused: ['logs'] })
  for (const time of ['02:05', '02:11']) none.pass(time, { claims: [unbound], backups: [done('data')] })
  assert.deepEqual([none.seen().missed, none.seen().told.length], [1, 1])
})

test('the next slot settles the one before it, also where it is refused itself', () => {
  const { pass, seen, unmade } = telling({ schedule: '0 * * * *', startingDeadlineSeconds: 7200 })
  const next = at('03:00')
  pass('02:00:10', { backups: [done('data')], refused: ['logs'] })
  const backups = [done('data'), done('data', next)]
  for (const time of ['03:00:10', '03:05']) pass(time, { backups, refused: ['logs'], of: next })
  assert.deepEqual([seen().missed, seen().until, unmade()?.slot], [1, stamp(slot), stamp(next)])
  pass('03:30', { backups: [...backups, done('logs', next)] })
  pass('03:31', { backups: [...backups, done('logs', next)] })
  assert.deepEqual([seen().missed, seen().told.length, unmade()], [1, 1, undefined])
})

test('a slot that has no Backup at all is missed, once', () => {
  const { pass, seen, unmade } = telling()
  pass('02:00:10', { refused: ['data', 'logs'] })
  for (const time of ['02:11', '02:12']) pass(time)
  assert.deepEqual([seen().missed, seen().told.length, unmade()], [1, 1, undefined])
})

test('F71: a claim that was busy while another was refused, and is refused itself until the deadline, has missed the slot', () => {
  const { pass, seen, skipped } = telling({}, [...both, claim('more')])
  pass('02:00:10', { backups: [done('data'), uncut], refused: ['logs'] })
  const cut = [done('data'), done('logs'), done('more', early)]
  for (const time of ['02:04', '02:09:50']) pass(time, { backups: cut, refused: ['more'] })
  for (const time of ['02:10:02', '02:30']) pass(time, { backups: cut })
  assert.deepEqual([seen().missed, skipped(), seen().until], [1, 0, stamp(slot)])
  assert.match(seen().told[0] ?? '', /The Backups of more for /)
})

test('F71: a slot is missed or skipped, and never both', () => {
  const { pass, seen, skipped } = telling({}, [...both, claim('more')])
  pass('02:00:10', { backups: [done('data')], refused: ['logs', 'more'] })
  const unbound = claim('logs', { spec: {}, status: { phase: 'Pending' } })
  const claims = [data, unbound, claim('more')]
  for (const time of ['02:03', '02:04']) pass(time, { claims, backups: [done('data'), uncut] })
  assert.deepEqual([seen().missed, skipped(), seen().until], [1, 0, stamp(slot)])
})

test('F28: where the operator was killed between the Backups of two claims, and away past the deadline, the slot is missed for the other', () => {
  const { pass, seen } = telling()
  for (const time of ['02:30', '02:31']) pass(time, { backups: [done('data')] })
  assert.deepEqual([seen().missed, seen().told.length, seen().until], [1, 1, stamp(slot)])
  assert.match(seen().told[0] ?? '', /The Backups of logs for /)
})

for (const [what, edit] of [
  ['the schedule is edited', { schedule: '0 3 * * *' }],
  ['the policy is suspended', { suspend: true }],
] as const)
  test(`F24: a slot that is refused when ${what} is missed, once, and one of which the last Backup was made is not`, () => {
    const { pass, seen, skipped, unmade } = telling()
    for (const time of ['02:00:10', '02:05']) pass(time, { refused: ['data', 'logs'] })
    for (const time of ['02:06', '02:12']) pass(time, { spec: edit })
    pass('02:30', { spec: {} })
    assert.deepEqual([seen().missed, skipped(), seen().told.length, unmade()], [1, 0, 1, undefined])
    const made = telling()
    made.pass('02:00:10', { backups: [done('data')], refused: ['logs'] })
    made.pass('02:06', { spec: edit, backups: [done('data'), done('logs')] })
    assert.deepEqual([made.seen().missed, made.unmade()], [0, undefined])
  })

test('F71: of more claims than a status has room for those that get no Backup until the deadline have missed the slot', () => {
  const names = Array.from({ length: 300 }, (_, n) => `data-${String(n).padStart(3, '0')}`)
  const { pass, seen, unmade } = telling(
    {},
    names.map(each => claim(each)),
  )
  const made = (count: number) => names.slice(0, count).map(each => done(each))
  // A slow API server: a pass has made ten in its minute. Then a quota refuses the last twenty.
  pass('02:01', { backups: made(10), putOff: names.slice(10) })
  for (const time of ['02:02', '02:09']) pass(time, { backups: made(280), refused: names.slice(280) })
  for (const time of ['02:11', '02:12']) pass(time, { backups: made(280) })
  assert.deepEqual([seen().missed, seen().told.length, unmade()], [1, 1, undefined])
  assert.match(seen().told[0] ?? '', /The Backups of data-280, .* and 15 more for /)
})

for (const [what, edit] of [
  ['nothing', undefined],
  ['the schedule', { schedule: '0 5 * * *' }],
  ['suspend', { suspend: true }],
] as const)
  test(`F24: a slot that waits for the snapshot CRDs, or for the classes that come after them, when a person edits ${what} is missed, once`, () => {
    for (const away of [{ snapshotApi: false }, { snapshotApiBackSince: at('02:00:03'), snapshotClasses: [] }]) {
      const { pass, seen, unmade } = telling({ startingDeadlineSeconds: 3600 })
      for (const time of ['02:00:05', '02:00:30']) pass(time, away)
      assert.deepEqual([seen().missed, seen().writes], [0, 1], 'it may still begin, and that is written once')
      const edited = edit ? { spec: edit } : {}
      for (const time of ['02:00:40', '02:11', '03:01', '03:05']) pass(time, { ...away, ...edited })
      assert.deepEqual([seen().missed, seen().told.length, unmade()?.slot === stamp(slot)], [1, 1, false])
    }
  })

test('F31: after a slot has waited for the snapshot CRDs it is owed to each claim that can be snapshotted, and to no other', () => {
  const all = [volumeOf('data'), volumeOf('logs'), volumeOf('disk', 'none')]
  const seen = { volumes: new Map(all.map(each => [each.metadata.name, each])) }
  const wait = () => {
    const waits = telling({}, [...both, claim('disk')])
    for (const time of ['02:00:05', '02:01']) waits.pass(time, { ...seen, snapshotApi: false })
    return waits
  }
  const refused = wait()
  for (const time of ['02:05', '02:06']) refused.pass(time, { ...seen, backups: [done('data')], refused: ['logs'] })
  assert.deepEqual(refused.unmade(), { slot: stamp(slot), targets: ['logs'] })
  for (const time of ['02:11', '02:12']) refused.pass(time, { ...seen, backups: [done('data')] })
  assert.deepEqual([refused.seen().missed, refused.seen().told.length], [1, 1])
  const made = wait()
  for (const time of ['02:05', '02:11']) made.pass(time, { ...seen, backups: [done('data'), done('logs')] })
  assert.deepEqual([made.seen().missed, made.seen().told, made.seen().until], [0, [], stamp(slot)])
})
