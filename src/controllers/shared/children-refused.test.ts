// An on-demand Backup over several claims, whose children the API server refuses with words that name each child (as quotas and RBAC do).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { KubernetesObject } from '../../api/kubernetes.ts'
import type { Backup } from '../../api/kinds/backup.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import { applyPlan } from '../../controllers/shared/apply.ts'
import { RefusalMemory } from '../../controllers/shared/refusals.ts'
import { planPolicy } from '../../plan/policy/policy.ts'
import type { Client } from '../../runtime/client/client.ts'
import { ApiError } from '../../runtime/client/errors.ts'
import type { Resource } from '../../runtime/client/resource.ts'
import { FakeClock } from '../../runtime/fake-clock.ts'
import { silentLog } from '../../runtime/log.ts'
import { applyContext } from '../../../test/histories/toy/apply-context.ts'
import { at, backup, claim, snapshotPolicy, stamp, world } from '../../../test/plan/world.ts'

test('F71: a Backup whose children are refused says so in the words of the first, and the next pass has nothing to write', async () => {
  const now = at('12:00:05')
  const clock = new FakeClock(now)
  let policyNow: BackupPolicy = snapshotPolicy()
  let parent: Backup = backup('all', { metadata: { creationTimestamp: stamp(at('12:00:00')) } })
  const writes: string[] = []
  const client = {
    async create(_: Resource, { kind, metadata: { name } }: KubernetesObject) {
      const message = `backups.backup.dev "${name}" is forbidden: exceeded quota: q, requested: count/backups.backup.dev=1, used: count/backups.backup.dev=9, limited: count/backups.backup.dev=9`
      throw new ApiError({ request: `POST ${kind}`, status: 403, reason: 'Forbidden', message })
    },
    async replace(resource: Resource, object: KubernetesObject) {
      const standing = resource.kind === 'Backup' ? parent : policyNow
      if (object.metadata.resourceVersion !== standing.metadata.resourceVersion)
        throw new ApiError({ request: 'PUT', status: 409, reason: 'Conflict', message: 'modified' })
      const resourceVersion = String(Number(standing.metadata.resourceVersion) + 1)
      const written = { ...object, metadata: { ...object.metadata, resourceVersion } }
      if (resource.kind === 'Backup') parent = written as Backup
      else policyNow = written as BackupPolicy
      writes.push(resource.kind)
      return written
    },
    list: async () => ({ items: [], resourceVersion: '1' }),
  } as unknown as Client
  const context = applyContext(client, clock)
  const memory = new RefusalMemory()
  const perPass: string[] = []
  for (let pass = 0; pass < 20; pass++) {
    const seen = world(policyNow, { claims: [claim('a'), claim('b')], backups: [parent] })
    writes.length = 0
    let outcome = 'done'
    try {
      await applyPlan(context, seen, planPolicy(seen, clock.now()), memory, silentLog, new AbortController().signal)
    } catch (error) {
      outcome = (error as Error).message
    }
    perPass.push(`${writes.join('+') || 'nothing'} (${outcome})`)
    // The write of the parent wakes the key at once.
    await clock.advance(50)
  }
  assert.deepEqual(
    perPass.slice(10).filter(each => !each.startsWith('nothing')),
    [],
    `in one second: ${perPass.join('; ')}`,
  )
})
