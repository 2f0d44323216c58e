// Fault F28 on the side of the store: a mover that is killed with -9 before the first write of a run, and after every single one. Whatever
// that leaves, the next attempt of the Job ends with one backup, and a later run with nothing else in the bucket. It writes one thing after
// the other: before a write the bucket is what it is after the one before it.
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { after, before, describe, test } from 'node:test'
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { encodeBackupRecord, parseBackupRecord, type BackupRecord } from '../../src/api/record.ts'
import {
  layoutOf,
  manifestFolder,
  manifestKey,
  segmentKey,
  uploadRecordKey,
  type Attempt,
} from '../../src/storage/bucket/layout.ts'
import type { ObjectStore } from '../../src/storage/object-store.ts'
import { openS3 } from '../../src/storage/s3/s3.ts'
import { dataMetadata, encodeUploadRecord } from '../../src/storage/bucket/upload-record.ts'
import { makeRunDirectory, removeRunDirectory } from '../api/control-plane/run-directory.ts'
import { jobOf, runPod, startPod, taskFor, type Pod } from './backup-pod.ts'
import { startFaultProxy } from '../storage/s3-fault-proxy.ts'
import { settingsOf, startS3Server, type S3Server } from '../storage/s3-servers.ts'

const secret = { accessKey: 'minioadmin', secretKey: 'minioadmin' }
const layout = layoutOf({ namespace: 'shop', policy: 'orders' })
const hour = 3_600_000
/** Of any Job here: its deadline and the hour after it. */
const lifetime = 2 * hour
/** So long what a Job has left is spared when that is over, because its manifest may be on its way. */
const week = 7 * 24 * hour
/** Between two runs here: after it all that one leaves is swept, and before it nothing. */
const step = lifetime + week + hour
const slotAt = (slot: number) => new Date(Date.UTC(2026, 10, 22, 2, slot))

/** What a run has to write, if nothing is to be left untested: in the order of a run that nobody kills. */
const script = [
  /^put owner\.json$/,
  /^put owner\.json$/,
  /^put uploads\/.*\.0\.json$/,
  /^createUpload data\/.*zst$/,
  /^put uploads\/.*\.0\.json$/,
  /^uploadPart data\/.*zst$/,
  /^completeUpload data\/.*zst$/,
  /^delete uploads\/.*\.0\.json$/,
  /^put uploads\/.*\.1\.json$/,
  /^createUpload data\/.*zst\.0001$/,
  /^put uploads\/.*\.1\.json$/,
  /^uploadPart data\/.*zst\.0001$/,
  /^completeUpload data\/.*zst\.0001$/,
  /^delete uploads\/.*\.1\.json$/,
  /^put manifests\//,
  // Retention.
  /^delete manifests\//,
  /^delete data\//,
  // The sweep: an upload with a note that has its id, one whose opening nobody confirmed, and data without a manifest.
  /^abortUpload data\//,
  /^delete uploads\//,
  /^abortUpload data\//,
  /^delete uploads\//,
  /^delete data\//,
] as const

