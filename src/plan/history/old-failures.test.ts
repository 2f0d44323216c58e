import assert from 'node:assert/strict'
import { test } from 'node:test'
import { kept } from '../../../test/plan/kept.ts'
import { actionsOf, only } from '../../../test/plan/planned.ts'
import { at, backup, completed, failed, snapshotPolicy, stamp, world } from '../../../test/plan/world.ts'
import type { Backup, BackupStatus } from '../../api/kinds/backup.ts'
import type { VolumeSnapshot } from '../../api/kubernetes.ts'
import { annotation } from '../../api/labels.ts'
import { commandTarget } from '../../api/names.ts'
import { viewOf } from '../view/view.ts'
import { planCleanUp } from './clean-up.ts'

const now = at('12:00')

/** A person's Backup that ended in this hour. */
function asked(hour: number, status: Partial<BackupStatus> = {}, metadata: Partial<Backup['metadata']> = {}): Backup {
  const time = at(`${String(hour).padStart(2, '0')}:00`)
  return backup(`now-${hour}`, {
    metadata: { creationTimestamp: stamp(time), ...metadata },
    status: { ...failed(`run-${hour}`, time), target: 'data', ...status },
  })
}

const hours = [1, 2, 3, 4, 5, 6, 7]

function gone(backups: readonly Backup[], ...snapshots: readonly VolumeSnapshot[]): readonly string[] {
  const actions = actionsOf(
    planCleanUp(
      viewOf(world(snapshotPolicy({}, { status: { accountedUntil: stamp(at('12:00')) } }), { backups, snapshots })),
      new Set(),
      now,
    ),
  )
  const deletions = only(actions, 'delete Backup')
  assert.ok(deletions.every(({ provided, uid }) => provided?.that === 'no-snapshot' && uid))
  return deletions.map(({ name }) => name).toSorted()
}

test('F83: of the Backups on demand of a target that failed or were skipped the newest five stay', () => {
  const some = hours.map(hour => asked(hour, hour % 2 === 0 ? { phase: 'Skipped', reason: 'Overlapping' } : {}))
  const others = hours.slice(0, 3).map(hour => {
    const other = asked(hour, { target: 'logs' })
    return { ...other, metadata: { ...other.metadata, name: `logs-${hour}` } }
  })
  assert.deepEqual(gone([...some.toReversed(), ...others]), ['now-1', 'now-2'])
  assert.deepEqual(gone(some.slice(0, 5)), [])
})

test('a failed Backup stays as long as its snapshot does, which nobody could see when it failed', () => {
  const all = hours.map(hour => kept(hour, { phase: 'Failed' }))
  const backups = all.map(({ backup }) => ({
    ...backup,
    status: { ...backup.status, phase: 'Failed' as const, reason: 'SnapshotCRDsMissing' },
  }))
  assert.deepEqual(gone(backups), ['nightly-data-1', 'nightly-data-2'])
  const first = all[0]?.snapshot ?? assert.fail()
  assert.deepEqual(gone(backups, first), ['nightly-data-2'])
})

test('F83: without the snapshot API nobody sees whether a failed Backup has a snapshot, and it stays; with it the last look asks', () => {
  const plan = (snapshotApi: boolean, some: readonly Backup[]) => {
    const of = world(snapshotPolicy({}, { status: { accountedUntil: stamp(at('12:00')) } }), { backups: some })
    const view = viewOf({ ...of, ...(snapshotApi ? {} : { snapshotClasses: undefined }) })
    const deletions = only(actionsOf(planCleanUp(view, new Set(), now)), 'delete Backup')
    return deletions.map(({ name, provided }) => ({ name, provided })).toSorted((a, b) => (a.name < b.name ? -1 : 1))
  }
  const scheduledOnes = hours.map(hour => kept(hour, { phase: 'Failed' }).backup)
  const asks = (name: string) => ({ that: 'no-snapshot', name })
  assert.deepEqual(plan(true, scheduledOnes), [
    { name: 'nightly-data-1', provided: asks('nightly-data-1') },
    { name: 'nightly-data-2', provided: asks('nightly-data-2') },
  ])
  assert.deepEqual(plan(false, scheduledOnes), [])
  const onDemand = hours.map(hour => asked(hour, hour < 3 ? { phase: 'Skipped', reason: 'Overlapping' } : {}))
  assert.deepEqual(plan(true, onDemand)[0], { name: 'now-1', provided: asks('run-1') })
  assert.deepEqual(plan(false, onDemand), [])
  const ofCommand = hours.map(hour => asked(hour, { target: commandTarget }))
  const needless = { that: 'nobody-needs-it' }
  for (const api of [true, false])
    assert.deepEqual(plan(api, ofCommand), [
      { name: 'now-1', provided: needless },
      { name: 'now-2', provided: needless },
    ])
  const taken = hours.map(hour => asked(hour, { reason: 'NameTaken' }))
  assert.deepEqual(
    plan(true, taken)[0],
    { name: 'now-1', provided: needless },
    'a stranger has the name, and may keep it',
  )
})

