// What a hold on a Backup over several claims says of its children.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { actionsOf, only, planPolicy } from '../../../test/plan/planned.ts'
import {
  at,
  backup,
  claim,
  completed,
  failed,
  ready,
  snapshotOf,
  snapshotPolicy,
  stamp,
  world,
} from '../../../test/plan/world.ts'
import type { Backup, BackupStatus } from '../../api/kinds/backup.ts'
import type { VolumeSnapshot } from '../../api/kubernetes.ts'
import { annotation, label } from '../../api/labels.ts'
import { childBackup } from '../../resources/backup-objects.ts'
import { asksForHold, isHeld, isReleased } from '../runs/marks.ts'
import { viewOf } from '../view/view.ts'
import { planCleanUp } from './clean-up.ts'
import { planExpired } from './ephemeral.ts'
import { planHolds, snapshotRuns } from './verdicts.ts'

const now = at('12:00')
const wasHeld = { type: 'Held', status: 'True', reason: 'Held', message: '', lastTransitionTime: stamp(now) } as const

function annotated(hold?: string): Backup['metadata']['annotations'] {
  return hold === undefined ? {} : { [annotation.hold]: hold }
}

function whole(hour: number, hold?: string, status: BackupStatus = { phase: 'Failed', reason: 'PartiallyFailed' }) {
  const creationTimestamp = stamp(at(`${String(hour).padStart(2, '0')}:00`))
  return backup(`all-${hour}`, { metadata: { creationTimestamp, annotations: annotated(hold) }, status })
}

function part(parent: Backup, target: string, status: BackupStatus, hold?: string): Backup {
  const made = childBackup(parent, target)
  const { name } = made.metadata
  const { creationTimestamp = '' } = parent.metadata
  const metadata = { ...made.metadata, uid: `uid-${name}`, creationTimestamp, annotations: annotated(hold) }
  return { ...made, metadata: { ...metadata, resourceVersion: '1' }, status }
}

/** One that is complete, with its snapshot. */
function complete(parent: Backup, target: string, labels: Readonly<Record<string, string>>) {
  const made = snapshotOf(part(parent, target, {}), { status: ready })
  const { name } = made.metadata
  const creationTimestamp = parent.metadata.creationTimestamp ?? ''
  const metadata = { ...made.metadata, creationTimestamp, labels: { ...made.metadata.labels, ...labels } }
  return {
    child: part(parent, target, completed(name, now, { target, snapshot: { name } })),
    snapshot: { ...made, metadata },
  }
}

function viewed(backups: readonly Backup[], snapshots: readonly VolumeSnapshot[] = []) {
  const of = snapshotPolicy({}, { status: { accountedUntil: stamp(now) } })
  return viewOf(world(of, { claims: [claim('logs')], backups, snapshots }))
}

test('F63: a child is held with its parent, and let go with it, and whoever holds either of them holds the child', () => {
  for (const [own, of, says] of [
    [undefined, undefined, 'nothing'],
    [undefined, 'true', 'hold'],
    [undefined, 'false', 'release'],
    ['true', undefined, 'hold'],
    ['true', 'false', 'hold'],
    ['false', 'true', 'hold'],
    ['false', undefined, 'release'],
    ['yes', 'yes', 'nothing'],
  ] as const) {
    const parent = whole(1, of)
    const child = part(parent, 'data', completed('run', now), own)
    const told = asksForHold(child, parent) ? 'hold' : isReleased(child, parent) ? 'release' : 'nothing'
    assert.deepEqual([told, isHeld(child, parent)], [says, says === 'hold'], `${own} ${of}`)
  }
  const before = whole(1, undefined, { phase: 'Completed', conditions: [wasHeld] })
  assert.ok(isHeld(part(before, 'data', completed('run', now)), before), 'an annotation that is gone says nothing')
})

test('F63: the hold of a parent is put on the snapshots of its children while they are made, and only false takes it away', () => {
  for (const [hold, value, set] of [
    ['true', undefined, 'true'],
    ['true', 'true', undefined],
    [undefined, 'true', undefined],
    ['false', 'true', null],
  ] as const) {
    const parent = whole(1, hold, { phase: 'Running', reason: 'Children' })
    const child = part(parent, 'data', { phase: 'Running', reason: 'SnapshotPending', target: 'data' })
    const made = snapshotOf(child)
    const labels = { ...made.metadata.labels, ...(value ? { [label.hold]: value } : {}) }
    const { snapshots } = viewed([parent, child], [{ ...made, metadata: { ...made.metadata, labels } }])
    assert.deepEqual(
      only(actionsOf(planHolds(snapshots)), 'label VolumeSnapshot').map(each => each.labels),
      set === undefined ? [] : [{ [label.hold]: set }],
      `${hold} ${value}`,
    )
  }
})

