// An upload is opened at the second try: the first had no answer, or one that tells nothing. Credentials that may not list uploads; a mover that is killed.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sweep } from '../../src/storage/bucket/sweep.ts'
import { openS3 } from '../../src/storage/s3/s3.ts'
import { later } from '../storage/changed-store.ts'
import { settingsOf } from '../storage/s3-servers.ts'
import { jobOf, runPod, startPod } from './backup-pod.ts'
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
    await sweep(later(store, 1000 * hourMs), layout, Date.now() + 1000 * hourMs)
    const { uploads, keys } = await server.contents(bucket)
    assert.deepEqual(
      { uploads, notes: keys.filter(key => key.startsWith(layout.uploads)) },
      { uploads: [], notes: [] },
      'the sweep has removed the only note of it, and left the upload with its parts',
    )
  })

for (const [answer, fault] of [
  ['a reply that broke off', { kind: 'cut-reply' }],
  ['a lost reply', { kind: 'lose-reply' }],
  ['500', { kind: 'given-up', status: 500, ms: 1 }],
  ['502', { kind: 'given-up', status: 502, ms: 1 }],
  ['503', { kind: 'given-up', status: 503, ms: 1 }],
] as const)
  test(`an upload that the store has opened in spite of ${answer} keeps a note while another one is complete, and is found by it (F12)`, async t => {
    const { server, bucket, store, through, proxy, task } = await setUp(t)
    const refused = { kind: 'refuse', status: 403, code: 'AccessDenied' } as const
    proxy.fail('createUpload', fault, { times: 1 })
    proxy.fail('listUploads', refused, { times: 1 })
    const command = ['sh', '-c', 'head -c 100000 /dev/urandom']
    const { code, message } = await runPod({ task: { ...task, backend: through }, secret, command, run: jobOf(0) })
    assert.deepEqual([code, message.phase], [0, 'committed'])
    await proxy.settled()
    assert.equal((await server.contents(bucket)).uploads.length, 1)

    await sweep(later(store, 1000 * hourMs), layout, Date.now() + 1000 * hourMs)
    const { uploads, keys } = await server.contents(bucket)
    assert.deepEqual({ uploads, notes: keys.filter(key => key.startsWith(layout.uploads)) }, { uploads: [], notes: [] })
  })

test('an upload that the store opens after a proxy has answered 502 keeps its note, also when the run fails (F12)', async t => {
  const { server, bucket, through, proxy, task } = await setUp(t)
  const opened = Promise.withResolvers<void>()
  proxy.fail('createUpload', { kind: 'given-up', status: 502, ms: 5_000, onObeyed: opened.resolve }, { times: 1 })
  proxy.fail('createUpload', { kind: 'refuse', status: 403, code: 'AccessDenied' })
  const backend = { ...task, backend: through, storeRetrySeconds: 1 }
  const { message } = await runPod({ task: backend, secret, command: ['true'], run: jobOf(0) })
  assert.deepEqual([message.phase, message.reason], ['failed', 'AccessDenied'])
  await opened.promise
  const { uploads, keys } = await server.contents(bucket)
  assert.deepEqual([uploads.length, keys.filter(key => key.startsWith(layout.uploads)).length], [1, 1])
})

test('a note goes with its upload when all that the store may have opened were found (F12)', async t => {
  const { server, bucket, through, proxy, task } = await setUp(t)
  proxy.fail('createUpload', { kind: 'given-up', status: 500, ms: 0 }, { times: 1 })
  proxy.fail('createUpload', { kind: 'cut-reply' }, { times: 1 })
  const command = ['sh', '-c', 'head -c 100000 /dev/urandom']
  await runPod({ task: { ...task, backend: through }, secret, command, run: jobOf(0) })
  const { uploads, keys } = await server.contents(bucket)
  assert.deepEqual({ uploads, notes: keys.filter(key => key.startsWith(layout.uploads)) }, { uploads: [], notes: [] })
})
