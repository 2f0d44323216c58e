// The clock of the snapshot strategy while its policies change (F24).
import assert from 'node:assert/strict'
import { eventually } from '../dev/eventually.ts'
import { changeClocks, clocksBefore, everyMinute, nextMinute } from './clock-changes.ts'
import { patience, waitFor } from './cluster.ts'
import { put } from './objects.ts'
import { backupsOf, claim, conditionOf, defaultDriver, immediateClass, snapshotPolicy } from './snapshot-stack.ts'
import { patch } from './stack.ts'

/** A slot passes that three policies were not to have; then they are changed so that it would have been theirs. */
export async function snapshotClockStory(namespace: string): Promise<void> {
  const before = clocksBefore()
  const snaps = (name: string, spec: object) => snapshotPolicy(namespace, `snaps-${name}`, { spec })
  const changing = ['snaps-edited', 'snaps-moved', 'snaps-resumed'] as const
  await put(
    immediateClass(await defaultDriver()),
    claim(namespace, 'data'),
    snaps('edited', before.edited),
    snaps('moved', before.moved),
    snaps('resumed', before.resumed),
    snaps('steady', { schedule: everyMinute }),
  )
  await waitFor(namespace, 'pvc/data', 'jsonpath={.status.phase}=Bound')
  await conditionOf(namespace, 'snaps-resumed', 'Ready', { reason: 'Suspended' })
  for (const name of ['snaps-edited', 'snaps-moved', 'snaps-steady'])
    await conditionOf(namespace, name, 'Ready', { status: 'True' })

  const passed = nextMinute()
  await eventually('the slot to run where it is one', async () => (await slotsOf('snaps-steady')).includes(passed), {
    seconds: 60 + patience,
  })
  assert.deepEqual(await Promise.all(changing.map(slotsOf)), [[], [], []])

  const next = nextMinute()
  await Promise.all([
    changeClocks(namespace, 'snaps-'),
    patch(namespace, 'backuppolicy/snaps-steady', { spec: { suspend: true } }),
  ])
  const seconds = (next - Date.now()) / 1000 + patience
  for (const name of changing)
    await eventually(`a run of ${name}`, async () => (await slotsOf(name)).length > 0, { seconds })
  assert.deepEqual(await Promise.all(changing.map(slotsOf)), [[next], [next], [next]])
  const ofSteady = await slotsOf('snaps-steady')
  assert.ok(!ofSteady.includes(next), `${ofSteady.join()} ran although it was suspended before ${next}`)

  /** Slots that have a Backup, ms, sorted. */
  async function slotsOf(policy: string): Promise<readonly number[]> {
    const slots = (await backupsOf(namespace, policy)).flatMap(({ spec }) => (spec.slot ? [Date.parse(spec.slot)] : []))
    return slots.toSorted((a, b) => a - b)
  }
}