test('F63: the snapshot of a child whose object is gone is held with the parent, and keeps a label that the parent has not given', () => {
  for (const [hold, known, value, set] of [
    ['true', undefined, undefined, 'true'],
    ['true', wasHeld, 'true', undefined],
    [undefined, wasHeld, undefined, 'true'],
    ['false', wasHeld, 'true', null],
    ['false', undefined, 'true', undefined],
  ] as const) {
    const conditions = known ? [known] : []
    const parent = whole(1, hold, { phase: 'Completed', reason: 'Completed', targets: ['data', 'logs'], conditions })
    const { snapshot } = complete(parent, 'data', value ? { [label.hold]: value } : {})
    const { snapshots } = viewed([parent], [snapshot])
    const labels = only(actionsOf(planHolds(snapshots)), 'label VolumeSnapshot').map(each => each.labels)
    const message = `${hold} ${known?.status} ${value}`
    assert.deepEqual(labels, set === undefined ? [] : [{ [label.hold]: set }], message)
    const [run] = snapshotRuns(snapshots, now).get('data') ?? []
    assert.equal(run?.held, true, message)
  }
})

test('F63: a snapshot is a part of no other Backup than the one that its name was made for', () => {
  const parent = whole(1, 'true', { phase: 'Completed', reason: 'Completed', targets: ['data'] })
  const others = [
    { ...parent, metadata: { ...parent.metadata, uid: 'of-one-made-anew' } },
    whole(2, 'true', { phase: 'Completed', reason: 'Completed', targets: ['data'] }),
    { ...parent, status: { ...parent.status, targets: ['logs'] } },
  ]
  const { snapshot } = complete(parent, 'data', {})
  const copy = { ...snapshot, metadata: { ...snapshot.metadata, name: 'copy' } }
  assert.deepEqual(planHolds(viewed(others, [snapshot]).snapshots), [])
  assert.deepEqual(planHolds(viewed([parent], [copy]).snapshots), [])
})

test('F63: a parent tells that it is held only once the snapshot of a child whose object is gone is labelled, too', () => {
  const parent = whole(1, 'true', { phase: 'Completed', reason: 'Completed', targets: ['data', 'logs'] })
  const { child, snapshot } = complete(parent, 'data', { [label.hold]: 'true' })
  const told = (labels: Readonly<Record<string, string>>) => {
    const claims = [claim('data'), claim('logs')]
    const snapshots = [snapshot, complete(parent, 'logs', labels).snapshot]
    const { actions } = planPolicy(world(snapshotPolicy(), { claims, backups: [parent, child], snapshots }), now)
    const said = only(actions, 'status Backup').find(each => each.backup.metadata.name === parent.metadata.name)
    return said?.status?.conditions?.find(({ type }) => type === 'Held')?.status
  }
  assert.equal(told({}), undefined)
  assert.equal(told({ [label.hold]: 'true' }), 'True')
})

test('F63: a failed child of a parent that is held is not cleaned up, and counts among none', () => {
  const of = (hour: number, hold?: string) => {
    const parent = whole(hour, hold)
    const end = at(`${String(hour).padStart(2, '0')}:10`)
    return [parent, part(parent, 'data', { ...failed('r', end, { target: 'data' }), run: `all-${hour}` })]
  }
  const gone = (held: readonly number[]) => {
    const backups = [1, 2, 3, 4, 5, 6, 7].flatMap(hour => of(hour, held.includes(hour) ? 'true' : undefined))
    const deleted = only(actionsOf(planCleanUp(viewed(backups), new Set(), now)), 'delete Backup')
    return deleted.map(({ name }) => name.slice(0, 'all-1'.length)).toSorted()
  }
  assert.deepEqual(gone([]), ['all-1', 'all-2'])
  assert.deepEqual(gone([1]), ['all-2'])
  assert.deepEqual(gone([1, 7]), [])
})

test('F63: a child of a parent that is held stays without its data, and says so', () => {
  const parent = whole(1, 'true', { phase: 'Completed', reason: 'Completed' })
  const child = part(parent, 'data', completed('gone', now, { target: 'data', snapshot: { name: 'gone' } }))
  const actions = actionsOf(planCleanUp(viewed([parent, child]), new Set(), now))
  assert.deepEqual(only(actions, 'delete Backup'), [])
  const [told] = only(actions, 'status Backup')
  assert.match(told?.status?.message ?? '', /the Backup stays because somebody holds it$/)
})

