// F71: the status of Backups cannot be written (a webhook, RBAC), and the Job of a hold has found no such backup.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { KubernetesObject } from '../../api/kubernetes.ts'
import { applyPlan } from '../../controllers/shared/apply.ts'
import { RefusalMemory } from '../../controllers/shared/refusals.ts'
import { planPolicy } from '../../plan/policy/policy.ts'
import type { Client } from '../../runtime/client/client.ts'
import { ApiError } from '../../runtime/client/errors.ts'
import type { Resource } from '../../runtime/client/resource.ts'
import { FakeClock } from '../../runtime/fake-clock.ts'
import { silentLog } from '../../runtime/log.ts'
import { applyContext } from '../../../test/histories/toy/apply-context.ts'
import { holdJobName } from '../../api/names.ts'
import { annotation } from '../../api/labels.ts'
import { storeLocation } from '../../resources/desired-state.ts'
import {
  at,
  completed,
  ended,
  job,
  jobFailed,
  pod,
  policy,
  saying,
  scheduled,
  stamp,
  world,
} from '../../../test/plan/world.ts'

test('F71: a hold that cannot be told, because the status of its Backup is refused, is not planned again at once', async () => {
  const of = policy({}, { status: { accountedUntil: stamp(at('02:00')), scheduleSince: stamp(at('00:00')) } })
  const { backend } = of.spec
  assert.ok(backend)
  const held = scheduled(at('02:00'), {
    status: completed('run-1', at('02:05'), { store: storeLocation(backend) }),
    metadata: { annotations: { [annotation.hold]: 'true' } },
  })
  const asking = job(holdJobName('nightly', 'run-1', true), 'hold', {
    metadata: { creationTimestamp: stamp(at('03:00')) },
    status: jobFailed(at('03:00'), at('03:01')),
  })
  const words = pod(asking, 1, {
    status: {
      phase: 'Failed',
      containerStatuses: [
        saying({ v: 1, phase: 'failed', reason: 'BackupNotFound', message: 'no manifest of run-1' } as never, 20),
        ended('dump', 0),
      ],
    },
  })
  let standing = of
  const client = {
    async replace(resource: Resource, object: KubernetesObject) {
      if (resource.kind === 'Backup')
        throw new ApiError({ request: 'PUT', status: 403, reason: 'Forbidden', message: 'not on my watch' })
      if (resource.kind === 'BackupPolicy') standing = object as typeof of
      return object
    },
    create: async (_: Resource, object: KubernetesObject) => object,
    delete: async () => true,
    list: async () => ({ items: [], resourceVersion: '1' }),
  } as unknown as Client
  const clock = new FakeClock(at('03:30'))
  const context = applyContext(client, clock)
  const memory = new RefusalMemory()
  const waits: number[] = []
  for (let pass = 0; pass < 5; pass++) {
    const seen = world(standing, { backups: [held], jobs: [asking], pods: [words] })
    const plan = planPolicy(seen, clock.now())
    const { wakeAt } = await applyPlan(context, seen, plan, memory, silentLog, new AbortController().signal)
    // As the controller does.
    waits.push(wakeAt ? Math.max(0, wakeAt.getTime() - clock.now().getTime()) : 300_000)
    await clock.advance(10)
  }
  assert.ok(
    waits.slice(1).every(wait => wait > 0),
    `ms until the next pass: ${waits.join(', ')}`,
  )
})
