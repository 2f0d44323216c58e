// Every way in which a dump can end badly: the reason is told, no backup exists, and nothing is left in the bucket.
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { openS3 } from '../../src/storage/s3/s3.ts'
import { descendant, initOf, jobOf, runPod, startPod, taskFor, type Pod, type PodResult } from './backup-pod.ts'
import { settingsOf, startS3Server, type S3Server } from '../storage/s3-servers.ts'

const secret = { AWS_ACCESS_KEY_ID: 'minioadmin', AWS_SECRET_ACCESS_KEY: 'minioadmin' }
/** Writes about `megabytes` that do not compress, then does `then`. */
const writes = (megabytes: number, then: string) => ['sh', '-c', `head -c ${megabytes * 1e6} /dev/urandom; ${then}`]

describe('a dump that ends badly', { timeout: 600_000, concurrency: 2 }, () => {
  let server: S3Server
  before(async () => {
    server = await startS3Server('minio')
  })
  after(() => server?.stop())

  async function assertNothingLeft(bucket: string) {
    assert.deepEqual(await server.contents(bucket), { keys: ['shop/orders/owner.json'], uploads: [] })
  }

  function assertFailed(result: PodResult, reason: string, code: number) {
    const { message } = result
    assert.deepEqual([message.phase, message.reason, result.code], ['failed', reason, code], JSON.stringify(result))
    assert.equal(message.openUpload, undefined)
  }

  /** Waits until the command has written its bytes and sleeps. @returns its helper. */
  async function silence(pod: Pod): Promise<number> {
    const helper = await descendant(await initOf(pod), 'artifact')
    await descendant(helper, 'sleep')
    return helper
  }

  /** Bytes: four parts and a bit; sixteenths of it fall before, between and behind their ends. */
  const stream = 21_600_000
  for (const sixteenths of Array.from({ length: 17 }, (_, index) => index)) {
    test(`exit status 3 after ${sixteenths}/16 of the stream is SourceExit (F01)`, async () => {
      const bucket = await server.makeBucket()
      const task = taskFor(server, bucket, { partBytes: 5 << 20 })
      const bytes = (stream / 16) * sixteenths
      const command = ['sh', '-c', `head -c ${bytes} /dev/urandom; exit 3`]
      const result = await runPod({ task, secret, command })
      assertFailed(result, 'SourceExit', 10)
      assert.equal(result.message.sourceStatus, 3)
      assert.equal(result.message.bytes ?? 0, bytes)
      assert.equal(result.sourceCode, 3)
      await assertNothingLeft(bucket)
    })
  }

  test('SIGKILL of the command is SourceSignalled (F02)', async () => {
    const bucket = await server.makeBucket()
    const result = await runPod({ task: taskFor(server, bucket), secret, command: writes(9, 'kill -9 $$') })
    assertFailed(result, 'SourceSignalled', 10)
    assert.equal(result.message.sourceStatus, 137)
    await assertNothingLeft(bucket)
  })

  test('SIGKILL of the first process of the container (as the kernel does when memory runs out) is SourceKilled (F02)', async () => {
    const bucket = await server.makeBucket()
    const pod = await startPod({ task: taskFor(server, bucket), secret, command: writes(9, 'sleep 1000') })
    await pod.reached(message => message.phase === 'receiving')
    await silence(pod)
    process.kill(await initOf(pod), 'SIGKILL')
    assertFailed(await pod.result(), 'SourceKilled', 11)
    await assertNothingLeft(bucket)
  })

  test('SIGKILL of the helper between command and mover is SourceKilled', async () => {
    const bucket = await server.makeBucket()
    const pod = await startPod({ task: taskFor(server, bucket), secret, command: writes(9, 'sleep 1000') })
    await pod.reached(message => message.phase === 'receiving')
    // The command goes with the container, whose first process ends when its helper does.
    process.kill(await silence(pod), 'SIGKILL')
    assertFailed(await pod.result(), 'SourceKilled', 11)
    await assertNothingLeft(bucket)
  })

  test('SIGKILL of the mover ends the command, and its message names the upload to abort (F02)', async () => {
    const bucket = await server.makeBucket()
    const pod = await startPod({ task: taskFor(server, bucket), secret, command: writes(9, 'sleep 1000') })
    await pod.reached(message => message.phase === 'receiving')
    await silence(pod)
    pod.mover.process.kill('SIGKILL')
    const result = await pod.result()
    assert.equal(result.sourceCode, 75)
    assert.match(result.sourceOutput, /the mover is gone/)
    const { phase, openUpload } = result.message
    assert.equal(phase, 'receiving')
    assert.ok(openUpload)
    const left = await server.contents(bucket)
    assert.deepEqual(left.uploads, [openUpload.key])
    assert.deepEqual(left.keys, ['shop/orders/owner.json', `shop/orders/uploads/${jobOf(0)}.${pod.attempt}.0.json`])
    const store = openS3(settingsOf(server, bucket))
    await store.abortUpload(openUpload.key, openUpload.uploadId)
    assert.deepEqual((await server.contents(bucket)).uploads, [])
    store.close()
  })

  test('status 0 without a byte is EmptyOutput (F03)', async () => {
    const bucket = await server.makeBucket()
    const result = await runPod({ task: taskFor(server, bucket), secret, command: ['true'] })
    assertFailed(result, 'EmptyOutput', 14)
    await assertNothingLeft(bucket)
  })

  for (const [script, bytes] of [
    ['false | gzip', 20],
    ['false | zstd', 13],
    ['false | xz', 32],
    ['false | bzip2', 14],
    ['false | lz4', 15],
    ['tar -c /no/such/directory | cat', 10_240],
    ['printf "PGDMP\\1\\16\\0\\4\\10\\1"', 11],
  ] as const)
    test(`F56: status 0 with ${bytes} bytes that hold nothing (${script}) is EmptyOutput`, async () => {
      const bucket = await server.makeBucket()
      const result = await runPod({ task: taskFor(server, bucket), secret, command: ['sh', '-c', script] })
      assertFailed(result, 'EmptyOutput', 14)
      assert.equal(result.message.bytes, bytes)
      await assertNothingLeft(bucket)
    })

  for (const [what, then, reason, early] of [
    ['a command that exits with 3', 'exit 3', 'SourceExit', 10],
    ['a command that is killed', 'kill -9 $$', 'SourceSignalled', 10],
    ['a command without a byte', 'exit 0', 'EmptyOutput', 14],
  ] as const)
    test(`F68: ${what} may be tried again, unless it is later than startingDeadlineSeconds after its slot`, async () => {
      const bucket = await server.makeBucket()
      const command = ['sh', '-c', then]
      const now = Date.now()
      for (const [ago, code, tooLate] of [
        [0, early, undefined],
        [3_700_000, 18, true],
      ] as const) {
        const change = { cronJob: undefined, slot: now - ago, startingDeadlineSeconds: 3600 }
        const result = await runPod({ task: taskFor(server, bucket, change), secret, command })
        assertFailed(result, reason, code)
        assert.equal(result.message.tooLate, tooLate)
        assert.equal(/not tried again/.test(result.message.message ?? ''), tooLate ?? false)
      }
      await assertNothingLeft(bucket)
    })

  test('F68: an obstacle that is not of the command is not final, however late it is', async () => {
    const bucket = await server.makeBucket()
    const change = { cronJob: undefined, slot: 0, startingDeadlineSeconds: 1, startTimeoutSeconds: 1 }
    assertFailed(await runPod({ task: taskFor(server, bucket, change), secret }), 'SourceNotStarted', 12)
  })

  test('silence is SourceStalled, and ends a command that would wait for ever (F04)', async () => {
    const bucket = await server.makeBucket()
    const task = taskFor(server, bucket, { stallTimeoutSeconds: 1 })
    const result = await runPod({ task, secret, command: writes(3, 'sleep 1000') })
    assertFailed(result, 'SourceStalled', 13)
    assert.equal(result.sourceCode, 75)
    await assertNothingLeft(bucket)
  })

  test('a command that ignores SIGTERM is killed (F04)', async () => {
    const bucket = await server.makeBucket()
    const task = taskFor(server, bucket, { stallTimeoutSeconds: 1 })
    const command = ['sh', '-c', 'trap "" TERM; echo begin; while :; do sleep 1; done']
    assertFailed(await runPod({ task, secret, command }), 'SourceStalled', 13)
    await assertNothingLeft(bucket)
  })

  test('a program that is not in the image is CommandNotFound, with or without a path', async () => {
    for (const program of ['no-such-program', '/no/such/program', '/etc/passwd']) {
      const bucket = await server.makeBucket()
      const result = await runPod({ task: taskFor(server, bucket), secret, command: [program, 'x'] })
      assertFailed(result, 'CommandNotFound', 16)
      await assertNothingLeft(bucket)
    }
  })

  test('a container that never starts is SourceNotStarted', async () => {
    const bucket = await server.makeBucket()
    const result = await runPod({ task: taskFor(server, bucket, { startTimeoutSeconds: 1 }), secret })
    assertFailed(result, 'SourceNotStarted', 12)
    await assertNothingLeft(bucket)
  })

  test('a container that starts after the mover has failed ends at once, without running its command', async () => {
    const bucket = await server.makeBucket()
    const command = ['sh', '-c', 'touch ran; echo x']
    const pod = await startPod({ task: taskFor(server, `${bucket}-none`), secret, command, sourceAfterMs: 2_000 })
    assert.equal(await pod.source?.ended, 75)
    assert.equal(existsSync(join(pod.directory, 'ran')), false)
    assertFailed(await pod.result(), 'BucketNotFound', 21)
  })

  test('a container whose mover never starts ends by itself', async () => {
    const bucket = await server.makeBucket()
    const command = ['sh', '-c', 'touch ran; echo x']
    const task = taskFor(server, bucket, { startTimeoutSeconds: 1 })
    const pod = await startPod({ task, secret, command, withoutMover: true })
    assert.notEqual(await pod.source?.ended, 0)
    assert.equal(existsSync(join(pod.directory, 'ran')), false)
    assert.match(pod.source?.output() ?? '', /the mover did not start in 1 s/)
    await pod.remove()
  })

  test('the end of the pod (SIGTERM) is Terminated, with everything cleaned up inside the grace period', async () => {
    const bucket = await server.makeBucket()
    const pod = await startPod({ task: taskFor(server, bucket), secret, command: writes(20, 'sleep 1000') })
    await pod.reached(message => message.phase === 'receiving')
    await silence(pod)
    pod.mover.process.kill('SIGTERM')
    assertFailed(await pod.result(), 'Terminated', 30)
    await assertNothingLeft(bucket)
  })
})
