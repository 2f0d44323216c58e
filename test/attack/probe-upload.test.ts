// Attack: a probe is killed in the middle of its small multipart upload.
import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { test } from 'node:test'
import { sweep } from '../../src/storage/bucket/sweep.ts'
import { startPod } from '../mover/backup-pod.ts'
import { hourMs, layout, minio, secret } from './common.ts'

const setUp = minio()

test('a leftover nobody finds: the upload of a probe that was killed has no note, and no sweep ever aborts it (F14, R12)', async t => {
  const { server, bucket, through, proxy, storeTask, store } = await setUp(t)
  proxy.fail('uploadPart', { kind: 'silence' })
  const pod = await startPod({ task: { ...storeTask, backend: through, kind: 'probe' }, secret, run: 'probe-1' })
  while (!proxy.requests.some(each => each.startsWith('uploadPart'))) await delay(20)
  pod.mover.process.kill('SIGKILL')
  await pod.mover.ended
  await pod.remove()
  assert.equal((await server.contents(bucket)).uploads.length, 1)
  await sweep(store, layout, Date.now() + 1000 * hourMs)
  assert.deepEqual((await server.contents(bucket)).uploads, [])
})
