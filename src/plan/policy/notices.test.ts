import assert from 'node:assert/strict'
import { test } from 'node:test'
import { only, planPolicy } from '../../../test/plan/planned.ts'
import { at, claim, policy, snapshotPolicy, world } from '../../../test/plan/world.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { PolicyWorld } from '../view/world.ts'

const now = at('12:00')

/** Plans the policy in each of these worlds, one after the other, and gives what the last plan tells people. */
function told(of: BackupPolicy, ...worlds: readonly Partial<PolicyWorld>[]) {
  let current = of
  let events: readonly string[] = []
  for (const more of worlds) {
    const { actions } = planPolicy(world(current, more), now)
    const status = only(actions, 'status BackupPolicy')[0]?.status
    if (status) current = { ...current, status }
    events = actions.flatMap(action =>
      action.do === 'event' ? [`${action.type} ${action.reason}: ${action.message}`] : [],
    )
  }
  return events
}

const selected = (events: readonly string[]) => events.filter(each => /Selected|SelectorMatchedNothing/.test(each))

test('F91: a policy whose schedule never fires says so with an event when it is seen first', () => {
  const never = told(policy({ schedule: '0 2 31 2/12 *' }), {})
  assert.ok(
    never.some(each => each.startsWith('Warning ScheduleNeverFires: ')),
    never.join('\n'),
  )
})

test('F91: each change of readiness is an event, and what stays is none', () => {
  const refusal = { kind: 'Job', name: 'x', words: 'no' } as const
  const refused = { dryRun: { is: 'refused', refusal, againAt: at('12:01') } } as const
  assert.ok(told(policy(), {}, refused)[0]?.startsWith('Warning RunRefused: '))
  assert.deepEqual(told(policy(), {}, refused, refused), [])
  assert.ok(told(policy(), {}, refused, {})[0]?.startsWith('Normal Probing: '))
})

test('F91: a selector that matches nothing is a warning, at once and when it comes to that', () => {
  const [first] = selected(told(policy(), { selectedPods: 0 }))
  assert.match(first ?? '', /^Warning SelectorMatchedNothing: the selector matches no pod/)
  assert.match(selected(told(policy(), { selectedPods: 2 }))[0] ?? '', /^Normal Selected: the selector matches 2 pods/)
  assert.equal(selected(told(policy(), { selectedPods: 2 }, { selectedPods: 0 })).length, 1)
  assert.deepEqual(selected(told(policy(), { selectedPods: 0 }, { selectedPods: 0 })), [])
  assert.deepEqual(selected(told(policy(), { selectedPods: 2 }, { selectedPods: undefined })), [])
})

test('F91: how many pods run is no news, and which claims are selected is', () => {
  assert.deepEqual(selected(told(policy(), { selectedPods: 2 }, { selectedPods: 3 })), [])
  const [a, b, c] = [claim('a'), claim('b'), claim('c')]
  const [changed] = selected(told(snapshotPolicy(), { claims: [a, b] }, { claims: [b, c] }))
  assert.match(changed ?? '', /^Normal Selected: .*: it selects c since now, and no longer a, whose backups stay$/)
  assert.deepEqual(selected(told(snapshotPolicy(), { claims: [a, b] }, { claims: [a, b] })), [])
})

test('F91: without the snapshot CRDs nobody is told that claims are no longer selected, nor of each of very many', () => {
  const claims = Array.from({ length: 20 }, (_, index) => claim(`data-${index}`))
  assert.deepEqual(selected(told(snapshotPolicy(), { claims }, { claims, snapshotClasses: undefined })), [])
  const [many] = selected(told(snapshotPolicy(), { claims: [claim('a')] }, { claims: [claim('a'), ...claims] }))
  assert.match(many ?? '', /and 15 more since now$/)
})
