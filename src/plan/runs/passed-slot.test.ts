import assert from 'node:assert/strict'
import { test } from 'node:test'
import { asked, plan, snapshots } from '../../../test/plan/backup-plan.ts'
import {
  at,
  claim,
  policy,
  ready,
  scheduled,
  snapshotOf,
  snapshotPolicy,
  stamp,
  world,
} from '../../../test/plan/world.ts'
import { does, only, planBackup, planPolicy } from '../../../test/plan/planned.ts'
import type { Backup } from '../../api/kinds/backup.ts'
import { annotation } from '../../api/labels.ts'

const now = at('12:00')
/** As Velero, GitOps or an import bring it back: without its status, today. */
const broughtBack = (slot: Date) => scheduled(slot, { target: 'data', metadata: { creationTimestamp: stamp(now) } })

test('F79: a Backup of a slot that has passed gets no snapshot of today, and nobody is told', () => {
  const { actions, status, does } = plan(snapshots(), broughtBack(at('02:00')))
  assert.deepEqual([status?.phase, status?.reason], ['Skipped', 'SlotPassed'])
  assert.deepEqual(does, ['status Backup'])
  assert.equal(only(actions, 'status Backup')[0]?.outcome, undefined)
  assert.deepEqual(plan(snapshots(), broughtBack(at('11:30'))).does, ['create VolumeSnapshot'], 'inside the deadline')
})

/** What becomes of a Backup whose snapshot was made then, and asked for at that other time. */
function withSnapshot(of: Backup, made: string, asked: string, later = now) {
  const annotations = {
    [annotation.backup]: of.metadata.name,
    ...(asked ? { [annotation.askedAt]: stamp(at(asked)) } : {}),
  }
  const metadata = { creationTimestamp: stamp(at(made)), annotations }
  const snapshot = snapshotOf(of, { status: { ...ready, creationTime: stamp(at(made)) }, metadata })
  const seen = world(snapshotPolicy(), { claims: [claim('data')], snapshots: [snapshot], backups: [of] })
  return plan(seen, of, later)
}

test('F79: where its snapshot stands it is Completed', () => {
  assert.equal(withSnapshot(broughtBack(at('02:00')), '02:00', '02:00').status?.phase, 'Completed')
})

for (const asked of ['02:00', ''])
  test(`F79: where its snapshot came back as well, and was cut anew, it says so, and tells nothing of it (asked for at ${asked || 'no known time'})`, () => {
    const { status, does } = withSnapshot(broughtBack(at('02:00')), '11:59', asked)
    assert.deepEqual([status?.phase, status?.reason, does], ['Skipped', 'RestoredObject', ['status Backup']])
    assert.match(status?.message ?? '', /was made at 2026-01-05T11:59:00Z: the data are of then/)
    assert.deepEqual([status?.run, status?.snapshot], [undefined, undefined])
  })

test('F79: a snapshot that is late for its slot is its own where it was made when it was asked for', () => {
  const late = scheduled(at('02:00'), { target: 'data', metadata: { creationTimestamp: stamp(at('05:00')) } })
  assert.equal(withSnapshot(late, '05:00', '04:51').status?.phase, 'Completed')
  assert.equal(withSnapshot(late, '05:00', '05:11').status?.phase, 'Completed', 'our own clock is ahead')
  const of = { snapshots: [snapshotOf(late, { status: ready })], backups: [late] }
  for (const [what, seen] of [
    ['its policy was deleted meanwhile', world(undefined, of)],
    ['the deadline was lowered since', world(snapshotPolicy({ startingDeadlineSeconds: 60 }), of)],
  ] as const)
    assert.notEqual(plan(seen, late).status?.phase, 'Skipped', what)
})

