import assert from 'node:assert/strict'
import { applyPlan, type ApplyContext } from '../../../src/controllers/shared/apply.ts'
import { RefusalMemory } from '../../../src/controllers/shared/refusals.ts'
import { planPolicy } from '../../../src/plan/policy/policy.ts'
import type { PolicyWorld } from '../../../src/plan/view/world.ts'
import { WaitError } from '../../../src/runtime/client/errors.ts'
import { silentLog } from '../../../src/runtime/log.ts'

/**
 * Plans once from what is seen, and carries out the groups with such names, without a conclusion. What the API server knows better is left to
 * the next pass, as the controller does.
 * @returns the names of the groups
 */
export async function passOf(
  context: ApplyContext,
  seen: PolicyWorld,
  now: Date,
  some: RegExp,
): Promise<readonly string[]> {
  const groups = planPolicy(seen, now).groups.filter(({ name }) => some.test(name))
  const plan = { groups, conclude: () => [], wakeAt: undefined }
  await applyPlan(context, seen, plan, new RefusalMemory(), silentLog, new AbortController().signal).catch(
    (error: unknown) => assert.ok(error instanceof WaitError, String(error)),
  )
  return groups.map(({ name }) => name)
}
