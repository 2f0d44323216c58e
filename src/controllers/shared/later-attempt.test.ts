// A run is tried several times: the newest attempt that the caches know may not be its last.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { applyContext } from '../../../test/histories/toy/apply-context.ts'
import { ToyApiServer, toyClient } from '../../../test/histories/toy/api-server.ts'
import { toyCaches } from '../../../test/histories/toy/caches.ts'
import { passOf } from '../../../test/histories/toy/pass.ts'
import {
  at,
  complete,
  jobFailed,
  jobOfSlot,
  pod,
  policy,
  saying,
  scheduled,
  stamp,
  world,
} from '../../../test/plan/world.ts'
import type { Job } from '../../api/kubernetes.ts'
import type { MoverMessage } from '../../api/mover/message.ts'
import { FakeClock } from '../../runtime/fake-clock.ts'

const slot = at('02:00')
const now = at('02:06')
const committed: MoverMessage = {
  phase: 'committed',
  manifest: 'shop/nightly/manifests/command/x.json',
  bytes: 10,
  storedBytes: 5,
  suspect: true,
  finishedAt: at('02:05').getTime(),
}

/** Its first attempt failed, as the watch has told; of the second, which has committed, no watch has told. */
async function verdictOn(status: Job['status']) {
  const server = new ToyApiServer(now)
  const going = { phase: 'Running', reason: 'Running', target: 'command' } as const
  const { metadata } = server.create('backups', scheduled(slot))
  server.update('backups', metadata.name, each => ({ ...each, status: going }))
  const of = jobOfSlot(slot)
  server.create('jobs', of)
  const job = server.update('jobs', of.metadata.name, each => ({ ...each, status })) ?? assert.fail()
  const attempts = [
    pod(job, 1, {
      status: { phase: 'Failed', containerStatuses: [saying({ phase: 'failed', reason: 'StoreUnavailable' }, 20)] },
    }),
    pod(job, 2, {
      metadata: { creationTimestamp: stamp(at('02:03')) },
      status: { phase: 'Succeeded', containerStatuses: [saying(committed)] },
    }),
  ]
  const [first = assert.fail()] = attempts.map(each => {
    const { name } = server.create('pods', each).metadata
    return server.update('pods', name, made => ({ ...made, status: each.status ?? {} })) ?? assert.fail()
  })
  const client = toyClient(server)
  const caches = toyCaches(client)
  caches.pods.offer(first)
  const context = applyContext(client, new FakeClock(now), { caches })
  for (let pass = 0; pass < 3; pass++) {
    const seen = world(policy(), { backups: server.all('backups'), jobs: [job], pods: caches.pods.list() })
    await passOf(context, seen, now, /^run\//)
  }
  return server.get('backups', metadata.name)?.status
}

for (const [what, status] of [
  ['complete', complete(slot, at('02:05'))],
  ['ended by its deadline', jobFailed(slot, at('02:05'), { reason: 'DeadlineExceeded' })],
] as const)
  test(`F31: before the verdict on a run whose Job is ${what} it is asked for later attempts than the one that the caches know`, async () => {
    const { phase, manifest, suspect } = (await verdictOn(status)) ?? {}
    assert.deepEqual([phase, manifest, suspect], ['Completed', committed.manifest, true])
  })
