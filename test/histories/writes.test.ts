// How much a scheduled snapshot costs the API server: what is written, told on the toy cluster while nothing goes wrong.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SnapshotFate } from './toy/snapshot-controller.ts'
import { ToyOperator, type Watch } from './toy/operator.ts'
import { name, Telling } from './toy/telling.ts'

const claims = 2

/** Writes of a day of hourly slots, by verb and kind, and how many backups were made. What retention costs is not counted: nothing goes. */
async function dayOf(
  fate: SnapshotFate,
): Promise<{ readonly backups: number; readonly writes: Record<string, number> }> {
  const spec = {
    strategy: 'snapshot',
    schedule: '0 * * * *',
    timeZone: 'Etc/UTC',
    retention: 100,
    startingDeadlineSeconds: 600,
  } as const
  const writes: Record<string, number> = {}
  const story = { spec, fates: { jobs: ['commits'], snapshots: [fate] }, steps: [] } as const
  const telling = new Telling(story, undefined, (server, watch) => {
    const onWrite: Watch['onWrite'] = (write, ...about) => {
      const kind = `${write.verb} ${write.plural}`
      writes[kind] = (writes[kind] ?? 0) + 1
      watch.onWrite(write, ...about)
    }
    return new ToyOperator(server, name, { onWrite })
  })
  await telling.tell([{ do: 'wait', seconds: 24 * 3600 }])
  return { backups: telling.recorded.size * claims, writes }
}

for (const [fate, statuses] of [
  ['ready at once', 1],
  ['cut at once, ready slowly', 2],
] as const)
  test(`a snapshot that is ${fate} is two creates and ${statuses} of status, and its slot ${statuses} of the policy's`, async () => {
    const { backups, writes } = await dayOf(fate)
    assert.equal(backups, 24 * claims)
    const { 'update backuppolicies': ofPolicy = 0, ...others } = writes
    assert.deepEqual(others, {
      'create backups': backups,
      'create volumesnapshots': backups,
      'update backups': backups * statuses,
    })
    // And one when the policy is first seen.
    assert.equal(ofPolicy, statuses * 24 + 1)
  })
