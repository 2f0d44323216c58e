// The clock of the control plane was a day ahead for three runs, and is right again (F23).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runPod } from './backup-pod.ts'
import { hourMs, jobAt, minio, put, secret } from './bucket-stage.ts'

const setUp = minio()

test('F23: after a clock that ran ahead no run deletes the backup that it has just made', async t => {
  const { store, task } = await setUp(t)
  const now = Date.now()
  for (const minutes of [0, 1, 2]) await put(store, jobAt(now + 24 * hourMs + minutes * 60_000))
  const run = jobAt(now)
  const { message } = await runPod({ task: { ...task, retention: 3 }, secret, command: ['printf', 'x'], run })
  assert.equal(message.phase, 'committed')
  assert.ok(
    !message.deleted?.includes(run),
    `the run deleted what it had just called complete: ${JSON.stringify(message)}`,
  )
})
