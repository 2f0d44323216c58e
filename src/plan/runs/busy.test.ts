import assert from 'node:assert/strict'
import { test } from 'node:test'
import { at, backup, snapshotOf, snapshotPolicy, stamp } from '../../../test/plan/world.ts'
import type { SnapshotView } from '../view/view.ts'
import { busyWith } from './busy.ts'

const now = at('02:05')

test('S19: each snapshot is looked at once in a plan, however many Backups and claims wait', () => {
  let looks = 0
  const snapshots = Array.from({ length: 200 }, (_, index): SnapshotView => {
    const snapshot = snapshotOf(backup(`b${index}`), {
      claim: `claim-${index}`,
      metadata: { creationTimestamp: stamp(at('02:04')) },
    })
    return {
      get snapshot() {
        looks++
        return snapshot
      },
    } as SnapshotView
  })
  const of = snapshotPolicy()
  const busy = () => snapshots.map((_, index) => busyWith(snapshots, `claim-${index}`, of, now))
  assert.match(busy().at(-1) ?? '', /VolumeSnapshot b199-\w+, is not cut yet/)
  assert.equal(busyWith(snapshots, 'another', of, now), undefined)
  assert.equal(looks, snapshots.length)
  const later = at('02:30')
  assert.equal(busyWith(snapshots, 'claim-1', of, later), undefined, 'what is too late to be cut keeps nobody')
})
