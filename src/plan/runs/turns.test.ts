import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Backup } from '../../api/kinds/backup.ts'
import type { Refusal } from '../core/actions.ts'
import { planRefused } from './status.ts'
import { actionsOf, only, planPolicy } from '../../../test/plan/planned.ts'
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
  const [refused] = only(actionsOf(planRefused(first, undefined, refusal, now, now).groups), 'status Backup')
  const waits = { ...first, status: refused?.status ?? assert.fail() }
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

for (const [strategy, target] of [
  ['job', undefined],
  ['snapshot', 'data'],
] as const) {
  const backups = [asked('second', '11:50', target), asked('first', '11:40', target)]
  const seen = (spec: object) =>
    strategy === 'job'
      ? world(policy(spec), { backups })
      : world(snapshotPolicy(spec), { backups, claims: [claim('data')] })

  test(`F81: the second wakes at its deadline, and is skipped then where the start of the first is still refused: ${strategy}`, () => {
    const spec = { startingDeadlineSeconds: 900 }
    const due = at('12:05')
    assert.equal(planPolicy(seen(spec), now).wakeAt?.getTime(), due.getTime())
    const { groups } = planPolicy(seen(spec), due)
    const told = groups.find(({ name }) => name === 'run/second')
    assert.deepEqual(told?.needs, [{ group: 'start/first', was: 'refused' }])
    const [action] = told?.actions ?? []
    assert.ok(action?.do === 'write-status')
    const { phase, reason, message } = (action.object as Backup).status ?? {}
    assert.deepEqual([phase, reason], ['Skipped', 'Overlapping'])
    assert.match(message ?? '', /^Backup first of the same target has its turn first.*; create a new Backup later$/)
    assert.equal(action.unless?.kind, strategy, 'it may have had its turn before')
  })

  test(`F81: with whenBusy Skip it is skipped at once: ${strategy}`, () => {
    const { groups } = planPolicy(seen({ whenBusy: 'Skip' }), now)
    const statuses = groups.flatMap(({ name, actions }) =>
      actions.flatMap(action =>
        name === 'run/second' && action.do === 'write-status' ? [(action.object as Backup).status?.phase] : [],
      ),
    )
    assert.deepEqual(statuses, ['Skipped'])
  })
}
