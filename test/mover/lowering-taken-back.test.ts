// Retention lowered by mistake, a long dump starts within the hour, the mistake is taken back within the hour.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { jobOf, runPod } from './backup-pod.ts'
import { hourMs, minio, put, secret } from './bucket-stage.ts'

const setUp = minio()

test('F64: a run that began within the hour of a lowering and ends after it deletes nothing that the larger number keeps', async t => {
  const { store, task } = await setUp(t)
  const earlier = Array.from({ length: 10 }, (_, slot) => jobOf(slot))
  for (const run of earlier) await put(store, run)
  // 30 → 3 almost an hour ago. The Job starts with that task. A second later, still inside the hour, somebody sets 30 again: this Job's task stays.
  const since = Date.now() - hourMs + 6_000
  const { message } = await runPod({
    task: { ...task, retention: 3, retentionChanged: { previous: 30, since }, onDemandRetention: 3 },
    secret,
    command: ['sh', '-c', 'seq 1 1000; sleep 10'],
    run: jobOf(20),
  })
  assert.equal(message.phase, 'committed')
  assert.ok((message.startedAt ?? 0) < since + hourMs, 'it began inside the hour')
  assert.deepEqual(message.deleted, [], 'of what spec.retention keeps')
})
