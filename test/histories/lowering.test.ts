// A number of backups to keep that somebody lowers by mistake, told on the toy cluster: real caches, observer, plans and writes (F64).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { VolumeSnapshot } from '../../src/api/kubernetes.ts'
import { label } from '../../src/api/labels.ts'
import { slowDeletesPerHour } from '../../src/plan/history/lowering.ts'
import { targets, type Spec, type Step } from './toy/stories.ts'
import { name, Telling } from './toy/telling.ts'

const spec: Spec = {
  strategy: 'snapshot',
  schedule: '*/5 * * * *',
  timeZone: 'Etc/UTC',
  retention: 30,
  startingDeadlineSeconds: 600,
}
const lowered: Step = { do: 'edit', spec: { retention: 2 } }
const wait = (seconds: number): Step => ({ do: 'wait', seconds })

/** A policy that has kept thirty snapshots of each of two claims for a while. */
async function longKept() {
  const telling = new Telling({ spec, fates: { jobs: ['commits'], snapshots: ['ready at once'] }, steps: [] })
  await telling.tell([wait(3 * 3600 + 100)])
  const names = (claim: string) =>
    telling.server
      .all('volumesnapshots')
      .filter(
        ({ metadata, spec: { source } }) => !metadata.deletionTimestamp && source.persistentVolumeClaimName === claim,
      )
      .map(({ metadata }) => metadata.name)
  for (const target of targets) assert.equal(names(target).length, 30)
  const pending = () =>
    telling.server.get('backuppolicies', name)?.status?.conditions?.find(({ type }) => type === 'RetentionPending')
  return { telling, names, pending }
}

test('F64: retention that is lowered from 30 to 2 by mistake and set back within the hour deletes nothing, whatever happens meanwhile', () =>
  fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 3500 }),
      fc.integer({ min: 1, max: 30 }),
      fc.array(
        fc.constantFrom<Step>(
          { do: 'operator', up: false },
          { do: 'operator', up: true },
          { do: 'lag', passes: 1 },
          { do: 'edit', spec: { schedule: '2 */6 * * *' } },
          { do: 'edit', spec: { retention: 1 } },
        ),
        { maxLength: 3 },
      ),
      async (seconds, back, meanwhile) => {
        const { telling, names, pending } = await longKept()
        const before = names('data')
        await telling.tell([lowered])
        assert.match(pending()?.message ?? '', /2 scheduled .* and 30 were: until .* 56 go/)
        await telling.tell([...meanwhile, wait(seconds), { do: 'operator', up: true }])
        // A run that came meanwhile has replaced the oldest, as it would have done without the mistake.
        const lost = before.filter(each => !names('data').includes(each))
        assert.ok(names('data').length >= 30 && lost.length <= Math.ceil(seconds / 300), `${lost.length} are gone`)
        await telling.tell([{ do: 'edit', spec: { retention: 30 + back } }, wait(1)])
        assert.equal(pending(), undefined)
        assert.ok(names('data').length >= 30)
      },
    ),
    { numRuns: 5, seed: 20261128 },
  ))

test('F64: of what only the number before had kept at most 20 go an hour and target, also where the operator was away meanwhile', async () => {
  const { telling, names, pending } = await longKept()
  // Nothing comes, so that all that goes goes for the lower number.
  await telling.tell([{ do: 'edit', spec: { schedule: '0 0 1 1 *' } }, lowered])
  const at = telling.server.now
  const left: number[] = []
  for (let minutes = 10; minutes <= 240; minutes += 10) {
    // Away from minute 90 to minute 170: the share of the hour in between is not taken afterwards.
    if (minutes === 90) await telling.tell([{ do: 'operator', up: false }])
    if (minutes === 170) await telling.tell([{ do: 'operator', up: true }])
    await telling.tell([wait(600)])
    left.push(names('logs').length)
    if (minutes < 60) assert.deepEqual([left.at(-1), pending()?.reason], [30, 'RetentionLowered'], `${minutes} minutes`)
  }
  assert.equal(telling.server.now.getTime() - at.getTime(), 240 * 60_000)
  const gone = left.map((each, index) => (left[index - 1] ?? 30) - each)
  assert.ok(gone.every(each => each <= slowDeletesPerHour))
  assert.deepEqual(
    gone.filter(each => each > 0),
    [20, 8],
  )
  assert.equal(pending(), undefined)
})

const claimAnew: readonly Step[] = [
  { do: 'claims', names: [] },
  wait(20),
  { do: 'claims', names: [...targets] },
  wait(3 * 3600 + 100),
]
const onDemand: readonly Step[] = Array.from({ length: 30 }, (): readonly Step[] => [
  { do: 'back up now', target: 'data' },
  wait(30),
]).flat()

for (const [what, before] of [
  ['of three volumes of a claim that was made anew twice', [...claimAnew, ...claimAnew]],
  ['of scheduled snapshots and of those on demand', [{ do: 'edit', spec: { schedule: '0 0 1 1 *' } }, ...onDemand]],
] as const satisfies readonly (readonly [string, readonly Step[]])[])
  test(`F64: at most 20 go an hour and target ${what} together`, async () => {
    const { telling, names } = await longKept()
    await telling.tell([...before, { do: 'edit', spec: { schedule: '0 0 1 1 *' } }, lowered])
    const all = names('data').length
    assert.ok(all >= 60)
    await telling.tell([wait(3500)])
    assert.equal(names('data').length, all)
    for (const hours of [1, 2]) {
      await telling.tell([wait(3600)])
      assert.equal(names('data').length, all - hours * slowDeletesPerHour)
    }
  })

type Change = (snapshot: VolumeSnapshot) => VolumeSnapshot
const readiness =
  (readyToUse: boolean): Change =>
  snapshot => ({ ...snapshot, status: { ...snapshot.status, readyToUse } })
const hold =
  (value: string): Change =>
  snapshot => ({
    ...snapshot,
    metadata: { ...snapshot.metadata, labels: { ...snapshot.metadata.labels, [label.hold]: value } },
  })

for (const [what, away, back] of [
  ['of which their storage says for a while that they are not ready', readiness(false), readiness(true)],
  ['which were held when the shares were due', hold('true'), hold('false')],
] as const)
  test(`F64: at most 20 go an hour of snapshots ${what}`, async () => {
    const { telling, names } = await longKept()
    const all = (change: Change) => {
      for (const claim of targets)
        for (const each of names(claim)) telling.server.update('volumesnapshots', each, change)
    }
    await telling.tell([{ do: 'edit', spec: { schedule: '0 0 1 1 *' } }, lowered, wait(3400)])
    all(away)
    await telling.tell([wait(1200)])
    assert.equal(names('data').length, 30)
    all(back)
    await telling.tell([wait(3500)])
    assert.equal(names('data').length, 30 - slowDeletesPerHour)
    await telling.tell([wait(2 * 3600)])
    assert.equal(names('data').length, 2)
  })

test('F64: a policy that finds snapshots without remembering its number deletes none of them for an hour', async () => {
  const { telling, names, pending } = await longKept()
  await telling.tell([
    { do: 'edit', spec: { schedule: '0 0 1 1 *', retention: 30 } },
    { do: 'delete policy' },
    lowered,
    { do: 'create policy' },
    wait(3500),
  ])
  assert.equal(names('data').length, 30)
  assert.equal(pending()?.reason, 'RetentionLowered')
  await telling.tell([wait(200)])
  assert.equal(names('data').length, 10)
})
