// A hold Job for a run whose slot is not known (an on-demand Backup that came back), and a list that is out of date (F19).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { holdKey } from '../../src/storage/bucket/layout.ts'
import { jobOf, runPod } from './backup-pod.ts'
import { layout, manifestOf, minio, put, secret } from './bucket-stage.ts'

const setUp = minio()

test('F63: a hold that was there before stays where a list lacks the manifest, and its backup, too', async t => {
  const { store, server, bucket, through, storeTask, proxy, task } = await setUp(t)
  await put(store, jobOf(0))
  await put(store, jobOf(1))
  const hold = { ...storeTask, backend: through, kind: 'hold', target: 'command', run: jobOf(0), held: true } as const
  const first = await runPod({ task: hold, secret, run: 'hold-1' })
  assert.deepEqual(first.message.hold, { run: jobOf(0), held: true })

  const list =
    '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>x</Name><KeyCount>0</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated></ListBucketResult>'
  proxy.fail('list', { kind: 'answer', status: 200, type: 'application/xml', body: list }, { key: /manifests/ })
  const second = await runPod({ task: hold, secret, run: 'hold-2' })
  // Nobody released it. What follows is a run that knows of no hold but the bucket's: the Backup object is gone, or another cluster's.
  const held = (await server.contents(bucket)).keys.includes(holdKey(layout, jobOf(0)))
  await runPod({ task: { ...task, retention: 1 }, secret, command: ['seq', '1', '1000'], run: jobOf(2) })
  const { keys } = await server.contents(bucket)
  assert.deepEqual(
    { held, there: keys.includes(manifestOf(jobOf(0))), said: second.message.reason },
    { held: true, there: true, said: undefined },
  )
})
