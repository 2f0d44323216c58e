import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  at,
  backup,
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
import type { Backup } from '../../api/kinds/backup.ts'
import type { BackupPolicyStatus } from '../../api/kinds/backup-policy-status.ts'
import type { VolumeSnapshot } from '../../api/kubernetes.ts'
import { slotRunName } from '../../api/names.ts'
import { askedConclusion } from '../core/actions.ts'
import { scheduleHash } from './schedule.ts'
import { does, only, planPolicy } from '../../../test/plan/planned.ts'

const claims = [claim('data'), claim('logs')]
const hourly = { schedule: '0 * * * *', startingDeadlineSeconds: 600 }

/** An hourly policy that has been so since midnight, with the book at a slot. */
function steady(until: Date | undefined, more: object = {}, status: Partial<BackupPolicyStatus> = {}) {
  const spec = { ...hourly, ...more }
  const mark = until ? { accountedUntil: stamp(until) } : {}
  const hash = scheduleHash(snapshotPolicy(spec))
  return snapshotPolicy(spec, { status: { scheduleHash: hash, scheduleSince: stamp(at('00:00')), ...mark, ...status } })
}

function at0(time: Date, of: ReturnType<typeof steady>, more: Parameters<typeof world>[1] = {}) {
  const { actions, wakeAt } = planPolicy(world(of, { claims, ...more }), time)
  const started = only(actions, 'create Backup')
  return {
    started: started.map(({ target, slot }) => `${target} ${stamp(slot).slice(11, 16)}`),
    status: only(actions, 'status BackupPolicy')[0]?.status,
    unless: only(actions, 'status BackupPolicy')[0]?.unless,
    wakeAt,
    events: only(actions, 'event').map(({ reason }) => reason),
    order: actions.map(does),
  }
}

const done = (target: string, slot: Date, status: Backup['status'] = completed('x', slot, { target })) =>
  scheduled(slot, { name: slotRunName('nightly', target, slot), target, status })

test('a due slot starts a Backup of every claim, and the book is written after them', () => {
  const { started, status, order } = at0(at('02:00'), steady(at('01:00')))
  assert.deepEqual(started, ['data 02:00', 'logs 02:00'])
  assert.equal(status?.accountedUntil, stamp(at('02:00')))
  assert.ok(order.lastIndexOf('create Backup') < order.indexOf('status BackupPolicy'))
})

test('between slots nothing starts, and the next slot wakes', () => {
  const { started, wakeAt } = at0(at('02:55'), steady(at('02:00')))
  assert.deepEqual([started, wakeAt], [[], at('03:00')])
})

test('after an outage the newest slot is caught up inside its deadline, older ones are missed', () => {
  const { started, status } = at0(at('05:09'), steady(at('01:00')))
  assert.deepEqual(started, ['data 05:00', 'logs 05:00'])
  assert.deepEqual(status?.slots, { missed: 3, skipped: 0, lastMissed: stamp(at('04:00')) })
})

test('after its deadline a slot is missed, unless the API server has a Backup that no cache knew', () => {
  const { started, status, unless } = at0(at('05:11'), steady(at('04:00')))
  assert.deepEqual(unless, { kind: 'newer-backups', name: 'nightly', seen: new Set() })
  assert.equal(at0(at('05:00'), steady(at('04:00'))).unless, undefined)
  assert.deepEqual([started, status?.slots], [[], { missed: 1, skipped: 0, lastMissed: stamp(at('05:00')) }])
})

test('F71: where nobody can be asked about a missed slot, it waits to be counted, and all else is told', () => {
  const words = { action: 'write-status', kind: 'BackupPolicy', name: 'nightly', words: 'no', passing: true } as const
  const of = steady(at('04:00'))
  const { actions } = planPolicy(world(of, { claims }), at('05:11'), new Map([[askedConclusion, words]]))
  const [written] = only(actions, 'status BackupPolicy')
  assert.deepEqual([written?.unless, written?.status.slots], [undefined, { missed: 0, skipped: 0 }])
  assert.deepEqual([written?.status.accountedUntil, written?.status.selected], [stamp(at('04:00')), 2])
})

