// An upload is opened at the second try, the first had no answer; credentials that may not list uploads; the mover is killed.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sweep } from '../../src/storage/bucket/sweep.ts'
import { openS3 } from '../../src/storage/s3/s3.ts'
import { settingsOf } from '../storage/s3-servers.ts'
import { jobOf, startPod } from './backup-pod.ts'
import { hourMs, layout, minio, secret } from './bucket-stage.ts'

const setUp = minio()

for (const [how, first] of [
  ['at the first try', false],
  ['at the second try', true],
] as const)
  test(`an upload that was opened ${how} is noted with its id, and found where uploads may not be listed (F12, F14)`, async t => {
    const { server, bucket, through, proxy, task } = await setUp(t)
    proxy.fail('listUploads', { kind: 'refuse', status: 403, code: 'AccessDenied' })
    if (first) proxy.fail('createUpload', { kind: 'silence' }, { times: 1 })
    const pod = await startPod({
      task: { ...task, backend: through, storeIdleSeconds: 2, storeRetrySeconds: 60 },
      secret,
      command: ['sh', '-c', 'head -c 40000000 /dev/urandom; sleep 600'],
      run: jobOf(0),
    })
    await pod.reached(message => (message.storedBytes ?? 0) > 8 << 20)
    pod.mover.process.kill('SIGKILL')
    await pod.mover.ended
    await pod.source?.ended
    await pod.remove()
    assert.equal((await server.contents(bucket)).uploads.length, 1)

    const store = openS3({ ...settingsOf(server, bucket), endpoint: proxy.endpoint })
    t.after(() => store.close())
    await sweep(store, layout, Date.now() + 1000 * hourMs)
    const { uploads, keys } = await server.contents(bucket)
    assert.deepEqual(
      { uploads, notes: keys.filter(key => key.startsWith(layout.uploads)) },
      { uploads: [], notes: [] },
      'the sweep has removed the only note of it, and left the upload with its parts',
    )
  })
