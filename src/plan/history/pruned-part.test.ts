// A Backup over two claims goes on with one of them, while retention is done with what it has of the other.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { only, planPolicy } from '../../../test/plan/planned.ts'
import {
  at,
  backup,
  claim,
  completed,
  ready,
  snapshotOf,
  snapshotPolicy,
  stamp,
  world,
} from '../../../test/plan/world.ts'
import type { Backup, BackupStatus } from '../../api/kinds/backup.ts'
import type { VolumeSnapshot } from '../../api/kubernetes.ts'
import { childBackup } from '../../resources/backup-objects.ts'
import { addSeconds } from '../../schedule/times.ts'

const claims = [claim('data'), claim('logs')]
const number = { value: 1, since: stamp(at('00:00')) }
const of = snapshotPolicy(
  { onDemandRetention: 1 },
  { status: { accountedUntil: stamp(at('02:00')), retention: { ...number, value: 7 }, onDemandRetention: number } },
)

/** A Backup over both claims, of which `data` is complete, and the storage system still copies `logs`. */
function asked(hour: number) {
  const time = at(`0${hour}:00`)
  const creationTimestamp = stamp(time)
  const parent = backup(`all-${hour}`, {
    metadata: { creationTimestamp },
    status: { phase: 'Running', reason: 'Children', targets: ['data', 'logs'] },
  })
  const child = (target: string, made: VolumeSnapshot['status'], status: (name: string) => BackupStatus) => {
    const bare = childBackup(parent, target)
    const uid = `uid-${bare.metadata.name}`
    const it: Backup = { ...bare, metadata: { ...bare.metadata, uid, resourceVersion: '1', creationTimestamp } }
    const snapshot = snapshotOf(it, made ? { status: made } : {})
    const { name } = snapshot.metadata
    const cut = { target, takenTime: creationTimestamp, snapshot: { name } }
    return { backup: { ...it, status: { ...status(name), ...cut } }, snapshot }
  }
  const data = child('data', { ...ready, creationTime: creationTimestamp }, name =>
    completed(name, addSeconds(time, 60)),
  )
  const copying = { readyToUse: false, creationTime: creationTimestamp } as const
  const logs = child('logs', copying, run => ({ phase: 'Running', reason: 'SnapshotPending', run }))
  return { backups: [parent, data.backup, logs.backup], snapshots: [data.snapshot, logs.snapshot] }
}

/** Two that were asked for, one after the other; one of each claim is kept. */
function stage() {
  const both = [asked(3), asked(5)]
  let backups: readonly Backup[] = both.flatMap(each => each.backups)
  let snapshots: readonly VolumeSnapshot[] = both.flatMap(each => each.snapshots)
  return {
    copied: () => {
      snapshots = snapshots.map(each => ({ ...each, status: { ...each.status, ...ready } }))
    },
    pass: (time: string) => {
      const { actions } = planPolicy(world(of, { claims, backups, snapshots }), at(time))
      const pruned = only(actions, 'delete VolumeSnapshot').map(({ name }) => name)
      snapshots = snapshots.filter(({ metadata }) => !pruned.includes(metadata.name))
      const told = new Map(only(actions, 'status Backup').map(each => [each.backup.metadata.name, each.status]))
      const gone = new Set(only(actions, 'delete Backup').map(({ name }) => name))
      backups = backups
        .filter(({ metadata }) => !gone.has(metadata.name))
        .map(each => ({ ...each, status: told.get(each.metadata.name) ?? each.status ?? {} }))
      return pruned.map(name => name.slice(0, 'all-3-data'.length))
    },
    told: (name: string) => backups.find(({ metadata }) => metadata.name.startsWith(name))?.status,
  }
}

test('F83: retention deletes what a Backup over two claims has of one only once it has told that both are complete', () => {
  const { pass, told, copied } = stage()
  for (const time of ['06:00', '06:01', '06:02']) assert.deepEqual(pass(time), [])
  assert.equal(told('all-3')?.phase, 'Running')
  assert.deepEqual(told('all-3-data')?.retention, { keep: true, reason: 'PartOfUnfinished' })
  copied()
  for (const time of ['12:00', '12:01']) assert.deepEqual(pass(time), [])
  assert.deepEqual([told('all-3')?.phase, told('all-3')?.message], ['Completed', 'all 2 targets are complete'])
  assert.deepEqual(pass('12:02'), ['all-3-data', 'all-3-logs'])
})