test('after a crash behind the first Backup of a slot only the others are made', () => {
  const { started } = at0(at('02:01'), steady(at('01:00')), { backups: [done('data', at('02:00'), {})] })
  assert.deepEqual(started, ['logs 02:00'])
})

test('F27: a Backup that merely has the name of a slot’s run is no run: where that name is taken the slot counts as missed, once', () => {
  const [slot, of] = [at('02:00'), steady(at('01:00'))]
  const name = slotRunName('nightly', 'data', slot)
  const { metadata, spec } = done('data', slot)
  const exported = backup(name, { metadata, spec: { ...spec, slot: undefined } })
  const ofAnotherSlot = backup(name, { metadata, spec: { ...spec, slot: at('01:00').toISOString() } })
  for (const stranger of [exported, ofAnotherSlot, backup(name)]) {
    const seen = world(of, { claims, backups: [stranger] })
    assert.deepEqual(at0(slot, of, { backups: [stranger] }).started, ['data 02:00', 'logs 02:00'])
    const { actions } = planPolicy(seen, slot, new Map(), { taken: new Set([`record/${name}`]) })
    const [written] = only(actions, 'status BackupPolicy')
    assert.deepEqual(
      [written?.status.accountedUntil, written?.status.slots],
      [stamp(slot), { missed: 1, skipped: 0, lastMissed: stamp(slot) }],
    )
    const after = at0(at('02:01'), snapshotPolicy(of.spec, { status: written?.status }), { backups: [stranger] })
    assert.deepEqual([after.started, after.status], [[], undefined])
  }
})

test('a slot that was made before a long outage is not counted as missed, too, and one that was half made once', () => {
  const both = ['data', 'logs'].map(target => done(target, at('02:00')))
  const { status } = at0(at('05:00'), steady(at('01:00')), { backups: both })
  assert.deepEqual(status?.slots, { missed: 2, skipped: 0, lastMissed: stamp(at('04:00')) })
  const all = at0(at('03:00'), steady(at('01:00')), { backups: both })
  assert.deepEqual(all.status?.slots, { missed: 0, skipped: 0 })
  const half = at0(at('05:00'), steady(at('01:00')), { backups: both.slice(1) })
  assert.deepEqual(half.status?.slots, { missed: 3, skipped: 0, lastMissed: stamp(at('04:00')) })
})

test('a claim whose earlier run goes on is skipped, its neighbour is not', () => {
  const backups = [done('data', at('01:00'), { phase: 'Running' }), done('logs', at('01:00'))]
  const { started, status } = at0(at('02:00'), steady(at('01:00')), { backups })
  assert.deepEqual(
    [started, status?.slots],
    [['logs 02:00'], { missed: 0, skipped: 1, lastSkipped: stamp(at('02:00')) }],
  )
})

test('a Backup that somebody’s finalizer keeps, and of which there is no snapshot, takes no slot of its claim', () => {
  const metadata = { deletionTimestamp: stamp(at('01:30')), finalizers: ['example.com/audit'] }
  const going = (status: Backup['status']) => {
    const of = done('data', at('01:00'), status)
    return { ...of, metadata: { ...of.metadata, ...metadata } }
  }
  const of = (backup: Backup, snapshots: readonly VolumeSnapshot[] = []) =>
    at0(at('02:00'), steady(at('01:00')), { claims: [claim('data')], backups: [backup], snapshots })
  for (const status of [undefined, {}, { phase: 'Running' }] as const) {
    const { started, status: told } = of(going(status))
    assert.deepEqual([started, told?.slots], [['data 02:00'], { missed: 0, skipped: 0 }])
  }
  const running = going({ phase: 'Running' })
  const fresh = snapshotOf(running, { metadata: { creationTimestamp: stamp(at('01:55')) } })
  assert.deepEqual(of(running, [fresh]).started, [], 'its snapshot is being cut')
})

