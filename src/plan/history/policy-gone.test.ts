import assert from 'node:assert/strict'
import { test } from 'node:test'
import { only, planPolicy } from '../../../test/plan/planned.ts'
import { at, backup, completed, failed, policy, world } from '../../../test/plan/world.ts'
import type { Backup } from '../../api/kinds/backup.ts'

const now = at('12:00')
const done = backup('done', { status: completed('run-1', at('02:10'), { manifest: 'shop/nightly/manifests/x.json' }) })
const snapshot = backup('snapshot', { status: completed('snapshot', at('02:10')) })
const broken = backup('broken', { status: failed('run-2', at('02:10')) })

function written(of: Parameters<typeof world>[0], ...backups: readonly Backup[]) {
  return only(planPolicy(world(of, { backups }), now).actions, 'status Backup').map(({ backup: to, status }) => ({
    name: to.metadata.name,
    phase: status.phase,
    gone: status.conditions?.find(({ type }) => type === 'PolicyGone')?.message,
    status,
  }))
}

test('F93: the backups of a policy that is gone say so, what nobody does any more, and where their data stay', () => {
  const [first, second, ...rest] = written(undefined, done, snapshot, broken)
  assert.deepEqual(rest, [], 'what failed has nothing to prune')
  assert.deepEqual([first?.name, first?.phase, second?.name], ['done', 'Completed', 'snapshot'])
  assert.match(
    first?.gone ?? '',
    /^BackupPolicy nightly is gone: nobody prunes this backup any more, and object shop\/nightly\/manifests\/x\.json/,
  )
  assert.match(second?.gone ?? '', /its VolumeSnapshot stays/)
})

test('F93: it is said once, and no more when a policy of that name is there again', () => {
  const [first] = written(undefined, done)
  const marked = { ...done, status: first?.status } as Backup
  assert.deepEqual(written(undefined, marked), [])
  const last = written(policy(), marked).at(-1)
  assert.equal(last?.gone, undefined)
  assert.deepEqual(last?.status.conditions, [])
  assert.ok(written(policy({}, { metadata: { deletionTimestamp: '2026-01-05T12:00:00Z' } }), done)[0]?.gone)
})
