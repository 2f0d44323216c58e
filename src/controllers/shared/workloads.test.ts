import assert from 'node:assert/strict'
import { test } from 'node:test'
import { all, found, presetPolicy, unresolved } from '../../../test/plan/preset-world.ts'
import { at, policy } from '../../../test/plan/world.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { KubernetesObject } from '../../api/kubernetes.ts'
import type { Target } from '../../presets/preset.ts'
import type { PresetWorld } from '../../presets/workloads.ts'
import type { Client } from '../../runtime/client/client.ts'
import { ApiError } from '../../runtime/client/errors.ts'
import type { ListOptions } from '../../runtime/client/requests.ts'
import type { Resource } from '../../runtime/client/resource.ts'
import { FakeClock } from '../../runtime/fake-clock.ts'
import { WorkloadLooks } from './workloads.ts'

const signal = new AbortController().signal
const minuteMs = 60_000

function object(kind: string, name: string, owner?: string): KubernetesObject {
  const managedFields = [{ manager: 'kubectl', fieldsV1: {} }]
  const ownerReferences = owner ? [{ apiVersion: 'apps/v1', kind: owner, name: `${name}-owner`, uid: 'u' }] : []
  const env = [{ name: 'POSTGRES_PASSWORD', value: 'canary' }]
  const spec = kind === 'Pod' ? { containers: [{ name: 'db', image: 'postgres:17', env }] } : {}
  const metadata = { name, namespace: 'shop', ownerReferences, managedFields } as never
  return { apiVersion: 'v1', kind, metadata, spec } as KubernetesObject
}

/** Looks at an API server that has these pods; what is found is what `targets` says. */
function looking(pods: readonly KubernetesObject[], targets: () => readonly Target[]) {
  const clock = new FakeClock(at('12:00'))
  const asked: string[] = []
  const seen: PresetWorld[] = []
  let refusal: ApiError | undefined
  const client = {
    async list({ plural }: Resource, { pick = item => item }: ListOptions<KubernetesObject>) {
      if (refusal) throw refusal
      asked.push(plural)
      const items = plural === 'pods' ? pods : [object(plural, `one of ${plural}`)]
      return { items: items.map(pick), resourceVersion: '' }
    },
  } as unknown as Client
  const looks = new WorkloadLooks(client, clock, (_, workloads) => {
    seen.push(workloads)
    return all(targets())
  })
  /** How many lists were asked for, and the names of what is known after that. */
  async function look(of: BackupPolicy = presetPolicy(), isWanted = false) {
    asked.length = 0
    await looks.look(of, isWanted, signal)
    return [asked.length, looks.found(of)?.targets.map(({ name }) => name)] as const
  }
  const refuse = (status?: number) => {
    refusal = status === undefined ? undefined : new ApiError({ request: 'list', status, reason: '', message: 'no' })
  }
  return { clock, asked, seen, look, looks, refuse }
}

const ofStatefulSet = [object('Pod', 'db-0', 'StatefulSet')]

test('a policy that states its command is not looked at', async () => {
  const { look, looks } = looking(ofStatefulSet, () => [found('db')])
  assert.deepEqual(await look(policy()), [0, undefined])
  assert.equal(looks.found(presetPolicy()), undefined)
})

test('pods are asked for by the selector, and what they may be of by the namespace', async () => {
  const { asked, look } = looking(ofStatefulSet, () => [])
  await look()
  assert.deepEqual(asked, ['pods', 'statefulsets', 'deployments', 'services'])
})

test('the finder is given what decides, and neither who has written which field nor a password', async () => {
  const { seen, look, looks } = looking(ofStatefulSet, () => [found('db')])
  await look()
  const [workloads] = seen
  assert.deepEqual([workloads?.pods.length, workloads?.statefulSets.length, workloads?.services.length], [1, 1, 1])
  assert.ok(!/managedFields|canary/.test(JSON.stringify(workloads)))
  assert.equal(looks.found(presetPolicy())?.pods, 1)
})

test('what was found is good for five minutes, and for one where something is to be mended or nothing was found', async () => {
  for (const [targets, minutes] of [
    [[found('db')], 5],
    [[found('db'), unresolved('cache')], 1],
    [[], 1],
  ] as const) {
    const { clock, look } = looking(ofStatefulSet, () => targets)
    const names = targets.map(({ name }) => name)
    assert.deepEqual(await look(), [4, names])
    await clock.advance(minutes * minuteMs - 1)
    assert.deepEqual(await look(), [0, names])
    await clock.advance(1)
    assert.deepEqual(await look(), [4, names])
  }
})

test('for a Backup that somebody asks for it is looked again, though not for each of many at once', async () => {
  const { clock, look } = looking(ofStatefulSet, () => [found('db')])
  await look()
  await clock.advance(9_999)
  assert.deepEqual(await look(presetPolicy(), true), [0, ['db']])
  await clock.advance(1)
  assert.deepEqual(await look(presetPolicy(), true), [4, ['db']])
  assert.deepEqual(await look(presetPolicy(), true), [0, ['db']])
})

test('what was found of an earlier spec is not known of a later one', async () => {
  const { look, looks } = looking(ofStatefulSet, () => [found('db')])
  await look()
  const edited = { ...presetPolicy(), metadata: { ...presetPolicy().metadata, generation: 2 } }
  assert.equal(looks.found(edited), undefined)
  assert.deepEqual(await look(edited), [4, ['db']])
})

test('while it is refused what was found stands for a quarter of an hour, and then nobody can say', async () => {
  const { clock, look, looks, refuse } = looking(ofStatefulSet, () => [found('db')])
  await look()
  refuse(403)
  await clock.advance(5 * minuteMs)
  assert.deepEqual(await look(), [0, ['db']])
  for (let minute = 6; minute < 15; minute++) {
    await clock.advance(minuteMs)
    assert.deepEqual((await look())[1], ['db'], `${minute} minutes later`)
  }
  await clock.advance(minuteMs)
  assert.deepEqual((await look())[1], undefined)
  refuse()
  assert.deepEqual(await look(), [0, undefined], 'it is not asked at once again')
  assert.deepEqual(looks.againAt(presetPolicy()), new Date(clock.now().getTime() + 30_000))
  await clock.advance(30_000)
  assert.deepEqual(await look(), [4, ['db']])
  assert.equal(looks.againAt(presetPolicy()), undefined)
})

test('where it is refused from the beginning nobody can say, and no pass fails for it', async () => {
  const { clock, look, refuse } = looking(ofStatefulSet, () => [found('db')])
  refuse(403)
  assert.deepEqual(await look(), [0, undefined])
  refuse()
  await clock.advance(30_000)
  assert.deepEqual((await look())[1], ['db'])
})

test('a policy that has no preset any more is not looked at again for what it had', async () => {
  const { look, looks } = looking(ofStatefulSet, () => [])
  await look()
  assert.ok(looks.againAt(presetPolicy()))
  const stated = policy({}, { metadata: { generation: 2 } })
  await look(stated)
  assert.equal(looks.againAt(stated), undefined)
})

test('a policy that is gone is forgotten', async () => {
  const { look, looks } = looking(ofStatefulSet, () => [found('db')])
  await look()
  looks.forget('shop/nightly')
  assert.equal(looks.found(presetPolicy()), undefined)
})