test('F67: once the earlier snapshot is cut its claim is free for the next one, but for a storage system that is stuck', () => {
  const slots = ['00:20', '00:40', '01:00'].map(time => done('data', at(time), { phase: 'Running' }))
  const cut = { readyToUse: false, creationTime: stamp(at('01:00')) }
  const of = (backups: readonly Backup[], status: VolumeSnapshot['status']) =>
    at0(at('02:00'), steady(at('01:00')), {
      claims: [claim('data')],
      backups,
      snapshots: backups.map(backup => snapshotOf(backup, { status })),
    })
  const skipped = { missed: 0, skipped: 1, lastSkipped: stamp(at('02:00')) }
  const ran = { missed: 0, skipped: 0 }
  for (const [what, backups, status, started, counts] of [
    ['one is cut', slots.slice(2), cut, ['data 02:00'], ran],
    ['two are cut', slots.slice(1), cut, ['data 02:00'], ran],
    ['three are cut, and not ready', slots, cut, [], skipped],
    ['three are ready', slots, ready, ['data 02:00'], ran],
  ] as const) {
    const plan = of(backups, status)
    assert.deepEqual([plan.started, plan.status?.slots], [started, counts], what)
  }
  const fresh = snapshotOf(slots[2] ?? assert.fail(), { metadata: { creationTimestamp: stamp(at('01:55')) } })
  const uncut = at0(at('02:00'), steady(at('01:00')), {
    claims: [claim('data')],
    backups: slots.slice(2),
    snapshots: [fresh],
  })
  assert.deepEqual([uncut.started, uncut.status?.slots], [[], skipped])
})

test('a slot is one pass: its Backups and what starts them are made together, and the book after them', () => {
  const { order } = at0(at('02:00'), steady(at('01:00')))
  assert.deepEqual(order, [
    'create Backup',
    'create Backup',
    'create VolumeSnapshot',
    'create VolumeSnapshot',
    'event',
    'event',
    'status BackupPolicy',
  ])
})

test('an edit fires nothing for a time before it', () => {
  const before = steady(at('01:00'))
  const { started, status } = at0(
    at('02:05'),
    snapshotPolicy({ ...hourly, schedule: '*/10 * * * *' }, { status: before.status }),
  )
  assert.deepEqual(started, [])
  assert.equal(status?.scheduleSince, stamp(at('02:05')))
})

test('a resume fires nothing for a time before it', () => {
  const suspended = steady(at('01:00'), { suspend: true })
  const { started, status } = at0(at('02:05'), snapshotPolicy(hourly, { status: suspended.status }))
  assert.deepEqual([started, status?.slots?.missed ?? 0], [[], 0])
})

test('a policy that nobody has looked at yet catches up since its creation, unless it was edited meanwhile', () => {
  const unseen = (generation: number) =>
    snapshotPolicy(hourly, { metadata: { generation, creationTimestamp: stamp(at('01:30')) }, status: undefined })
  assert.deepEqual(at0(at('02:05'), unseen(1)).started, ['data 02:00', 'logs 02:00'])
  const edited = at0(at('02:05'), unseen(2))
  assert.deepEqual([edited.started, edited.status?.scheduleSince], [[], stamp(at('02:05'))])
})

test('nothing starts while the policy is suspended', () => {
  assert.deepEqual(at0(at('02:00'), steady(at('01:00'), { suspend: true })).started, [])
})

test('without the snapshot API a slot waits for its deadline, and is then missed, in time', () => {
  const snapshotClasses = undefined
  const waits = at0(at('02:00'), steady(at('01:00')), { snapshotClasses })
  assert.deepEqual([waits.started, waits.status?.slots?.missed, waits.wakeAt], [[], 0, at('02:10:01')])
  assert.deepEqual(at0(at('02:10:01'), steady(at('01:00')), { snapshotClasses }).status?.slots?.missed, 1)
  assert.deepEqual(at0(at('02:09'), steady(at('01:00'))).started.length, 2)
})

