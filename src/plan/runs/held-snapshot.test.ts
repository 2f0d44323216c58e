// A held snapshot and a deleted policy.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { annotation, label } from '../../api/labels.ts'
import { only, planPolicy } from '../../../test/plan/planned.ts'
import { at, backup, scheduled, snapshotOf, stamp, world } from '../../../test/plan/world.ts'

const now = at('12:00')
const slot = at('02:00')
/** Cut at 02:00:05, its copy still goes on: the data are of a fixed moment. */
const cut = { readyToUse: false, creationTime: stamp(at('02:00:05')), boundVolumeSnapshotContentName: 'content' }

for (const kind of ['scheduled', 'on-demand'] as const) {
  test('F63: a held snapshot that is not ready yet stays when its policy goes', () => {
    const status = { phase: 'Running', reason: 'SnapshotPending', message: '', target: 'data' } as const
    const metadata = { annotations: { [annotation.hold]: 'true' } }
    const of =
      kind === 'scheduled'
        ? scheduled(slot, { name: 'nightly-data-1', target: 'data', metadata, status })
        : backup('before-migration', { spec: { target: 'data' }, metadata, status })
    const made = snapshotOf(of, { status: cut })
    const snapshot = {
      ...made,
      metadata: { ...made.metadata, labels: { ...made.metadata.labels, [label.hold]: 'true' } },
    }
    const { actions } = planPolicy(world(undefined, { backups: [of], snapshots: [snapshot] }), now)
    const unguarded = only(actions, 'delete VolumeSnapshot').filter(each => each.provided === undefined)
    assert.deepEqual(unguarded, [], 'the VolumeSnapshot is labelled as held, its Backup annotated')
  })
}
