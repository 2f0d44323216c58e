// An attempt that comes back too late: what others may have swept, and what is gone, is never called a backup.
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { eventually } from '../../dev/eventually.ts'
import { openS3 } from '../../src/storage/s3/s3.ts'
import { startFaultProxy, type FaultProxy } from '../storage/s3-fault-proxy.ts'
import { settingsOf, startS3Server, type S3Server } from '../storage/s3-servers.ts'
import { jobOf, runPod, startPod, taskFor, type BackupTaskInput, type Pod, type PodResult } from './backup-pod.ts'

const secret = { accesskey: 'minioadmin', secretkey: 'minioadmin' }
const small = ['sh', '-c', 'seq 1 1000']
/** Several segments; with two of them stored it waits for the file `go`. */
const halting = [
  'sh',
  '-c',
  'head -c 20000000 /dev/urandom; while [ ! -e go ]; do sleep 0.05; done; head -c 9000000 /dev/urandom',
]
const segments = { partBytes: 5 << 20, maxParts: 1 }
const data = /\/data\//
const manifests = /\/manifests\//
const hour = 3_600_000
/** So long data wait for a manifest that may be on its way. */
const week = 7 * 24 * hour

describe('an attempt that outlives itself', { timeout: 600_000, concurrency: 2 }, () => {
  let server: S3Server
  const proxies: FaultProxy[] = []
  before(async () => {
    server = await startS3Server('minio')
  })
  after(async () => {
    await Promise.all(proxies.map(proxy => proxy.stop()))
    await server?.stop()
  })

  async function setUp(change: Partial<BackupTaskInput> = {}) {
    const proxy = await startFaultProxy(server.endpoint)
    proxies.push(proxy)
    const bucket = await server.makeBucket()
    return { proxy, bucket, task: taskFor(proxy, bucket, change) }
  }
  const kindsOf = async (bucket: string) => {
    const { keys, uploads } = await server.contents(bucket)
    return { objects: keys.flatMap(key => key.split('/')[2] ?? []).filter(kind => kind !== 'owner.json'), uploads }
  }
  const nothing = { objects: [], uploads: [] }
  const dataKeys = async (bucket: string, run: string) =>
    (await server.contents(bucket)).keys.filter(key => key.includes(`/data/${run}/`))
  /** Complete for the mover too: it opens the second only once the store has answered for the first. */
  const firstSegment = (bucket: string) =>
    eventually(
      'two segments',
      async () => {
        const [first, second] = await dataKeys(bucket, jobOf(0))
        return second && first
      },
      { seconds: 20, every: 20 },
    )
  const goOn = (pod: Pod) => writeFileSync(join(pod.directory, 'go'), '')

  test('F58: commits nothing past its expiry less the margin, by the clock of the store', async () => {
    // Deadline and an hour, less the time of retries and ten minutes: 11 minutes, because stores take no signature of 15 minutes ago.
    const limits = { jobDeadlineSeconds: 60, storeRetrySeconds: 2400 }
    const last = (60 + 3600 - 2400 - 600) * 1000
    for (const [aheadMs, phase, reason] of [
      [last - 60_000, 'committed', undefined],
      [last + 60_000, 'failed', 'AttemptExpired'],
    ] as const) {
      const { proxy, bucket, task } = await setUp(limits)
      proxy.fail('head', { kind: 'clock', aheadMs }, { key: data })
      const { message } = await runPod({ task, secret, command: small })
      assert.deepEqual([message.phase, message.reason], [phase, reason], JSON.stringify(message))
      assert.deepEqual(await kindsOf(bucket), reason ? nothing : { objects: ['data', 'manifests'], uploads: [] })
    }
  })

  test('F58: commits nothing when others have swept its data while it slept right before the manifest', async () => {
    const change = { storeRetrySeconds: 60, storeIdleSeconds: 60 }
    const good = await setUp(change)
    await runPod({ task: good.task, secret, command: small })
    const manifestWrite = good.proxy.writes.findIndex(write => manifests.test(write)) + 1
    assert.ok(manifestWrite > 1)

    const { proxy, bucket, task } = await setUp(change)
    const { endpoint } = server
    const later = { ...task, backend: { ...task.backend, endpoint } }
    proxy.interrupt(manifestWrite, 'before', async () => {
      const swept = await runPod({ task: later, secret, command: small, run: jobOf(1), laterMs: week + 3 * hour })
      assert.equal(swept.message.phase, 'committed', JSON.stringify(swept))
      assert.deepEqual(await dataKeys(bucket, jobOf(0)), [])
    })
    const { message } = await runPod({ task, secret, command: small })
    assert.deepEqual([message.phase, message.reason], ['failed', 'DataLost'], JSON.stringify(message))
    const { objects, uploads } = await kindsOf(bucket)
    assert.deepEqual([objects, uploads], [['data', 'manifests'], []])
  })

  async function remove(bucket: string, keys: readonly string[]) {
    const store = openS3(settingsOf(server, bucket))
    await store.delete(keys)
    store.close()
  }
  const failedForLoss = ({ message }: PodResult) =>
    assert.deepEqual([message.phase, message.reason], ['failed', 'DataLost'], JSON.stringify(message))

  test('F59: a manifest without data that could not be taken back is no backup for the next attempt, which takes it back', async () => {
    const { proxy, bucket, task } = await setUp()
    const act = async () => remove(bucket, await dataKeys(bucket, jobOf(0)))
    proxy.fail('put', { kind: 'meanwhile', act }, { key: manifests, times: 1 })
    proxy.fail('delete', { kind: 'refuse', status: 403, code: 'AccessDenied' }, { key: manifests })
    failedForLoss(await runPod({ task, secret, command: small }))
    assert.deepEqual((await kindsOf(bucket)).objects, ['manifests'])
    const { endpoint } = server
    const direct = { ...task, backend: { ...task.backend, endpoint } }
    const lost = await runPod({ task: direct, secret, command: small })
    failedForLoss(lost)
    assert.ok(lost.message.disproved, 'what the first attempt may have said of its manifest is worth nothing')
    assert.deepEqual(await kindsOf(bucket), nothing)
    const { message } = await runPod({ task: direct, secret, command: small })
    assert.equal(message.phase, 'committed', JSON.stringify(message))
  })

  test('F59: an attempt that finds the manifest of another one looks at its data before it gives up its own', async () => {
    const { proxy, bucket, task } = await setUp()
    const { endpoint } = server
    const direct = { ...task, backend: { ...task.backend, endpoint } }
    let winner: PodResult['message'] | undefined
    const act = async () => {
      const own = await dataKeys(bucket, jobOf(0))
      const { message } = await runPod({ task: direct, secret, command: small })
      assert.equal(message.phase, 'committed', JSON.stringify(message))
      winner = message
      await remove(
        bucket,
        (await dataKeys(bucket, jobOf(0))).filter(key => !own.includes(key)),
      )
    }
    proxy.fail('put', { kind: 'meanwhile', act }, { key: manifests, times: 1 })
    const lost = await runPod({ task, secret, command: small })
    failedForLoss(lost)
    assert.equal(lost.message.disproved, winner?.startedAt, 'it names the manifest that the other attempt has told of')
    assert.deepEqual(await kindsOf(bucket), nothing)
  })

  test('F23: a run on a node whose clock is ahead of the store leaves alone what a run on another node is writing', async () => {
    const { bucket, task } = await setUp(segments)
    const pod = await startPod({ task, secret, command: halting })
    const key = await firstSegment(bucket)
    // The third is open until there is more.
    const third = async () => (await kindsOf(bucket)).uploads.find(upload => upload.endsWith('.0002'))
    const open = await eventually('the upload of the third segment', third, { seconds: 20, every: 20 })
    const ahead = await runPod({ task, secret, command: small, run: jobOf(1), clockAheadMs: week + 3 * hour })
    assert.equal(ahead.message.phase, 'committed', JSON.stringify(ahead))
    assert.ok((await dataKeys(bucket, jobOf(0))).includes(key))
    assert.deepEqual((await kindsOf(bucket)).uploads, [open])
    goOn(pod)
    const { message } = await pod.result()
    assert.equal(message.phase, 'committed', JSON.stringify(message))
  })

  test('F58: an attempt whose open upload was swept says so', async () => {
    const { bucket, task } = await setUp(segments)
    const pod = await startPod({ task, secret, command: halting })
    await firstSegment(bucket)
    await runPod({ task, secret, command: small, run: jobOf(1), laterMs: week + 3 * hour })
    assert.deepEqual(await dataKeys(bucket, jobOf(0)), [])
    goOn(pod)
    const { message } = await pod.result()
    assert.deepEqual([message.phase, message.reason], ['failed', 'DataLost'], JSON.stringify(message))
    assert.deepEqual(await kindsOf(bucket), { objects: ['data', 'manifests'], uploads: [] })
  })

  test('F58: commits nothing when a segment is not what it was', async () => {
    const { bucket, task } = await setUp(segments)
    const pod = await startPod({ task, secret, command: halting })
    const key = await firstSegment(bucket)
    const store = openS3(settingsOf(server, bucket))
    await store.put(key, Buffer.from('shorter'))
    store.close()
    goOn(pod)
    const { message } = await pod.result()
    assert.deepEqual([message.phase, message.reason], ['failed', 'DataLost'], JSON.stringify(message))
    assert.match(message.message ?? '', /has 7 bytes instead of/)
    assert.deepEqual(await kindsOf(bucket), nothing)
  })

  test('F58: a HEAD that finds nothing does not fail a backup whose data a read finds', async () => {
    const { proxy, bucket, task } = await setUp()
    proxy.fail('head', { kind: 'answer', status: 404 }, { key: data })
    const { message } = await runPod({ task, secret, command: small })
    assert.equal(message.phase, 'committed', JSON.stringify(message))
    assert.deepEqual(await kindsOf(bucket), { objects: ['data', 'manifests'], uploads: [] })
  })

  test('F58: a look that fails is repeated', async () => {
    const { proxy, task } = await setUp({ storeRetrySeconds: 30 })
    proxy.fail('head', { kind: 'clock', aheadMs: 0 }, { key: data, times: 1 })
    proxy.fail('head', { kind: 'refuse', status: 503, code: 'SlowDown' }, { key: data, times: 2 })
    const { message } = await runPod({ task, secret, command: small })
    assert.equal(message.phase, 'committed', JSON.stringify(message))
  })

  test('F58: looks again before a manifest is tried again, and keeps the data of one that may exist', async () => {
    const { proxy, bucket, task } = await setUp({ storeRetrySeconds: 30 })
    // One look when the upload is complete, one before the first try.
    proxy.fail('head', { kind: 'clock', aheadMs: 0 }, { key: data, times: 2 })
    proxy.fail('head', { kind: 'clock', aheadMs: 3 * hour }, { key: data })
    proxy.fail('put', { kind: 'lose-reply' }, { key: manifests, times: 1 })
    const { message } = await runPod({ task, secret, command: small })
    assert.deepEqual([message.phase, message.reason], ['failed', 'AttemptExpired'], JSON.stringify(message))
    assert.deepEqual(await kindsOf(bucket), { objects: ['data', 'manifests'], uploads: [] })
    const { endpoint } = server
    const next = { ...task, backend: { ...task.backend, endpoint } }
    const second = await runPod({ task: next, secret, command: small })
    assert.equal(second.message.phase, 'committed', JSON.stringify(second))
  })
})