test('F31: a slot that waited for the snapshot API waits for the classes that come after it, and is missed at its deadline', () => {
  const unbound = claim('data', { spec: {}, status: { phase: 'Pending' } })
  const [of, back] = [steady(at('01:00')), { snapshotApiBackSince: at('02:03') }]
  for (const lacking of [{ snapshotClasses: [] }, { claims: [unbound] }]) {
    const waits = at0(at('02:05'), of, { ...back, ...lacking })
    assert.deepEqual([waits.started, waits.status?.slots?.missed, waits.wakeAt], [[], 0, at('02:10:01')])
    assert.equal(at0(at('02:10:01'), of, { ...back, ...lacking }).status?.slots?.missed, 1)
  }
  assert.deepEqual(at0(at('02:05'), of, back).started, ['data 02:00', 'logs 02:00'])
  const longAgo = { snapshotApiBackSince: at('01:58'), snapshotClasses: [] }
  assert.equal(at0(at('02:00'), of, longAgo).status?.slots?.missed, 1, 'what has no class has none')
})

for (const [deadline, back, waits] of [
  [30, '02:00:05', '02:00:20'],
  [8, '02:00:02', '02:00:05'],
  [3600, '02:59:30', '02:59:50'],
  [3600, '02:59:56', '02:59:58'],
] as const)
  test(`F31: they begin some seconds before their deadline of ${deadline} s is over where the snapshot API came back at ${back}`, () => {
    const lacking = { ...claim('waits'), status: { phase: 'Pending' as const } }
    const pending = { ...lacking, spec: { ...lacking.spec, volumeName: undefined } }
    const of = steady(at('01:00'), { schedule: '0 2 * * *', startingDeadlineSeconds: deadline })
    const seen = {
      snapshotApiBackSince: at(back),
      claims: [claim('data'), pending],
      volumes: new Map([['pv-data', volumeOf('data')]]),
    }
    const first = at0(at(back), of, seen)
    assert.deepEqual([first.started, first.wakeAt], [[], at(waits)])
    // A timer is late.
    const late = new Date(at(waits).getTime() + 1007)
    assert.deepEqual(at0(late, of, seen).started, ['data 02:00'])
  })

test('F31: claims that can be snapshotted wait a minute from when the snapshot API came back for those that lack a class, and no longer', () => {
  const other = { ...volumeOf('logs'), spec: { csi: { driver: 'other.csi' } } }
  const volumes = new Map([volumeOf('data'), other].map(each => [each.metadata.name, each]))
  const [of, more] = [steady(at('01:00')), { volumes, snapshotApiBackSince: at('02:03') }]
  const waits = at0(at('02:03:05'), of, more)
  assert.deepEqual([waits.started, waits.wakeAt], [[], at('02:04')])
  assert.deepEqual(at0(at('02:04'), of, more).started, ['data 02:00'])
  const late = { ...more, snapshotApiBackSince: at('02:09:30') }
  assert.deepEqual(at0(at('02:10'), of, late).started, ['data 02:00'], 'before the slot is missed')
})

test('a slot at which nothing is selected was missed', () => {
  assert.deepEqual(at0(at('02:00'), steady(at('01:00')), { claims: [] }).status?.slots?.missed, 1)
})

test('a slot that has begun was not missed, whatever becomes of the claims before the book knows it', () => {
  const backups = [done('data', at('02:00'))]
  const { status } = at0(at('02:00'), steady(at('01:00')), { claims: [], backups })
  assert.deepEqual([status?.accountedUntil, status?.slots], [stamp(at('02:00')), { missed: 0, skipped: 0 }])
})

test('a slot that has begun is told with its end, or after five seconds', () => {
  const backups = claims.map(({ metadata }) => done(metadata.name, at('02:00'), {}))
  const first = at0(at('02:00'), steady(at('01:00')))
  const known = steady(undefined, {}, { ...first.status, accountedUntil: stamp(at('01:00')) })
  const soon = at0(at('02:00'), known, { backups })
  assert.deepEqual([soon.status, soon.wakeAt], [undefined, at('02:00:05')])
  assert.equal(at0(at('02:00:05'), known, { backups }).status?.accountedUntil, stamp(at('02:00')))
  const ended = [done('data', at('02:00')), ...backups.slice(1)]
  assert.equal(at0(at('02:00'), known, { backups: ended }).status?.accountedUntil, stamp(at('02:00')))
})