test('F83: each stays for an hour, so that whoever waits for it sees its end', () => {
  const end = (time: string) => ({ completionTime: stamp(at(time)) })
  const burst = hours.map(hour => asked(hour, hour === 1 ? end('11:00') : end('11:01')))
  assert.deepEqual(gone(burst), ['now-1'])
})

test('F83: what runs, what is held, and the parent of others stay; so does what Argo CD, Flux or Helm would make anew', () => {
  const newer = hours.slice(1).map(hour => asked(hour))
  const tracked: readonly Partial<Backup['metadata']>[] = [
    { labels: { 'argocd.argoproj.io/instance': 'shop' } },
    { labels: { 'app.kubernetes.io/instance': 'shop' } },
    { labels: { 'kustomize.toolkit.fluxcd.io/name': 'apps' } },
    { labels: { 'helm.toolkit.fluxcd.io/name': 'shop' } },
    { labels: { 'app.kubernetes.io/managed-by': 'Helm' } },
    { annotations: { 'argocd.argoproj.io/tracking-id': 'shop:backup.dev/Backup:shop/now' } },
    { annotations: { 'meta.helm.sh/release-name': 'shop' } },
    { annotations: { [annotation.hold]: 'true' } },
    { deletionTimestamp: stamp(now) },
  ]
  for (const metadata of tracked)
    assert.deepEqual(
      gone([asked(1, {}, metadata), ...newer]),
      ['now-2'].slice(0, newer.length - 5),
      JSON.stringify(metadata),
    )
  assert.deepEqual(gone([asked(1, { phase: 'Running' }), ...newer.slice(1)]), [])
  const parent = asked(1)
  const child = backup('child', {
    metadata: {
      ownerReferences: [
        {
          apiVersion: 'backup.dev/v1alpha1',
          kind: 'Backup',
          name: 'now-1',
          uid: parent.metadata.uid ?? '',
          controller: true,
        },
      ],
    },
    status: completed('snapshot', at('01:00'), { target: 'data' }),
  })
  assert.deepEqual(gone([parent, child, ...newer.slice(1)]), [])
})

test('F83: a complete one goes with its data; where a tool tracks it, it says that they are gone, once', () => {
  const of = (metadata: Partial<Backup['metadata']>) =>
    asked(1, { ...completed('run', at('01:00')), target: 'data', snapshot: { name: 'run' } }, metadata)
  const plan = (backups: readonly Backup[]) =>
    actionsOf(
      planCleanUp(
        viewOf(world(snapshotPolicy({}, { status: { accountedUntil: stamp(at('12:00')) } }), { backups })),
        new Set(),
        now,
      ),
    )
  assert.equal(only(plan([of({})]), 'delete Backup').length, 1)
  const tracked = of({ labels: { 'argocd.argoproj.io/instance': 'shop' } })
  const [told] = only(plan([tracked]), 'status Backup')
  assert.equal(told?.status.phase, 'Deleting')
  assert.match(told?.status.message ?? '', /is gone; the Backup stays because a GitOps tool tracks it/)
  assert.deepEqual(plan([{ ...tracked, status: told?.status }]), [])
})
