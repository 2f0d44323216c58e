// The mover against real S3 servers, with the real helpers: what every end of a dump leaves behind.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { buffer } from 'node:stream/consumers'
import { after, before, describe, test } from 'node:test'
import { parseBackupRecord } from '../src/api/backup-record.ts'
import { openS3 } from '../src/storage/s3.ts'
import { jobOf, runPod, taskFor } from './backup-pod.ts'
import { s3ServerKinds, settingsOf, startS3Server, type S3Server } from './s3-servers.ts'

const secret = { 'root-user': 'minioadmin\n', 'root-password': 'minioadmin\n' }
const root = 'shop/orders/'

for (const kind of s3ServerKinds) {
  describe(`the mover against ${kind}`, { timeout: 120_000 }, () => {
    let server: S3Server
    before(async () => {
      server = await startS3Server(kind)
    })
    after(() => server?.stop())

    test('stores what the command writes, as a zstd file that the zstd program opens', async () => {
      const bucket = await server.makeBucket()
      const command = ['sh', '-c', 'seq 1 2000000']
      const result = await runPod({ task: taskFor(server, bucket), secret, command })
      assert.equal(result.code, 0, JSON.stringify(result))
      assert.equal(result.sourceCode, 0)
      const plain = spawnSync('seq', ['1', '2000000'], { maxBuffer: 1 << 30 }).stdout
      const digest = createHash('sha256').update(plain).digest('hex')
      const { message } = result
      assert.equal(message.phase, 'committed')
      assert.equal(message.bytes, plain.length)
      assert.equal(message.sha256, digest)
      assert.equal(message.manifest, `${root}manifests/command/20261122T020000Z-${jobOf(0)}.json`)

      const store = openS3(settingsOf(server, bucket))
      const record = parseBackupRecord((await store.get(message.manifest ?? '', 1 << 20)).toString())
      const [segment] = record.artifacts[0]?.segments ?? []
      assert.ok(segment)
      const stored = await buffer(await store.read(`${root}${segment.key}`))
      assert.equal(createHash('sha256').update(stored).digest('hex'), segment.sha256)
      const opened = spawnSync('zstd', ['-d', '-c'], { input: stored, maxBuffer: 1 << 30 })
      assert.equal(opened.status, 0, opened.stderr.toString())
      assert.ok(opened.stdout.equals(plain))
      const { keys, uploads } = await server.contents(bucket)
      assert.deepEqual(uploads, [])
      assert.deepEqual([...keys].sort(), [`${root}${segment.key}`, message.manifest, `${root}owner.json`].sort())
      store.close()
    })
  })
}
