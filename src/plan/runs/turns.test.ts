import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Backup } from '../../api/kinds/backup.ts'
import type { Refusal } from '../core/actions.ts'
import { refusedStatus } from './status.ts'
import { planPolicy } from '../../../test/plan/planned.ts'
import { at, backup, claim, policy, snapshotPolicy, stamp, world } from '../../../test/plan/world.ts'

const now = at('12:00')
const asked = (name: string, created: string, target?: string): Backup =>
  backup(name, {
    metadata: { creationTimestamp: stamp(at(created)) },
    ...(target === undefined ? {} : { spec: { target } }),
  })
const dead = { action: 'create', name: 'x', words: 'failed calling webhook', passing: true } as const

/** The status that each of these Backups gets where the start of the first one is refused, or not. */
function told(backups: readonly Backup[], strategy: 'job' | 'snapshot', refused: boolean) {
  const seen =
    strategy === 'job'
      ? world(policy(), { backups })
      : world(snapshotPolicy(), { backups, claims: [claim('data'), claim('logs')] })
  const { groups } = planPolicy(seen, now)
  const met = groups.filter(({ needs = [] }) => needs.every(({ was }) => (was === 'refused') === refused))
  const statuses = met.flatMap(({ actions }) =>
    actions.flatMap(action =>
      action.do === 'write-status' && action.object.kind === 'Backup' ? [action.object as Backup] : [],
    ),
  )
  return statuses.map(
    ({ metadata, status }) => [metadata.name, status?.phase, status?.reason, status?.message] as const,
  )
}

for (const [strategy, target] of [
  ['job', undefined],
  ['snapshot', 'data'],
] as const)
  test(`R30: where the start of the first of two is refused the second is Pending and says for whom it waits: ${strategy}`, () => {
    const backups = [asked('second', '11:59', target), asked('first', '11:58', target)]
    const [[name, phase, reason, message] = [], ...others] = told(backups, strategy, true)
    assert.deepEqual([name, phase, reason, others], ['second', 'Pending', 'Overlapping', []])
    assert.match(message ?? '', /^Backup first of the same target has its turn first/)
    assert.deepEqual(told(backups, strategy, false), [], 'nothing is written where the first one starts')
  })

test('R30: it is written once, and the Backup of another target waits for nobody', () => {
  const refusal: Refusal = { ...dead, kind: 'VolumeSnapshot' }
  const first = asked('first', '11:58', 'data')
  const waits = { ...first, status: refusedStatus(first, refusal, now, now) }
  const second = asked('second', '11:59', 'data')
  const other = asked('other', '11:59', 'logs')
  const { groups } = planPolicy(
    world(snapshotPolicy(), { backups: [waits, second, other], claims: [claim('data'), claim('logs')] }),
    now,
  )
  assert.deepEqual(
    groups.filter(({ run }) => run).map(({ name }) => name),
    ['start/first', 'start/other'],
  )
  const [status] = groups.flatMap(({ name, actions }) =>
    name === 'run/second'
      ? actions.flatMap(action => (action.do === 'write-status' ? [action.object.status] : []))
      : [],
  )
  assert.ok(status)
  const again = { ...second, status } as Backup
  assert.deepEqual(told([waits, again, other], 'snapshot', true), [])
})
