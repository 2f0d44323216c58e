// Admission chooses the status of a denial: a webhook any of them, a ValidatingAdmissionPolicy also 401.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { KubernetesObject } from '../../api/kubernetes.ts'
import { alone, deletion, type Refusal } from '../../plan/core/actions.ts'
import { backup, job, policy, world } from '../../../test/plan/world.ts'
import { applyContext } from '../../../test/histories/toy/apply-context.ts'
import type { Client } from '../../runtime/client/client.ts'
import { ApiError } from '../../runtime/client/errors.ts'
import type { Resource } from '../../runtime/client/resource.ts'
import { FakeClock } from '../../runtime/fake-clock.ts'
import { silentLog } from '../../runtime/log.ts'
import { applyPlan } from './apply.ts'
import { RefusalMemory } from './refusals.ts'

const ofWebhook = 'admission webhook "jobs.example.com" denied the request: not on Sundays'
const ofPolicy = `jobs.batch "x" is forbidden: ValidatingAdmissionPolicy 'sundays' with binding 'all' denied request: not on Sundays`

/** One pass in which every write of a Job gets this answer, and the status of the policy is written. */
async function pass(answer: ApiError, does: 'create' | 'delete' | 'label') {
  const calls: string[] = []
  const refuse = async ({ kind }: Resource) => {
    calls.push(`${does} ${kind}`)
    throw answer
  }
  const client = {
    create: refuse,
    delete: refuse,
    patch: refuse,
    get: async () => undefined,
    replace: async ({ kind }: Resource, object: KubernetesObject) => (calls.push(`status ${kind}`), object),
  } as unknown as Client
  const context = applyContext(client, new FakeClock())
  const of = job('x', 'probe')
  const action = {
    create: { do: 'create', object: of },
    delete: deletion(of, 'a test'),
    label: { do: 'label', kind: 'Job', name: 'x', uid: 'u', labels: {} },
  } as const
  let refused: readonly Refusal[] = []
  const plan = {
    groups: [alone('it', action[does])],
    conclude: (some: ReadonlyMap<string, Refusal>) => {
      refused = [...some.values()]
      return [{ do: 'write-status', object: policy() } as const]
    },
    wakeAt: undefined,
  }
  const seen = world(policy(), { backups: [backup('now')] })
  await applyPlan(context, seen, plan, new RefusalMemory(), silentLog, new AbortController().signal)
  return { calls, words: refused.map(each => each.words) }
}

for (const [what, does, status, reason, message] of [
  ['a webhook with 401', 'create', 401, 'Unauthorized', ofWebhook],
  ['a ValidatingAdmissionPolicy with 401', 'create', 401, 'Unauthorized', ofPolicy],
  ['a webhook with 409', 'create', 409, 'Conflict', ofWebhook],
  ['a webhook that says that it exists', 'create', 409, 'AlreadyExists', ofWebhook],
  ['a webhook with 404 at a deletion', 'delete', 404, 'NotFound', ofWebhook],
  ['a webhook with 404 at a label', 'label', 404, 'NotFound', ofWebhook],
] as const)
  test(`F71: what is denied by ${what} stops nothing else, and is told`, async () => {
    const { calls, words } = await pass(new ApiError({ request: 'POST', status, reason, message }), does)
    assert.deepEqual(calls, [`${does} Job`, 'status BackupPolicy'])
    assert.deepEqual(words, [message])
  })

for (const [what, status, reason, message] of [
  ['an account that is not known', 401, 'Unauthorized', 'Unauthorized'],
  ['a view of the world that is old', 409, 'Conflict', 'Operation cannot be fulfilled on jobs.batch "x"'],
] as const)
  test(`F71: ${what} stops the pass`, async () => {
    const answer = new ApiError({ request: 'POST', status, reason, message })
    await assert.rejects(pass(answer, 'create'), answer)
  })
