// Retention where it deletes: the real mover against real S3 servers, with more to delete than one pass may.
import assert from 'node:assert/strict'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { encodeBackupRecord } from '../../src/api/record.ts'
import { messageLimit } from '../../src/api/mover/message.ts'
import { runsDigest } from '../../src/api/mover/task.ts'
import { slotOfJobName } from '../../src/api/names.ts'
import { layoutOf, manifestKey, segmentKey } from '../../src/storage/bucket/layout.ts'
import type { ObjectStore } from '../../src/storage/object-store.ts'
import { openS3 } from '../../src/storage/s3/s3.ts'
import { jobOf, startPod, taskFor, type BackupTaskInput } from './backup-pod.ts'
import { s3ServerKinds, settingsOf, startS3Server, type S3Server } from '../storage/s3-servers.ts'

const secret = { 'root-user': 'minioadmin', 'root-password': 'minioadmin' }
const layout = layoutOf({ namespace: 'shop', policy: 'orders' })
/** The attempt of every backup that no mover made. */
const madeUp = 'attempt'

for (const kind of s3ServerKinds) {
  describe(`retention in ${kind}`, { timeout: 180_000 }, () => {
    let server: S3Server
    before(async () => {
      server = await startS3Server(kind)
    })
    after(() => server?.stop())

    test('a retention that was lowered deletes the 20 oldest backups in one pass, and the rest in the next (F41)', async () => {
      const bucket = await server.makeBucket()
      const earlier = Array.from({ length: 25 }, (_, slot) => jobOf(slot))
      const store = openS3(settingsOf(server, bucket))
      await Promise.all(earlier.map(run => putBackup(store, run)))
      store.close()
      const task = taskFor(server, bucket, { retention: 1 })

      const first = await backUp(task, jobOf(25))
      const left = earlier.slice(20)
      assert.equal(first.message.deleted?.length, 20)
      assert.deepEqual(first.message.deleted, earlier.slice(0, 20))
      assert.deepEqual(first.message.kept, {
        count: 6,
        newest: jobOf(25),
        oldest: jobOf(20),
        digest: runsDigest([...left, jobOf(25)]),
      })
      assert.ok(first.messageBytes <= messageLimit, `${first.messageBytes} bytes`)
      assert.deepEqual(await server.contents(bucket), {
        keys: [layout.owner, ...left.flatMap(run => keysOf(run)), ...keysOf(jobOf(25), first.attempt)].sort(),
        uploads: [],
      })

      const second = await backUp(task, jobOf(26))
      assert.deepEqual(second.message.deleted, [...left, jobOf(25)])
      assert.equal(second.message.kept?.count, 1)
      assert.deepEqual(await server.contents(bucket), {
        keys: [layout.owner, ...keysOf(jobOf(26), second.attempt)].sort(),
        uploads: [],
      })
    })
  })
}

function slotOf(run: string): Date {
  return slotOfJobName(run, 'backup-orders') ?? assert.fail(`${run} has no slot`)
}

/** Manifest and data of a backup. */
function keysOf(run: string, attempt = madeUp): readonly [string, string] {
  return [manifestKey(layout, 'command', slotOf(run), run), segmentKey(layout, { run, attempt }, 'dump', 0)]
}

/** Puts a backup into the bucket as an earlier run would have left it. */
async function putBackup(store: ObjectStore, run: string): Promise<void> {
  const [manifest, data] = keysOf(run)
  const time = slotOf(run).toISOString()
  const content = { bytes: 1, sha256: '0'.repeat(64) }
  const segments = [{ key: data.slice(layout.root.length), ...content }]
  const record = encodeBackupRecord({
    version: 1,
    run,
    jobUid: `job-uid-of-${run}`,
    attempt: madeUp,
    owner: { clusterId: 'cluster-1', namespace: 'shop', policy: 'orders' },
    target: 'command',
    slot: time,
    startedAt: time,
    finishedAt: time,
    artifacts: [{ name: 'dump', segments, ...content, storedBytes: 1, compression: 'zstd' }],
    commit: 'conditional',
    suspect: false,
    tools: {},
  })
  await store.put(data, Buffer.from('x'))
  await store.put(manifest, Buffer.from(record))
}

/** One good run, and how long its termination message is. */
async function backUp(task: BackupTaskInput, run: string) {
  const pod = await startPod({ task, secret, command: ['seq', '1', '1000'], run })
  await pod.mover.ended
  const messageBytes = statSync(join(pod.directory, 'termination-log')).size
  const result = await pod.result()
  assert.deepEqual([result.code, result.message.phase, result.message.warnings], [0, 'committed', undefined])
  return { ...result, messageBytes }
}