describe('a mover killed between any two writes (F28)', { timeout: 600_000 }, () => {
  let server: S3Server
  let directory: string
  /** Two segments of one part each. */
  const dump = randomBytes(5_500_000)
  const stored = zstdCompressSync(dump)
  before(async () => {
    server = await startS3Server('minio')
    directory = await makeRunDirectory()
    writeFileSync(join(directory, 'dump'), dump)
  })
  after(async () => {
    await server?.stop()
    await removeRunDirectory(directory)
  })

  test('the next attempt makes the one backup, and a later run removes what is left', async () => {
    const bucket = await server.makeBucket()
    const store = openS3(settingsOf(server, bucket))
    try {
      let written = 0
      while (await killWhen(written, bucket, store)) written++
      assert.equal(written, script.length + 1)
      await assertLaterRunCleansUp(bucket, store)
    } finally {
      store.close()
    }
  })

  function taskAt(endpoint: string, bucket: string, target: string) {
    return taskFor({ endpoint }, bucket, {
      target,
      retention: 1,
      partBytes: 5 << 20,
      maxParts: 1,
      storeIdleSeconds: 30,
    })
  }

  /**
   * One run that is killed and its next attempt, with a target of their own. Each runs at an earlier time than the one before: what
   * that left is not yet over for this one's sweep, so that every run has the same to write.
   * @param written after so many writes, of which the last one is obeyed and not answered
   * @returns false when the run ended with fewer
   */
  async function killWhen(written: number, bucket: string, store: ObjectStore): Promise<boolean> {
    const what = `after ${written} writes`
    const target = `target-${written}`
    const laterMs = (script.length + 2 - written) * step
    const [oldSlot, brokenSlot, slot] = [3 * written, 3 * written + 1, 3 * written + 2] as const
    const old = jobOf(oldSlot)
    const run = jobOf(slot)
    await store.delete([layout.owner])
    // Over by the store's clock, too, which tells whole seconds.
    const expiresAt = Date.now() + laterMs - week - 1000
    await makeGoodBackup(store, { target, slot: oldSlot, expiresAt })
    await leaveBehind(store, { target, slot: brokenSlot, expiresAt })

    const proxy = await startFaultProxy(server.endpoint)
    try {
      const attempt = { secret, command: ['cat', join(directory, 'dump')], run, laterMs }
      const victim = Promise.withResolvers<Pod>()
      proxy.interrupt(Math.max(written, 1), written === 0 ? 'before' : 'after', async () => {
        const { mover } = await victim.promise
        mover.process.kill('SIGKILL')
        await mover.ended
      })
      victim.resolve(await startPod({ ...attempt, task: taskAt(proxy.endpoint, bucket, target) }))
      const first = await (await victim.promise).result()
      const killed = first.code !== 0
      const writes = proxy.writes.map(write => write.replace(layout.root, ''))
      assert.equal(writes.length, killed ? Math.max(written, 1) : script.length, `${what}: ${writes.join('\n')}`)
      for (const [index, write] of writes.entries()) assert.match(write, script[index] ?? /^nothing more$/, what)
      assert.equal(first.code, killed ? 128 + 9 : 0, what)
      const left = await restorable(store, target)
      assert.ok(left.includes(old) || left.includes(run), `${what}: no backup is left`)

      const second = await runPod({ ...attempt, task: taskAt(server.endpoint, bucket, target) })
      assert.deepEqual([second.code, second.message.phase], [0, 'committed'], `${what}: ${JSON.stringify(second)}`)
      const runs = await restorable(store, target)
      assert.deepEqual(
        runs.filter(each => each !== old),
        [run],
        what,
      )
      return killed
    } finally {
      await proxy.stop()
    }
  }

  /** After the expiry of everything: there are the mark, the backups with all that they name, and nothing else. */
  async function assertLaterRunCleansUp(bucket: string, store: ObjectStore) {
    const laterMs = (script.length + 4) * step
    const before = await server.contents(bucket)
    assert.ok(before.uploads.length > 0, 'nothing was left to clean up')
    const command = ['cat', join(directory, 'dump')]
    const task = taskAt(server.endpoint, bucket, 'later')
    const run = await runPod({ task, secret, command, run: jobOf(0), laterMs })
    assert.deepEqual([run.code, run.message.phase, run.message.warnings], [0, 'committed', undefined])
    const backups = await restorable(store)
    assert.ok(backups.length > script.length)
    const { keys, uploads } = await server.contents(bucket)
    assert.deepEqual(uploads, [])
    const known: string[] = [layout.owner]
    for (const key of keys.filter(each => each.startsWith(layout.manifests))) {
      const { artifacts } = parseBackupRecord((await store.get(key, 1 << 20)).toString())
      known.push(key, ...(artifacts[0]?.segments ?? []).map(segment => `${layout.root}${segment.key}`))
    }
    assert.deepEqual(keys.toSorted(), known.toSorted())
  }

  /** The runs with a manifest (of one target), after having read everything that the manifests promise. */
  async function restorable(store: ObjectStore, target?: string): Promise<readonly string[]> {
    const runs: string[] = []
    for await (const { key } of store.list(target ? manifestFolder(layout, target) : layout.manifests)) {
      const { run, artifacts } = parseBackupRecord((await store.get(key, 1 << 20)).toString())
      const bodies: Buffer[] = []
      for (const segment of artifacts[0]?.segments ?? []) {
        const body = await buffer(await store.read(`${layout.root}${segment.key}`))
        assert.deepEqual([body.length, sha256(body)], [segment.bytes, segment.parts[0]], `${run}: ${segment.key}`)
        bodies.push(body)
      }
      assert.ok(zstdDecompressSync(Buffer.concat(bodies)).equals(dump), run)
      runs.push(run)
    }
    return runs
  }

  const relative = (key: string) => key.slice(layout.root.length)

  /** `expiresAt`, ms since the epoch: when the Job that wrote it is certainly over. */
  type Leftover = { readonly target: string; readonly slot: number; readonly expiresAt: number }

  async function open(store: ObjectStore, owner: Attempt, { target, slot, expiresAt }: Leftover) {
    const key = segmentKey(layout, owner, 'dump', 0)
    const manifest = relative(manifestKey(layout, target, slotAt(slot), owner.run))
    const metadata = { [dataMetadata.manifest]: manifest, [dataMetadata.expiresAt]: String(expiresAt) }
    return { key, uploadId: await store.createUpload(key, { metadata }) }
  }

  async function write(store: ObjectStore, owner: Attempt, of: Leftover, body: Buffer): Promise<string> {
    const { key, uploadId } = await open(store, owner, of)
    const part = await store.uploadPart(key, uploadId, 1, body)
    await store.completeUpload(key, uploadId, [part], body.length)
    return key
  }

  /** For retention to delete. It began after the mark was written, which each run here finds gone: otherwise nothing is pruned yet (R29). */
  async function makeGoodBackup(store: ObjectStore, of: Leftover) {
    const { target, slot, expiresAt } = of
    const began = new Date(expiresAt + week + hour).toISOString()
    const owner = { run: jobOf(slot), attempt: 'pod-0' }
    const key = await write(store, owner, of, stored)
    const segments = [{ key: relative(key), bytes: stored.length, parts: [sha256(stored)] }]
    const [bytes, storedBytes] = [dump.length, stored.length]
    const time = slotAt(slot).toISOString()
    const record: BackupRecord = {
      version: 2,
      trigger: 'scheduled',
      sizeCheck: 'compared',
      ...owner,
      jobUid: 'job-0',
      owner: taskFor(server, 'none').owner,
      target,
      slot: time,
      startedAt: began,
      finishedAt: began,
      artifacts: [
        {
          kind: 'stream',
          name: 'dump',
          codecs: ['zstd'],
          partBytes: 8 << 20,
          segments,
          bytes,
          sha256: sha256(dump),
          storedBytes,
        },
      ],
      commit: 'conditional',
      suspect: false,
      tools: {},
    }
    await store.put(manifestKey(layout, target, slotAt(slot), owner.run), Buffer.from(encodeBackupRecord(record)))
  }

  /** For the sweep: data without a manifest, an upload with a note of its id, and one whose opening nobody confirmed. */
  async function leaveBehind(store: ObjectStore, of: Leftover) {
    const { slot, expiresAt } = of
    await write(store, { run: jobOf(slot), attempt: 'pod-1' }, of, Buffer.from('half'))
    for (const attempt of ['pod-2', 'pod-3']) {
      const owner = { run: jobOf(slot), attempt }
      const { key, uploadId } = await open(store, owner, of)
      const known = attempt === 'pod-2' ? { uploadId } : {}
      const note = encodeUploadRecord({ key: relative(key), ...known, expiresAt })
      await store.put(uploadRecordKey(layout, owner, 0), note)
    }
  }
})

function sha256(body: Buffer): string {
  return createHash('sha256').update(body).digest('hex')
}
