import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { describeObjectStore } from '../../src/storage/object-store.contract.ts'
import { withRetries } from '../../src/storage/retry.ts'
import { openBucket, s3ServerKinds, startS3Server, type S3Server } from './s3-servers.ts'

for (const kind of s3ServerKinds) {
  describe(`against ${kind}`, () => {
    let server: S3Server
    before(async () => {
      server = await startS3Server(kind)
    })
    after(() => server?.stop())
    describeObjectStore(kind, () => openBucket(server))

    test('a list goes on over its pages', { timeout: 60_000 }, async () => {
      const store = await openBucket(server)
      const keys = Array.from({ length: 1_003 }, (_, index) => `many/${String(index).padStart(4, '0')}`)
      const waiting = [...keys]
      const put = async () => {
        for (let key = waiting.pop(); key !== undefined; key = waiting.pop()) await store.put(key, Buffer.from('x'))
      }
      await Promise.all(Array.from({ length: 8 }, put))
      const listed = await Array.fromAsync(store.list('many/'))
      assert.deepEqual(
        listed.map(object => object.key),
        keys,
      )
      store.close()
    })

    describeObjectStore(`${kind} with retries`, async () => withRetries(await openBucket(server), { budgetMs: 5_000 }))
  })
}
