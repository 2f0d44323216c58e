// What is told of a backup is worth less than the backup: a log that breaks once the manifest is there, against real S3 servers.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { parseBackupRecord } from '../../src/api/record.ts'
import { openS3 } from '../../src/storage/s3/s3.ts'
import { runPod, taskFor } from './backup-pod.ts'
import { s3ServerKinds, settingsOf, startS3Server, type S3Server } from '../storage/s3-servers.ts'

const secret = { 'root-user': 'minioadmin\n', 'root-password': 'minioadmin\n' }

for (const kind of s3ServerKinds.slice(0, 1))
  describe(`F12: a log that breaks, against ${kind}`, { timeout: 120_000 }, () => {
    let server: S3Server
    before(async () => {
      server = await startS3Server(kind)
    })
    after(() => server?.stop())

    test('once the manifest is written costs the backup none of its data', async () => {
      const bucket = await server.makeBucket()
      let broken = 0
      const logs = (line: string) => !line.includes('"phase":"committed"') || broken++ > 0
      const task = taskFor(server, bucket)
      const { code, message } = await runPod({ task, secret, command: ['seq', '9'], logs })
      const store = openS3(settingsOf(server, bucket))
      const { keys } = await server.contents(bucket)
      const manifest = keys.find(key => key.includes('/manifests/')) ?? assert.fail(keys.join())
      const { artifacts } = parseBackupRecord((await store.get(manifest, 1 << 20)).toString())
      store.close()
      for (const { key } of artifacts.flatMap(({ segments }) => segments))
        assert.ok(keys.includes(`shop/orders/${key}`), `${key} is gone: ${keys.join()}`)
      assert.ok(broken > 0)
      assert.deepEqual([code, message.phase, message.manifest], [0, 'committed', manifest])
      assert.deepEqual(
        message.warnings?.map(({ reason }) => reason),
        ['RetentionIncomplete'],
      )
    })
  })
