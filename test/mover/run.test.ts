// The mover against real S3 servers, with the real helpers: what a good run leaves behind, and what the next one makes of it.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { after, before, describe, test } from 'node:test'
import { parseBackupRecord, type BackupRecord } from '../../src/api/record.ts'
import { runsDigest } from '../../src/api/mover/runs-digest.ts'
import type { ObjectStore } from '../../src/storage/object-store.ts'
import { openS3 } from '../../src/storage/s3/s3.ts'
import { jobOf, runPod, startPod, taskFor } from './backup-pod.ts'
import { s3ServerKinds, settingsOf, startS3Server, type S3Server } from '../storage/s3-servers.ts'

const secret = { 'root-user': 'minioadmin\n', 'root-password': 'minioadmin\n' }
const root = 'shop/orders/'
const sequence = (last: number) => ['sh', '-c', `seq 1 ${last}`]

for (const kind of s3ServerKinds) {
  describe(`the mover against ${kind}`, { timeout: 600_000, concurrency: 2 }, () => {
    let server: S3Server
    before(async () => {
      server = await startS3Server(kind)
    })
    after(() => server?.stop())

    async function recordOf(store: ObjectStore, manifest: string | undefined): Promise<BackupRecord> {
      return parseBackupRecord((await store.get(manifest ?? '', 1 << 20)).toString())
    }

    test('stores what the command writes, as a zstd file that the zstd program opens', async () => {
      const bucket = await server.makeBucket()
      const result = await runPod({ task: taskFor(server, bucket), secret, command: sequence(2_000_000) })
      assert.deepEqual([result.code, result.sourceCode], [0, 0], JSON.stringify(result))
      const plain = spawnSync('seq', ['1', '2000000'], { maxBuffer: 1 << 30 }).stdout
      const { message } = result
      assert.equal(message.phase, 'committed')
      assert.equal(message.bytes, plain.length)
      assert.equal(message.sha256, createHash('sha256').update(plain).digest('hex'))
      assert.equal(message.manifest, `${root}manifests/command/20261122T020000Z-${jobOf(0)}.json`)
      assert.deepEqual(message.kept, {
        count: 1,
        newest: jobOf(0),
        oldest: jobOf(0),
        digest: runsDigest([jobOf(0)]),
      })
      assert.deepEqual(message.deleted, [])
      assert.equal(message.warnings, undefined)

      const store = openS3(settingsOf(server, bucket))
      const record = await recordOf(store, message.manifest)
      assert.equal(record.commit, 'conditional')
      assert.equal(record.slot, '2026-11-22T02:00:00.000Z')
      const [segment] = record.artifacts[0]?.segments ?? []
      assert.ok(segment)
      const stored = await buffer(await store.read(`${root}${segment.key}`))
      assert.equal(createHash('sha256').update(stored).digest('hex'), segment.parts[0])
      assert.equal(message.storedBytes, stored.length)
      assert.ok(unzstd(stored).equals(plain))
      const { keys, uploads } = await server.contents(bucket)
      assert.deepEqual(uploads, [])
      assert.deepEqual([...keys].sort(), [`${root}${segment.key}`, message.manifest, `${root}owner.json`].sort())
      store.close()
    })

    test('passes the command line on untouched, and prefers the programs of the image to those of busybox', async () => {
      const bucket = await server.makeBucket()
      const words = ['', 'a b', '*', '$HOME', '`id`', '"', "'", '\\', 'ö\n', '--version']
      const command = ['printf', '<%s>', ...words]
      const { message } = await runPod({ task: taskFor(server, bucket), secret, command })
      assert.equal(
        message.sha256,
        createHash('sha256')
          .update(words.map(word => `<${word}>`).join(''))
          .digest('hex'),
      )
      const sort = await runPod({
        task: taskFor(server, bucket),
        secret,
        command: ['sort', '--version'],
        run: jobOf(1),
      })
      assert.equal(sort.message.bytes, spawnSync('sort', ['--version']).stdout.length)
    })

    test('keeps the credentials out of command lines, environments, logs and messages', async () => {
      const bucket = await server.makeBucket()
      const command = ['sh', '-c', 'seq 1 1000; while [ ! -e go ]; do sleep 0.05; done']
      const pod = await startPod({ task: taskFor(server, bucket), secret, command })
      await pod.reached(message => message.phase === 'receiving')
      const visible = [pod.mover, pod.source].flatMap(running => {
        const read = (file: string) => readFileSync(`/proc/${running?.process.pid}/${file}`, 'utf8')
        return [read('cmdline'), read('environ')]
      })
      writeFileSync(join(pod.directory, 'go'), '')
      const result = await pod.result()
      assert.equal(result.code, 0)
      assert.doesNotMatch(visible.join('\n') + JSON.stringify(result), /minioadmin/)
    })

    test('cuts an artifact into segments at the limit of parts; together they are one zstd file', async () => {
      const bucket = await server.makeBucket()
      const partBytes = 5 << 20
      const task = taskFor(server, bucket, { partBytes, maxParts: 2 })
      const command = ['sh', '-c', 'head -c 26000000 /dev/urandom | tee copy']
      const pod = await startPod({ task, secret, command })
      assert.equal(await pod.mover.ended, 0)
      const plain = readFileSync(join(pod.directory, 'copy'))
      const store = openS3(settingsOf(server, bucket))
      const { artifacts } = await recordOf(store, pod.message()?.manifest)
      const segments = artifacts[0]?.segments ?? []
      const folder = `data/${jobOf(0)}/${pod.attempt}`
      assert.deepEqual(
        segments.map(segment => segment.key),
        [`${folder}/dump.zst`, `${folder}/dump.zst.0001`, `${folder}/dump.zst.0002`],
      )
      const bodies = await Promise.all(segments.map(async ({ key }) => buffer(await store.read(`${root}${key}`))))
      for (const [index, body] of bodies.entries()) {
        const { bytes, parts } = segments[index] ?? assert.fail()
        assert.equal(body.length, bytes)
        const cut = parts.map((_, part) => body.subarray(part * partBytes, (part + 1) * partBytes))
        assert.deepEqual(
          cut.map(part => createHash('sha256').update(part).digest('hex')),
          parts,
        )
        assert.equal(Buffer.concat(cut).length, body.length)
      }
      const whole = Buffer.concat(bodies)
      assert.ok(unzstd(whole).equals(plain))
      writeFileSync(join(pod.directory, 'whole.zst'), whole)
      const listed = spawnSync('zstd', ['-l', '-v', join(pod.directory, 'whole.zst')])
      assert.match(listed.stdout.toString(), /# Zstandard Frames: 7\n# Skippable Frames: 1\n/)
      assert.match(listed.stdout.toString(), /Decompressed Size: .*\(26000000 B\)\nRatio: .*\nCheck: XXH64/)
      await pod.result()
      assert.deepEqual((await server.contents(bucket)).uploads, [])
      store.close()
    })

    test('finds the backup of an earlier attempt of its Job, and does not run the command again', async () => {
      const bucket = await server.makeBucket()
      const task = taskFor(server, bucket)
      const first = await runPod({ task, secret, command: sequence(1000) })
      const before = await server.contents(bucket)
      const pod = await startPod({ task, secret, command: ['sh', '-c', 'touch ran; echo other'] })
      const code = await pod.mover.ended
      assert.deepEqual([code, await pod.source?.ended], [0, 0])
      assert.equal(existsSync(join(pod.directory, 'ran')), false)
      const { message } = await pod.result()
      assert.deepEqual(
        [message.phase, message.sha256, message.bytes, message.finishedAt],
        ['committed', first.message.sha256, first.message.bytes, first.message.finishedAt],
      )
      assert.deepEqual(await server.contents(bucket), before)
    })

    test('never overwrites the backup of another Job of the same name (F18)', async () => {
      const bucket = await server.makeBucket()
      const task = taskFor(server, bucket)
      await runPod({ task, secret, command: sequence(1000) })
      const before = await server.contents(bucket)
      const result = await runPod({ task, secret, command: sequence(10), jobUid: 'another' })
      assert.deepEqual([result.code, result.message.reason], [22, 'RunExists'])
      assert.deepEqual(await server.contents(bucket), before)
    })

    test('with two attempts of one Job at once commits one, and both say so', async () => {
      const bucket = await server.makeBucket()
      const task = taskFor(server, bucket)
      const command = ['sh', '-c', 'seq 1 1000; while [ ! -e go ]; do sleep 0.05; done']
      const pods = [await startPod({ task, secret, command }), await startPod({ task, secret, command })]
      for (const pod of pods) await pod.reached(message => message.phase === 'receiving')
      for (const pod of pods) writeFileSync(join(pod.directory, 'go'), '')
      const results = await Promise.all(pods.map(pod => pod.result()))
      assert.deepEqual(
        results.map(({ code, message }) => [code, message.phase]),
        [
          [0, 'committed'],
          [0, 'committed'],
        ],
      )
      const { keys, uploads } = await server.contents(bucket)
      assert.deepEqual(uploads, [])
      assert.equal(keys.filter(key => key.startsWith(`${root}manifests/`)).length, 1)
      assert.equal(keys.filter(key => key.startsWith(`${root}data/`)).length, 1)
      const store = openS3(settingsOf(server, bucket))
      const record = await recordOf(store, results[0]?.message.manifest)
      assert.ok(keys.includes(`${root}${record.artifacts[0]?.segments[0]?.key}`))
      store.close()
    })

    test('keeps the newest backups and the held ones, and deletes the others with their data', async () => {
      const bucket = await server.makeBucket()
      for (const slot of [0, 1, 2, 3, 4]) {
        const task = taskFor(server, bucket, { retention: 2, held: [jobOf(0)] })
        const { message } = await runPod({ task, secret, command: sequence(1000 + slot), run: jobOf(slot) })
        const kept = [...(slot > 1 ? [jobOf(0)] : []), ...[slot - 1, slot].filter(kept => kept >= 0).map(jobOf)]
        assert.deepEqual(message.deleted, slot > 2 ? [jobOf(slot - 2)] : [])
        assert.deepEqual(message.kept, {
          count: new Set(kept).size,
          newest: jobOf(slot),
          oldest: jobOf(0),
          digest: runsDigest(new Set(kept)),
        })
      }
      const { keys } = await server.contents(bucket)
      const runs = keys.filter(key => key.startsWith(`${root}data/`)).map(key => key.split('/')[3])
      assert.deepEqual(runs.sort(), [jobOf(0), jobOf(3), jobOf(4)])
      assert.equal(keys.filter(key => key.startsWith(`${root}manifests/`)).length, 3)
    })

    test('does not prune after a backup that shrank, until somebody accepts it', async () => {
      const bucket = await server.makeBucket()
      const run = (slot: number, last: number, change: { retention: number; accepted?: string[] }) =>
        runPod({ task: taskFor(server, bucket, change), secret, command: sequence(last), run: jobOf(slot) })
      await run(0, 300_000, { retention: 2 })
      await run(1, 300_000, { retention: 2 })
      const shrunk = await run(2, 10, { retention: 1 })
      assert.deepEqual([shrunk.message.phase, shrunk.message.suspect], ['committed', true])
      assert.deepEqual(
        shrunk.message.warnings?.map(({ reason }) => reason),
        ['Suspect', 'RetentionPaused'],
      )
      assert.equal(shrunk.message.kept?.count, 3)
      assert.deepEqual(shrunk.message.deleted, [])
      const accepted = await run(3, 11, { retention: 1, accepted: [jobOf(2)] })
      assert.equal(accepted.message.suspect, false)
      assert.deepEqual(accepted.message.deleted, [jobOf(0), jobOf(1), jobOf(2)])
    })

    test('pages the catalog through its messages', async () => {
      const bucket = await server.makeBucket()
      const template = taskFor(server, bucket)
      const first = await runPod({ task: template, secret, command: sequence(10) })
      const store = openS3(settingsOf(server, bucket))
      const record = await recordOf(store, first.message.manifest)
      for (let slot = 1; slot < 30; slot++) {
        const time = new Date(Date.parse(record.slot) + slot * 60_000).toISOString()
        const segments = [{ key: `data/${jobOf(slot)}/a/dump.zst`, bytes: 1, parts: ['0'.repeat(64)] }]
        const artifacts = record.artifacts.map(artifact => ({ ...artifact, segments }))
        const body = { ...record, run: jobOf(slot), attempt: 'a', slot: time, artifacts }
        const key = `${root}manifests/command/${time.replace(/[-:]|\.\d+/g, '')}-${jobOf(slot)}.json`
        await store.put(key, Buffer.from(JSON.stringify(body)))
      }
      const { owner, backend, secretName } = template
      const runs: string[] = []
      let pages = 0
      let cursor: string | undefined
      do {
        const task = {
          version: 1 as const,
          kind: 'catalog' as const,
          owner,
          backend,
          secretName,
          target: 'command',
          cursor,
        }
        const { code, message } = await runPod({ task, secret, run: `catalog-${pages}` })
        assert.deepEqual([code, message.phase], [0, 'done'])
        assert.ok(Buffer.byteLength(JSON.stringify(message)) <= 3_500)
        runs.push(...(message.catalog?.entries ?? []).map(entry => entry.run))
        cursor = message.catalog?.next
        pages++
      } while (cursor)
      assert.deepEqual(
        runs,
        Array.from({ length: 30 }, (_, slot) => jobOf(slot)),
      )
      assert.ok(pages > 1)
      store.close()
    })

    test('a probe writes, reads, lists and deletes, and leaves only the mark of the owner', async () => {
      const bucket = await server.makeBucket()
      const { owner, backend, secretName } = taskFor(server, bucket)
      const task = { version: 1 as const, kind: 'probe' as const, owner, backend, secretName }
      const { code, message } = await runPod({ task, secret, run: 'probe-1' })
      assert.deepEqual([code, message.phase], [0, 'done'], JSON.stringify(message))
      assert.deepEqual(message.probe, {
        conditionalPut: true,
        canList: true,
        canDelete: true,
        mode: 'no checksum headers, bucket in the path, region us-east-1',
      })
      assert.deepEqual(await server.contents(bucket), { keys: [`${root}owner.json`], uploads: [] })
    })
  })
}

function unzstd(stored: Buffer): Buffer {
  const opened = spawnSync('zstd', ['-d', '-c'], { input: stored, maxBuffer: 1 << 30 })
  assert.equal(opened.status, 0, opened.stderr.toString())
  return opened.stdout
}