test('F63: a parent without a snapshot says so, once, and stays as long as somebody holds it or one of its children', () => {
  const goneOf = (hold: string | undefined, holdOfChild?: string) => {
    const parent = whole(1, hold, { phase: 'Completed', reason: 'Completed', targets: ['data', 'logs'] })
    const children = ['data', 'logs'].map(target => {
      const status = completed('gone', now, { target, snapshot: { name: `gone-${target}` } })
      return part(parent, target, { ...status, phase: 'Deleting' }, holdOfChild)
    })
    return { parent, children }
  }
  const told = (backups: readonly Backup[], snapshots: readonly VolumeSnapshot[] = []) => {
    const actions = actionsOf(planCleanUp(viewed(backups, snapshots), new Set(), now))
    const deleted = only(actions, 'delete Backup').map(({ name }) => name)
    const said = only(actions, 'status Backup').find(each => each.backup.metadata.name === 'all-1')?.status
    return { deleted: deleted.includes('all-1'), phase: said?.phase, message: said?.message }
  }
  const nothing = { deleted: false, phase: undefined, message: undefined }
  for (const [hold, ofChild, why] of [
    ['true', undefined, 'somebody holds it'],
    [undefined, 'true', 'those of its targets stay'],
  ] as const) {
    const { parent, children } = goneOf(hold, ofChild)
    const message = `the data of its targets are gone; the Backup stays because ${why}`
    assert.deepEqual(told([parent, ...children]), { deleted: false, phase: 'Deleting', message })
    assert.deepEqual(told([{ ...parent, status: { ...parent.status, phase: 'Deleting' } }, ...children]), nothing)
  }
  const { parent, children } = goneOf(undefined)
  assert.deepEqual(told([parent]), { ...nothing, deleted: true })
  const [one] = children
  assert.ok(one)
  const { child, snapshot } = complete(parent, 'logs', {})
  assert.deepEqual(told([parent, one, child], [snapshot]), nothing, 'one of them is there')
  assert.deepEqual(told([parent, one], [snapshot]), nothing, 'also where nobody but the snapshot tells of it')
})

test('F63: a snapshot of a claim that went with its pod does not expire while the parent of its Backup is held', () => {
  const expires = (hold?: string) => {
    const parent = whole(1, hold, { phase: 'Completed', reason: 'Completed' })
    const { child, snapshot } = complete(parent, 'data', { [label.ephemeral]: 'true' })
    return planExpired(viewed([parent, child], [snapshot]), at('+8d 12:00')).length
  }
  assert.deepEqual([expires(), expires('true')], [1, 0])
})

test('F63: a snapshot that is cut stays when its policy goes while the parent of its Backup is held', () => {
  const parent = whole(2, 'true', { phase: 'Running', reason: 'Children' })
  const child = part(parent, 'data', { phase: 'Running', reason: 'SnapshotPending', target: 'data' })
  const snapshot = snapshotOf(child, { status: { readyToUse: false, creationTime: stamp(at('02:00:05')) } })
  const { actions } = planPolicy(world(undefined, { backups: [parent, child], snapshots: [snapshot] }), now)
  assert.deepEqual(only(actions, 'delete VolumeSnapshot'), [])
  assert.deepEqual(
    only(actions, 'label VolumeSnapshot').map(({ labels }) => labels),
    [{ [label.hold]: 'true' }],
  )
})

test('F63: a parent of which some claims failed tells that the snapshots of the others are held', () => {
  const parent = whole(1, 'true')
  const { child: good, snapshot } = complete(parent, 'data', { [label.hold]: 'true' })
  const bad = part(parent, 'logs', failed('y', now, { target: 'logs', reason: 'SnapshotNotReady' }))
  const seen = world(snapshotPolicy(), {
    claims: [claim('data'), claim('logs')],
    backups: [parent, good, bad],
    snapshots: [snapshot],
  })
  const said = only(planPolicy(seen, now).actions, 'status Backup').map(({ backup: of, status }) => ({
    name: of.metadata.name,
    held: status?.conditions?.find(({ type }) => type === 'Held'),
  }))
  const own = said.find(({ name }) => name === parent.metadata.name)?.held
  assert.deepEqual([own?.status, own?.reason], ['True', 'Held'])
  const child = said.find(({ name }) => name === good.metadata.name)?.held
  assert.match(child?.message ?? '', /Only the annotation backup.dev\/hold=false of Backup all-1 releases it/)
})
