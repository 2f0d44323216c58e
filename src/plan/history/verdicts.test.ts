import assert from 'node:assert/strict'
import { test } from 'node:test'
import { kept, type Kept } from '../../../test/plan/kept.ts'
import { actionsOf, does, only } from '../../../test/plan/planned.ts'
import {
  at,
  backup,
  claim,
  completed,
  policy,
  ready,
  scheduled,
  snapshotOf,
  snapshotPolicy,
  stamp,
  world,
} from '../../../test/plan/world.ts'
import type { Backup } from '../../api/kinds/backup.ts'
import type { VolumeSnapshot } from '../../api/kubernetes.ts'
import { annotation, label } from '../../api/labels.ts'
import { returnedBackup } from '../../resources/backup-objects.ts'
import { runsDigest } from '../../api/mover/runs-digest.ts'
import { storeLocation } from '../../resources/desired-state.ts'
import { viewOf } from '../view/view.ts'
import type { PolicyWorld } from '../view/world.ts'
import { planHolds, planRetained, retentionByTarget, runsByTarget } from './verdicts.ts'

const now = at('12:00')

function histories(seen: PolicyWorld) {
  const view = viewOf(seen)
  assert.ok(view.policy)
  const { retention, onDemandRetention = retention } = view.policy.spec
  const keeping = { keep: retention, onDemand: { keep: onDemandRetention } }
  return { keeping, all: retentionByTarget(runsByTarget(view, view.policy, view.strategy, now), keeping) }
}

function retained(seen: PolicyWorld) {
  const view = viewOf(seen)
  assert.ok(view.policy)
  const { all, keeping } = histories(seen)
  return actionsOf(planRetained(view, view.policy, all, keeping, new Map(), now))
}

function plan(retention: number, some: readonly Kept[]) {
  const of = snapshotPolicy({ retention })
  const seen = world(of, {
    claims: [claim('data')],
    backups: some.map(each => each.backup),
    snapshots: some.map(each => each.snapshot),
  })
  return retained(seen)
}
const deleted = (actions: ReturnType<typeof plan>) => only(actions, 'delete VolumeSnapshot').map(({ name }) => name)

