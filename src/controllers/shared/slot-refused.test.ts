// The Backup of a due slot cannot be created: what people ask for of the same claim goes on.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { KubernetesObject } from '../../api/kubernetes.ts'
import type { Backup } from '../../api/kinds/backup.ts'
import { applyPlan } from './apply.ts'
import { RefusalMemory } from './refusals.ts'
import { planPolicy } from '../../plan/policy/policy.ts'
import type { Client } from '../../runtime/client/client.ts'
import { ApiError } from '../../runtime/client/errors.ts'
import type { Resource } from '../../runtime/client/resource.ts'
import { FakeClock } from '../../runtime/fake-clock.ts'
import { silentLog } from '../../runtime/log.ts'
import { annotation } from '../../api/labels.ts'
import { applyContext } from '../../../test/histories/toy/apply-context.ts'
import { at, backup, claim, snapshotPolicy, stamp, world } from '../../../test/plan/world.ts'

const now = at('02:00:05')
const asked = (name: string, created: string) =>
  backup(name, { spec: { target: 'data' }, metadata: { creationTimestamp: stamp(at(created)) } })
/** In the order of names, which is not that of age. */
const waiting = [asked('older-no-more', '01:59'), asked('the-first', '01:58')]

/** One pass in which these kinds cannot be created, or a stranger has their names. */
async function pass({ refused = [], taken = [] }: { refused?: readonly string[]; taken?: readonly string[] }) {
  const snapshots: (string | undefined)[] = []
  const statuses = new Map<string, string>()
  const error = (status: number, reason: string) =>
    new ApiError({ request: 'POST', status, reason, message: 'exceeded quota: q' })
  const client = {
    async create({ kind }: Resource, object: KubernetesObject) {
      if (refused.includes(kind)) throw error(403, 'Forbidden')
      if (taken.includes(kind)) throw error(409, 'AlreadyExists')
      if (kind === 'VolumeSnapshot') snapshots.push(object.metadata.annotations?.[annotation.backup])
      return { ...object, metadata: { ...object.metadata, uid: object.metadata.name, resourceVersion: '2' } }
    },
    get: async () => backup('a stranger'),
    async replace({ kind }: Resource, object: KubernetesObject) {
      if (kind === 'Backup') statuses.set(object.metadata.name, (object as Backup).status?.message ?? '')
      return object
    },
    list: async () => ({ items: [], resourceVersion: '1' }),
  } as unknown as Client
  const clock = new FakeClock(now)
  const of = snapshotPolicy(
    { schedule: '0 * * * *' },
    { status: { accountedUntil: stamp(at('01:00')), scheduleSince: stamp(at('00:00')) } },
  )
  const seen = world(of, { claims: [claim('data')], backups: waiting })
  const { signal } = new AbortController()
  await applyPlan(applyContext(client, clock), seen, planPolicy(seen, now), new RefusalMemory(), silentLog, signal)
  return { snapshots, statuses }
}

test('F71: where the Backup of a slot is refused, or its name taken, the first Backup that a person asked for of that claim starts', async () => {
  for (const trouble of [{ refused: ['Backup'] }, { taken: ['Backup'] }]) {
    const { snapshots, statuses } = await pass(trouble)
    assert.deepEqual([snapshots, [...statuses]], [['the-first'], []])
  }
})

test('F71: where its start is refused as well the next one says for whom it waits', async () => {
  const { snapshots, statuses } = await pass({ refused: ['Backup', 'VolumeSnapshot'] })
  assert.deepEqual([snapshots, [...statuses.keys()].toSorted()], [[], ['older-no-more', 'the-first']])
  assert.match(statuses.get('older-no-more') ?? '', /^Backup the-first of the same target has its turn first/)
  assert.match(statuses.get('the-first') ?? '', /exceeded quota/)
})

test('the run of a slot comes first where its Backup is made, and those who wait for it say so where it cannot start', async () => {
  const { snapshots, statuses } = await pass({})
  assert.deepEqual([snapshots.length, snapshots.filter(name => name?.startsWith('nightly-')).length], [1, 1])
  assert.deepEqual([...statuses], [])
  const refused = await pass({ refused: ['VolumeSnapshot'] })
  for (const { metadata } of waiting)
    assert.match(refused.statuses.get(metadata.name) ?? '', /^Backup nightly-\S+ of the same target has its turn first/)
})