test('F79: of a snapshot of which nothing tells when it was asked for, a Backup that was made in time tells, or one that has begun', () => {
  const late = scheduled(at('02:00'), { target: 'data', metadata: { creationTimestamp: stamp(at('05:00')) } })
  const inTime = scheduled(at('02:00'), { target: 'data' })
  const begun = { ...late, status: { phase: 'Running' as const } }
  for (const [what, of, made] of [
    ['made in time', inTime, '05:00'],
    ['something was written of it', begun, '05:00'],
    ['a pass that took minutes', broughtBack(at('02:00')), '03:09'],
  ] as const)
    assert.equal(withSnapshot(of, made, '').status?.phase, 'Completed', what)
  assert.equal(withSnapshot(late, '05:00', '', at('02:00:10')).status?.phase, 'Completed', 'our own clock is behind')
  assert.equal(withSnapshot(broughtBack(at('02:00')), '03:11', '').status?.phase, 'Skipped')
})

test('F79: nights that came back, and whose snapshots were cut anew in one minute, are not Completed within a long starting deadline either', () => {
  const made = { creationTimestamp: stamp(at('+4d 11:59')) }
  const nights = [1, 2, 3].map(day =>
    scheduled(at(`+${day}d 02:00`), { name: `nightly-data-${day}`, target: 'data', metadata: made }),
  )
  const snapshots = nights.map(each =>
    snapshotOf(each, {
      status: { ...ready, creationTime: made.creationTimestamp },
      metadata: {
        ...made,
        annotations: { [annotation.backup]: each.metadata.name, [annotation.askedAt]: each.spec.slot ?? '' },
      },
    }),
  )
  const seen = world(snapshotPolicy({ startingDeadlineSeconds: 604_800 }), {
    claims: [claim('data')],
    snapshots,
    backups: nights,
  })
  const phases = only(planPolicy(seen, at('+4d 12:00')).actions, 'status Backup').map(({ status }) => status?.phase)
  assert.deepEqual(phases, ['Skipped', 'Skipped', 'Skipped'])
})

test('F79: with strategy job it waits for the list of the bucket only where that is to be read', () => {
  const of = broughtBack(at('02:00'))
  const ofCommand = { ...of, spec: { ...of.spec, target: 'command' } }
  assert.equal(plan(world(policy()), ofCommand).status?.reason, 'SlotPassed')
  assert.equal(plan(world(undefined), ofCommand).status?.reason, 'SlotPassed')
})

test('F79: what Velero restored without its status never runs', () => {
  const labels = { 'velero.io/restore-name': 'monday' }
  for (const seen of [snapshots(), world(policy())]) {
    const { status, does } = plan(seen, asked({ metadata: { labels } }))
    assert.deepEqual([status?.phase, status?.reason, does], ['Skipped', 'RestoredObject', ['status Backup']])
  }
})

test('F79: what Velero restored without its status starts no Job while the bucket is yet to be read either', () => {
  const labels = { 'velero.io/restore-name': 'monday' }
  const planned = (of: Backup) => {
    const { actions } = planBackup(world(policy()), of, { entries: undefined, open: true }, now)
    const [written] = only(actions, 'status Backup')
    return [written?.status.phase, written?.status.reason, actions.map(does)]
  }
  const restored = asked({ metadata: { labels } })
  assert.deepEqual(planned(restored), ['Skipped', 'RestoredObject', ['status Backup']])
  const command = { ...restored, spec: { ...restored.spec, target: 'command' } }
  assert.deepEqual(planned(command), ['Skipped', 'RestoredObject', ['status Backup']])
  const ofRun = asked({ metadata: { labels, annotations: { [annotation.run]: restored.metadata.name } } })
  const ofSlot = scheduled(at('02:00'), { target: 'command', metadata: { labels } })
  for (const listed of [ofRun, ofSlot])
    assert.deepEqual(planned(listed), ['Running', 'JobDeleted', ['status Backup']], 'the list may tell of it')
})

test('F71: a slot that is no time hurts nobody: the rest of the plan stands', () => {
  const bad = broughtBack(at('02:00'))
  const backups = [{ ...bad, spec: { ...bad.spec, slot: '2026-01-05T02:00:00+99:99' } }]
  const { actions } = planPolicy(snapshots({ backups }), now)
  const [written] = only(actions, 'status Backup')
  assert.deepEqual([written?.status.phase, written?.status.reason], ['Skipped', 'SlotPassed'])
  assert.match(written?.status.message ?? '', /is no time/)
  assert.equal(only(actions, 'status BackupPolicy').length, 1)
})
