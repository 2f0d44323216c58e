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

test('F23: what was dated ahead pushes none of the fresh ones out, which go when enough fresh ones are newer', async t => {
  const { store, task } = await setUp(t)
  const now = Date.now()
  const ahead = [0, 1].map(minutes => jobAt(now + 24 * hourMs + minutes * 60_000))
  for (const run of ahead) await put(store, run)
  const fresh = [3, 2, 1].map(minutes => jobAt(now - minutes * 60_000))
  const deleted: (readonly string[] | undefined)[] = []
  for (const run of fresh) {
    const { message } = await runPod({ task: { ...task, retention: 2 }, secret, command: ['printf', 'x'], run })
    assert.equal(message.phase, 'committed', JSON.stringify(message))
    deleted.push(message.deleted)
  }
  assert.deepEqual(deleted, [[], [], fresh.slice(0, 1)])
})