test('F82: a claim that cannot be snapshotted is a fact of the policy and no run that fails; where none can be the slot was missed', () => {
  const unbound = claim('logs', { spec: {}, status: { phase: 'Pending' } })
  const some = at0(at('02:00'), steady(at('01:00')), { claims: [claim('data'), unbound] })
  assert.deepEqual([some.started, some.status?.slots], [['data 02:00'], { missed: 0, skipped: 0 }])
  const fact = some.status?.conditions?.find(({ type }) => type === 'TargetsReady')
  assert.deepEqual([fact?.status, fact?.reason], ['False', 'PVCPending'])
  assert.match(fact?.message ?? '', /^logs: PersistentVolumeClaim logs has no volume yet/)
  assert.deepEqual(some.events, ['Ready', 'PVCPending', 'Selected'])
  const none = at0(at('02:00'), steady(at('01:00')), { claims: [unbound] })
  assert.deepEqual([none.started, none.status?.slots?.missed], [[], 1])
  assert.deepEqual(none.events, ['Missed', 'PVCPending', 'Selected'])
  // A volume that is only not known yet is waited for.
  const passing = at0(at('02:00'), steady(at('01:00')), { claims: [claim('data')], volumes: new Map() })
  assert.deepEqual(passing.started, ['data 02:00'])
})

test('a mark that a wild clock left a year ahead becomes now, and the next slot runs', () => {
  const wild = at0(at('02:30'), steady(at('+400d 00:00')))
  assert.equal(wild.status?.accountedUntil, stamp(at('02:30')))
  assert.deepEqual(at0(at('03:00'), snapshotPolicy(hourly, { status: wild.status })).started, [
    'data 03:00',
    'logs 03:00',
  ])
})

test('F23: an operator that was 20 hours ahead for one pass goes on with the next slot, and one whose clock is set back runs none twice', () => {
  const first = at0(at('21:05'), steady(at('01:00')))
  assert.deepEqual(first.started, ['data 21:00', 'logs 21:00'])
  const ahead = snapshotPolicy(hourly, { status: first.status })
  const made = claims.map(({ metadata: { name } }) => {
    const of = done(name, at('21:00'))
    return { ...of, metadata: { ...of.metadata, creationTimestamp: stamp(at('01:30')) } }
  })
  const back = at0(at('01:31'), ahead, { backups: made })
  assert.equal(back.status?.accountedUntil, stamp(at('01:31')))
  assert.ok(back.events.includes('ClockJumped'))
  const next = snapshotPolicy(hourly, { status: back.status })
  assert.deepEqual(at0(at('02:00'), next, { backups: made }).started, ['data 02:00', 'logs 02:00'])
  const ran = claims.map(({ metadata: { name } }) => done(name, at('02:00')))
  const behind = at0(at('00:30'), steady(at('02:00')), { backups: ran })
  assert.deepEqual([behind.started, behind.status?.accountedUntil], [[], stamp(at('02:00'))])
})

test('F23: a snapshot that is never cut, made while the clock of the API server was a year ahead, does not keep its claim busy for a year', () => {
  const name = slotRunName('nightly', 'data', at('01:00'))
  const of = done('data', at('01:00'), { phase: 'Running', run: name, target: 'data', snapshot: { name } })
  const stuck = { ...of, metadata: { ...of.metadata, creationTimestamp: stamp(at('+365d 01:00')) } }
  const { annotations } = snapshotOf(of).metadata
  const snapshots = [snapshotOf(stuck, { metadata: { annotations } })]
  const { started } = at0(at('02:00'), steady(at('01:00')), { claims: [claim('data')], backups: [stuck], snapshots })
  assert.deepEqual(started, ['data 02:00'])
})
