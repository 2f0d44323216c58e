// Attack: the clock of the control plane was a day ahead for three runs, and is right again (F23).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runPod } from '../mover/backup-pod.ts'
import { hourMs, jobAt, minio, put, secret } from './common.ts'

const setUp = minio()

test('a Completed backup does not come back: after a clock that ran ahead each run deletes its own backup, right after it was committed (F23)', async t => {
  const { store, task } = await setUp(t)
  const now = Date.now()
  for (const minutes of [0, 1, 2]) await put(store, jobAt(now + 24 * hourMs + minutes * 60_000))
  const run = jobAt(now)
  const { message } = await runPod({ task: { ...task, retention: 3 }, secret, command: ['printf', 'x'], run })
  assert.equal(message.phase, 'committed')
  assert.ok(!message.deleted?.includes(run), `the run deleted what it had just called complete: ${JSON.stringify(message)}`)
})
