// The strategy of a policy is changed from snapshot to job while snapshots go on.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Backup } from '../../api/kinds/backup.ts'
import { childBackup } from '../../resources/backup-objects.ts'
import { only, planPolicy } from '../../../test/plan/planned.ts'
import { at, backup, policy, ready, snapshotOf, stamp, world } from '../../../test/plan/world.ts'

const book = { accountedUntil: stamp(at('02:00')), scheduleSince: stamp(at('00:00')) }

test('a Backup over two claims whose policy gets the strategy job starts no Job beside its snapshots', () => {
  const parent = backup('all', {
    metadata: { creationTimestamp: stamp(at('11:50')) },
    status: { phase: 'Running', reason: 'Children', message: '0 of 2 targets are done' },
  })
  const children = ['a', 'b'].map((target): Backup => {
    const child = childBackup(parent, target)
    const { name } = child.metadata
    const status = { phase: 'Running', reason: 'SnapshotPending', target } as const
    return {
      ...child,
      metadata: { ...child.metadata, uid: `uid-${name}`, creationTimestamp: stamp(at('11:50')) },
      status,
    }
  })
  const snapshots = children.map(each => snapshotOf(each, { status: ready }))
  const of = policy({}, { metadata: { generation: 2 }, status: book })
  const { actions } = planPolicy(world(of, { backups: [parent, ...children], snapshots }), at('11:55'))
  const started = only(actions, 'create run Job').map(({ object }) => object.metadata.ownerReferences?.[0]?.name)
  assert.deepEqual(started, [], 'a Job is started for a Backup that has its runs')
})