test('the newest N ready snapshots of each claim stay, the others go, oldest first', () => {
  const actions = plan(2, [kept(1), kept(2), kept(3), kept(4), kept(5, { target: 'logs' })])
  assert.deepEqual(deleted(actions), ['nightly-data-1', 'nightly-data-2'])
  assert.ok(
    only(actions, 'delete VolumeSnapshot').every(
      ({ provided }) => provided?.that === 'retention' && provided.keeping.keep === 2,
    ),
  )
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

test('a snapshot of which no Backup tells pushes none out, and goes when enough newer ones have one', () => {
  const gone = (backups: readonly Kept[], snapshots: readonly Kept[]) =>
    deleted(
      retained(
        world(snapshotPolicy({ retention: 1 }), {
          backups: backups.map(({ backup: each }) => each),
          snapshots: snapshots.map(({ snapshot }) => snapshot),
        }),
      ),
    )
  const three = [kept(1), kept(2), kept(3)]
  assert.deepEqual(gone([], three), [], 'people may make them')
  assert.deepEqual(gone(three.slice(0, 1), three), [])
  assert.deepEqual(gone(three.slice(2), three), ['nightly-data-1', 'nightly-data-2'])
})

test('F79: a snapshot whose Backup was Skipped, and which came later, pushes none out, is not counted, and goes when enough newer ones are good', () => {
  const skipped = ({ backup: of, snapshot }: Kept): Kept => ({
    backup: { ...of, status: { phase: 'Skipped', reason: 'RestoredObject', target: 'data' } },
    snapshot,
  })
  assert.deepEqual(deleted(plan(1, [kept(1), skipped(kept(2))])), [])
  const [old, ...newer] = [skipped(ofClaim(kept(1), 'a')), ofClaim(kept(2), 'a'), ofClaim(kept(3), 'a')]
  assert.deepEqual(deleted(plan(2, [old, ...newer])), ['nightly-data-1'])
  assert.deepEqual(deleted(plan(3, [old, ...newer])), [])
})

test('the label of a slot makes no scheduled one of a snapshot that was asked for', () => {
  const asked = backup('asked', { spec: { target: 'data' } })
  const { name } = snapshotOf(asked).metadata
  const of = { ...asked, status: completed(name, at('05:00'), { target: 'data', snapshot: { name } }) }
  const plain = snapshotOf(of, { status: ready })
  const labels = { ...plain.metadata.labels, [label.slot]: '20260105T090000Z' }
  const posing = { backup: of, snapshot: { ...plain, metadata: { ...plain.metadata, labels } } }
  assert.deepEqual(deleted(plan(1, [kept(1), posing])), [])
})

test('F23: the snapshot that was just made stays although others are dated a year ahead', () => {
  const dated = (when: string, name: string) => {
    const slot = at(when)
    const status = completed(name, slot, { target: 'data', snapshot: { name } })
    const of = scheduled(slot, { name, target: 'data', status })
    return { backup: of, snapshot: snapshotOf(of, { status: ready }) }
  }
  const ahead = [dated('+365d 01:00', 'ahead-1'), dated('+365d 02:00', 'ahead-2')]
  assert.deepEqual(deleted(plan(2, [...ahead, kept(10), kept(11)])), [])
  assert.deepEqual(deleted(plan(2, [...ahead, kept(9), kept(10), kept(11)])), ['nightly-data-9'])
})

test('F38: the snapshot of a claim that was made last stays, though Backups name others that are of newer slots', () => {
  const made = (each: Kept, time: string): Kept => ({
    ...each,
    snapshot: { ...each.snapshot, metadata: { ...each.snapshot.metadata, creationTimestamp: stamp(at(time)) } },
  })
  // Whoever writes Backups and their status has given old snapshots the slots of this morning.
  const posing = [made(kept(9), '00:10'), made(kept(10), '00:20'), made(kept(10, { target: 'logs' }), '08:00')]
  const actions = plan(1, [made(kept(2), '02:00'), made(kept(3), '03:00'), ...posing])
  assert.deepEqual(deleted(actions), ['nightly-data-2', 'nightly-data-9'])
  const said = only(actions, 'status Backup').map(({ backup: { metadata }, status }) => [
    metadata.name,
    status.retention,
  ])
  assert.deepEqual(new Map(said as never).get('nightly-data-3'), { keep: true, reason: 'MadeLast' })
})

/** @param told by its Backup, once it was cut */
const ofClaim = ({ backup: of, snapshot }: Kept, claimUID: string, told: string | undefined = claimUID): Kept => {
  const { metadata } = snapshot
  const annotations = { ...metadata.annotations, [annotation.claimUID]: claimUID }
  const named = { name: metadata.name, ...(told === undefined ? {} : { claimUID: told }) }
  return {
    backup: { ...of, status: { ...of.status, snapshot: named } },
    snapshot: { ...snapshot, metadata: { ...metadata, annotations } },
  }
}

test('F82: the snapshots of a claim that was made anew under its name push none of the old volume out', () => {
  const before = [kept(1), kept(2), kept(3)].map(each => ofClaim(each, 'old'))
  const after = [kept(4), kept(5), kept(6)].map(each => ofClaim(each, 'new'))
  const actions = plan(2, [...before, ...after])
  assert.deepEqual(deleted(actions).toSorted(), ['nightly-data-1', 'nightly-data-4'])
  const [history] = histories(
    world(snapshotPolicy({ retention: 2 }), {
      claims: [claim('data')],
      backups: [...before, ...after].map(each => each.backup),
      snapshots: [...before, ...after].map(each => each.snapshot),
    }),
  ).all
  assert.deepEqual(
    [history?.target, history?.plan.nextToGo, history?.plan.verdicts.map(({ id }) => id.at(-1)).join('')],
    ['data', 'nightly-data-4', '654321'],
  )
})

test('F82: a snapshot that was asked for of a claim which was made anew before the cut counts alone, and pushes none of the old volume out', () => {
  const old = ofClaim(kept(2), 'old')
  const { backup: of, snapshot } = ofClaim(kept(3), 'old')
  const telling = (claimUID: object) => ({
    backup: { ...of, status: { ...of.status, snapshot: { name: of.metadata.name, ...claimUID } } },
    snapshot,
  })
  const unproven = telling({ claimUID: 'unproven' })
  // Ready in this very plan, and not told yet.
  const { phase: _, snapshot: __, ...status } = of.status ?? {}
  const going = { backup: { ...of, status: { ...status, phase: 'Running' as const } }, snapshot }
  for (const [what, last, live, expected] of [
    ['its claim was there once it was cut', { backup: of, snapshot }, 'new', ['nightly-data-2']],
    ['its claim was not', unproven, 'old', []],
    ['it ended under a version that did not look', telling({}), 'new', ['nightly-data-2']],
    ['another claim has the name', going, 'new', []],
    ['its claim is there', going, 'old', ['nightly-data-2']],
  ] as const) {
    const seen = world(snapshotPolicy({ retention: 1 }), {
      claims: [claim('data', { metadata: { uid: live } })],
      backups: [old.backup, last.backup],
      snapshots: [old.snapshot, last.snapshot],
    })
    assert.deepEqual(deleted(retained(seen)), expected, what)
  }
  const newer = [kept(4), kept(5)].map(each => ofClaim(each, 'old'))
  assert.deepEqual(deleted(plan(1, [old, unproven, ...newer])), ['nightly-data-2', 'nightly-data-4'], 'it stays')
})

test('F60: a Completed Backup whose snapshot lost its content does not count, stops pruning, and goes when enough newer ones are good', () => {
  const missing = 'VolumeSnapshotContent is missing'
  const lost = (hour: number): Kept => {
    const each = kept(hour)
    return {
      ...each,
      snapshot: { ...each.snapshot, status: { ...ready, readyToUse: false, error: { message: missing } } },
    }
  }
  const verdicts = (retention: number, some: readonly Kept[]) => {
    const [history] = histories(
      world(snapshotPolicy({ retention }), {
        claims: [claim('data')],
        backups: some.map(({ backup: of }) => of),
        snapshots: some.map(({ snapshot }) => snapshot),
      }),
    ).all
    return history?.plan.verdicts.map(({ id, reason }) => `${id.at(-1)} ${reason}`)
  }
  assert.deepEqual(verdicts(1, [kept(1), lost(2)]), ['2 DataMissing', '1 WithinRetention'])
  const some = [kept(1), kept(2), lost(3), kept(4)]
  assert.deepEqual(verdicts(2, some), ['4 WithinRetention', '3 DataMissing', '2 WithinRetention', '1 PruningStopped'])
  assert.deepEqual(deleted(plan(2, some)), [])
  const later = [...some, kept(5)]
  assert.deepEqual(deleted(plan(2, later)), ['nightly-data-1', 'nightly-data-2', 'nightly-data-3'])
  const said = only(plan(1, [kept(1), lost(2)]), 'status Backup').map(({ status }) => status.retention?.reason)
  assert.deepEqual(said, ['WithinRetention', 'DataMissing'])
})

test('F60: a snapshot that was made anew under the name of a Completed Backup is not that backup: it does not count, stops pruning, and stays', () => {
  /** Its Backup tells of 02:00, and somebody has applied an export of its snapshot at 10:00. */
  const anew = (cut: string, more: Partial<VolumeSnapshot['spec']> = {}): Kept => {
    const { backup: of, snapshot } = kept(2)
    const status = { ...ready, creationTime: stamp(at(cut)) }
    const { metadata, spec } = snapshot
    return {
      backup: { ...of, status: { ...of.status, phase: 'Completed', takenTime: stamp(at('02:00:01')) } },
      snapshot: {
        ...snapshot,
        metadata: { ...metadata, uid: 'another', creationTimestamp: stamp(at(cut)) },
        spec: { ...spec, ...more },
        status,
      },
    }
  }
  const said = (retention: number, some: readonly Kept[]) =>
    only(plan(retention, some), 'status Backup').map(({ status }) => status.retention?.reason)
  const replaced = [kept(1), anew('10:00')]
  assert.deepEqual([said(1, replaced), deleted(plan(1, replaced))], [['WithinRetention', 'DataMissing'], []])
  const superseded = [...replaced, kept(3), kept(4)]
  assert.deepEqual(deleted(plan(1, superseded)), ['nightly-data-1', 'nightly-data-3'])
  assert.deepEqual(said(1, superseded), ['BeyondRetention', 'DataMissing', 'BeyondRetention', 'WithinRetention'])
  const own = [kept(1), anew('02:00:01')]
  assert.deepEqual(deleted(plan(1, own)), ['nightly-data-1'])
  const restored = [kept(1), anew('10:00', { source: {} })]
  assert.deepEqual(said(1, restored), ['BeyondRetention', 'WithinRetention'], 'its time is whatever the driver says')
  assert.deepEqual(deleted(plan(1, [...restored, kept(3)])), ['nightly-data-1'], 'it was made last')
})

test('the verdict is written before the snapshot goes, and again only when it changes', () => {
  const actions = plan(1, [kept(1), kept(2)])
  assert.deepEqual(actions.map(does), ['status Backup', 'status Backup', 'delete VolumeSnapshot', 'event'])
  const [first] = only(actions, 'status Backup')
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
  const [written] = only(plan(3, [{ ...going, snapshot }]), 'status Backup')
  assert.equal(written?.status.phase, 'Deleting')
})

test('a policy of strategy job deletes no snapshots, also none of its earlier strategy', () => {
  const of = policy({ retention: 1 })
  const some = [kept(1), kept(2)]
  const seen = world(of, { backups: some.map(each => each.backup), snapshots: some.map(each => each.snapshot) })
  assert.deepEqual(retained(seen), [])
})

test('a suspect Backup does not count until it is accepted', () => {
  const store = storeLocation(policy().spec.backend!)
  const suspect = (annotations: Readonly<Record<string, string>>) =>
    scheduled(at('02:00'), {
      status: completed('b', now, { store, suspect: true }),
      metadata: { annotations },
    })
  const good = scheduled(at('01:00'), { status: completed('a', now, { store }) })
  const verdict = (annotations: Readonly<Record<string, string>>) =>
    histories(world(policy({ retention: 1 }), { backups: [good, suspect(annotations)] })).all[0]?.plan.deleteNow
  assert.deepEqual(verdict({}), [])
  assert.deepEqual(verdict({ [annotation.accepted]: 'true' }), ['a'])
})

test('F63: a hold is put on the snapshot, stays there when the Backup goes or loses it, and only false takes it away', () => {
  const [one] = [kept(1)]
  assert.ok(one)
  const labelled = (value?: string) => ({
    ...one.snapshot,
    metadata: {
      ...one.snapshot.metadata,
      labels: { ...one.snapshot.metadata.labels, ...(value ? { [label.hold]: value } : {}) },
    },
  })
  const annotated = (hold?: string): Backup => ({
    ...one.backup,
    metadata: { ...one.backup.metadata, annotations: hold ? { [annotation.hold]: hold } : {} },
  })
  for (const [hold, value, set] of [
    ['true', undefined, 'true'],
    ['true', 'true', undefined],
    [undefined, 'true', undefined],
    ['false', 'true', null],
    ['false', undefined, undefined],
    ['yes', 'true', undefined],
  ] as const) {
    const seen = world(snapshotPolicy(), { backups: [annotated(hold)], snapshots: [labelled(value)] })
    const labels = only(actionsOf(planHolds(viewOf(seen).snapshots)), 'label VolumeSnapshot').map(each => each.labels)
    assert.deepEqual(labels, set === undefined ? [] : [{ [label.hold]: set }], `${hold} ${value}`)
  }
  const seen = world(snapshotPolicy({ retention: 1 }), {
    backups: [kept(2).backup, kept(3).backup],
    snapshots: [labelled('true'), kept(2).snapshot, kept(3).snapshot],
  })
  assert.deepEqual(
    only(retained(seen), 'delete VolumeSnapshot').map(({ name }) => name),
    ['nightly-data-2'],
  )
})

test('F66: snapshots that were asked for push none of the schedule out, and are counted by their own number', () => {
  const of = (hour: number) => {
    const { backup } = kept(hour)
    const { slot: _, ...spec } = backup.spec
    const { name } = snapshotOf({ ...backup, spec }, { claim: 'data' }).metadata
    const asked = { ...backup, spec, status: { ...backup.status, run: name, snapshot: { name } } as Backup['status'] }
    return { backup: asked, snapshot: snapshotOf(asked, { status: ready, claim: 'data' }) }
  }
  const nightly = [1, 2].map(hour => kept(hour))
  const some = [...nightly, of(3), of(4), of(5)]
  const gone = (spec: object) => {
    const seen = world(snapshotPolicy({ retention: 2, ...spec }), {
      claims: [claim('data')],
      backups: some.map(each => each.backup),
      snapshots: some.map(each => each.snapshot),
    })
    return only(retained(seen), 'delete VolumeSnapshot').map(({ name }) => name)
  }
  assert.deepEqual(gone({}), [some[2]?.snapshot.metadata.name])
  assert.deepEqual(
    gone({ onDemandRetention: 1 }),
    some.slice(2, 4).map(({ snapshot }) => snapshot.metadata.name),
  )
})

test('F97: a run on demand that came back from the bucket counts on demand, at the time of its data', () => {
  const store = storeLocation(policy().spec.backend!)
  const run = 'backup-nightly-0123456789'
  const returned: Backup = {
    ...returnedBackup('shop', 'nightly', run, 'command'),
    status: completed(run, at('02:40'), { store, takenTime: stamp(at('02:30')) }),
  }
  const { creationTimestamp: _, ...metadata } = returned.metadata
  const young = { ...returned, metadata: { ...metadata, creationTimestamp: stamp(at('11:00')) } }
  const nightly = scheduled(at('02:00'), { status: completed('a', now, { store }) })
  const [history] = histories(world(policy({ retention: 1 }), { backups: [young, nightly] })).all
  assert.deepEqual(
    history?.runs.map(({ id, trigger, slot }) => [id, trigger, slot]),
    [
      [run, 'on-demand', at('02:30')],
      ['a', 'scheduled', at('02:00')],
    ],
  )
  assert.deepEqual(history.plan.deleteNow, [])
})

test('snapshots of one second are ordered by the moment of their data, and a late slot stays in its place', () => {
  const onDemand = (name: string, taken: string) => {
    const asked = backup(name, { spec: { target: 'data' }, metadata: { creationTimestamp: stamp(at('03:00')) } })
    const snapshot = { name: snapshotOf(asked).metadata.name }
    const of = { ...asked, status: completed('x', at('03:01'), { target: 'data', snapshot }) }
    return { backup: of, snapshot: snapshotOf(of, { status: { ...ready, creationTime: stamp(at(taken)) } }) }
  }
  const [later, earlier] = [onDemand('a', '03:00:02'), onDemand('b', '03:00:01')]
  assert.deepEqual(deleted(plan(1, [later, earlier])), [earlier.snapshot.metadata.name])

  // Both were caught up in one second, after an outage of the API server: the slots tell which is the newer one.
  const late = [kept(1), kept(2)].map(({ backup: of, snapshot }) => ({
    backup: of,
    snapshot: { ...snapshot, metadata: { ...snapshot.metadata, creationTimestamp: stamp(at('02:30')) } },
  }))
  assert.deepEqual(deleted(plan(1, late.toReversed())), ['nightly-data-1'])
})

test('F57: a backup whose size could be compared with none does not count, until it can be, or somebody accepts it', () => {
  const store = storeLocation(policy().spec.backend!)
  const of = (hour: number, bytes: number | undefined, sizeCheck: 'compared' | 'unchecked', accepted = false) => {
    const name = `run-${hour}`
    const annotations: Readonly<Record<string, string>> = accepted ? { [annotation.accepted]: 'true' } : {}
    const status = completed(name, now, { store, sizeCheck, ...(bytes === undefined ? {} : { bytes }) })
    return scheduled(at(`0${hour}:00`), { name, status, metadata: { annotations } })
  }
  const verdicts = (backups: readonly Backup[], status?: object) =>
    histories(world(policy({ retention: 1 }, { status: status as never }), { backups })).all[0]?.plan.verdicts.map(
      ({ id, reason }) => `${id} ${reason}`,
    )
  const good = of(1, 5000, 'compared')
  assert.deepEqual(verdicts([of(2, 5000, 'unchecked')]), ['run-2 Unchecked'])
  assert.deepEqual(verdicts([of(2, 5000, 'unchecked', true)]), ['run-2 WithinRetention'])
  assert.deepEqual(verdicts([good, of(2, 5000, 'unchecked')]), ['run-2 WithinRetention', 'run-1 BeyondRetention'])
  assert.deepEqual(verdicts([good, of(2, 50, 'unchecked')]), ['run-2 Suspect', 'run-1 WithinRetention'])
  const whole = { targets: [{ name: 'command', digest: runsDigest(['run-2']) }] }
  assert.deepEqual(verdicts([of(2, 5000, 'unchecked')], whole), ['run-2 WithinRetention'], 'the first of all')
  assert.deepEqual(verdicts([of(2, undefined, 'compared')]), ['run-2 WithinRetention'], 'its words are lost')
})
