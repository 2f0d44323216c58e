// Of which claim a snapshot is, while its policy changes between the start and the end of its run, told on the toy cluster (F82).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Spec, Step } from './toy/stories.ts'
import { Telling } from './toy/telling.ts'

const wait = (seconds: number): Step => ({ do: 'wait', seconds })
const spec: Spec = {
  strategy: 'snapshot',
  schedule: '*/20 * * * *',
  timeZone: 'Etc/UTC',
  retention: 2,
  startingDeadlineSeconds: 600,
}

const changes: Readonly<Record<string, readonly Step[]>> = {
  'is made anew while the operator restarts': [
    { do: 'operator', up: false },
    wait(1),
    { do: 'delete policy' },
    wait(20),
    { do: 'operator', up: true },
    { do: 'create policy' },
  ],
  'is away for a moment while the operator restarts': [
    { do: 'operator', up: false },
    { do: 'delete policy' },
    wait(20),
    { do: 'operator', up: true },
    wait(5),
    { do: 'create policy' },
  ],
  'has strategy job for a moment': [
    { do: 'edit', spec: { strategy: 'job' } },
    wait(30),
    { do: 'edit', spec: { strategy: 'snapshot' } },
  ],
}

for (const [what, steps] of Object.entries(changes))
  for (const fate of ['ready at once', 'cut at once, ready slowly', 'ready after errors'] as const)
    test(`F82: snapshots that are ${fate} are of their claim, and are pruned, where the policy ${what}`, async () => {
      const telling = new Telling({ spec, fates: { jobs: ['commits'], snapshots: [fate] }, steps: [] })
      const standing = () =>
        telling.server.all('volumesnapshots').filter(({ metadata }) => metadata.deletionTimestamp === undefined)
      const uncut = () => standing().filter(({ status }) => status?.creationTime === undefined)
      await telling.tell([wait(3600)])
      while (uncut().length === 0) await telling.tell([wait(1)])
      const begun = new Set(uncut().map(({ metadata }) => metadata.name))
      await telling.tell([...steps, wait(6 * 3600)])
      assert.deepEqual(
        standing().filter(({ metadata }) => begun.has(metadata.name)),
        [],
      )
    })
