/** The contract of `object-store.ts` as a suite: memory, every wrapper and every real server run the same one. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { buffer } from 'node:stream/consumers'
import { after, before, describe, test } from 'node:test'
import type { CompletedPart, ObjectInfo, ObjectStore } from './object-store.ts'
import { isStoreError, type StoreErrorReason } from './store-error.ts'

const partBytes = 5 << 20

/** `open` gives an empty store; it is closed at the end. */
export function describeObjectStore(name: string, open: () => Promise<ObjectStore>) {
  describe(`the object store: ${name}`, () => {
    let store: ObjectStore
    before(async () => {
      store = await open()
    })
    after(() => store.close())

    test('gives back what was put, byte by byte, and replaces it', async () => {
      await store.put('a/b.json', Buffer.from('first'))
      const body = randomBytes(70_000)
      await store.put('a/b.json', body)
      assert.deepEqual(await store.get('a/b.json', 100_000), body)
      assert.deepEqual(await buffer(await store.read('a/b.json')), body)
      assert.equal((await store.head('a/b.json'))?.bytes, 70_000)
    })

    test('gives exactly the bytes of a range, and says when the object has not all of them', async () => {
      const body = randomBytes(70_000)
      await store.put('ranges', body)
      for (const [start, end] of [
        [0, 70_000],
        [0, 1],
        [69_999, 70_000],
        [30_000, 66_000],
      ] as const) {
        const bytes = await buffer(await store.read('ranges', { range: { start, end } }))
        assert.ok(bytes.equals(body.subarray(start, end)), `${start} to ${end}`)
      }
      for (const range of [
        { start: 0, end: 70_001 },
        { start: 69_999, end: 70_002 },
        { start: 70_000, end: 70_001 },
        { start: 90_000, end: 90_010 },
      ])
        await rejects(store.read('ranges', { range }), 'RangeNotSatisfiable')
      await store.put('no bytes', Buffer.alloc(0))
      await rejects(store.read('no bytes', { range: { start: 0, end: 1 } }), 'RangeNotSatisfiable')
      await rejects(store.read('nothing', { range: { start: 0, end: 1 } }), 'NotFound')
    })

    test('gives a stream up that nobody reads to its end', async () => {
      await store.put('long', Buffer.alloc(4 << 20))
      const stream = await store.read('long')
      stream.destroy()
      assert.equal((await store.head('long'))?.bytes, 4 << 20)
    })

    test('says of a look when it was, by the clock of the store', async () => {
      await store.put('looked at', Buffer.from('x'))
      const head = await store.head('looked at')
      // A second is cut off in a header of HTTP.
      assert.ok(Math.abs((head?.answeredAt ?? 0) - Date.now()) < 10_000)
    })

    test('looks at an object without bytes', async () => {
      await store.put('empty', Buffer.alloc(0))
      assert.equal((await store.head('empty'))?.bytes, 0)
      assert.equal((await store.get('empty', 10)).length, 0)
    })

    test('says what is not there', async () => {
      await rejects(store.get('nothing', 10), 'NotFound')
      await rejects(store.read('nothing'), 'NotFound')
      assert.equal(await store.head('nothing'), undefined)
    })

    test('refuses to load an object that is larger than expected', async () => {
      await store.put('large', Buffer.alloc(1001))
      await rejects(store.get('large', 1000), 'StoreRejected')
      assert.equal((await store.get('large', 1001)).length, 1001)
    })

    test('creates an absent object once, whoever else tries at the same time', async () => {
      const tries = await Promise.all(
        ['a', 'b', 'c', 'd'].map(async text => ({ text, result: await store.putIfAbsent('once', Buffer.from(text)) })),
      )
      const created = tries.filter(({ result }) => result === 'created')
      assert.equal(created.length, 1)
      assert.equal(await store.putIfAbsent('once', Buffer.from('late')), 'exists')
      assert.equal(String(await store.get('once', 10)), created[0]?.text)
    })

    test('replaces an object only while it is the one that was read', async () => {
      await store.put('mark', Buffer.from('first'))
      const { body, etag } = await store.getTagged('mark', 10)
      assert.equal(String(body), 'first')
      const tries = await Promise.all(
        ['a', 'b', 'c'].map(text => store.replaceIfUnchanged('mark', Buffer.from(text), etag)),
      )
      assert.deepEqual(tries.toSorted(), ['changed', 'changed', 'replaced'])
      assert.equal(String(await store.get('mark', 10)), ['a', 'b', 'c'][tries.indexOf('replaced')])
      await store.delete(['mark'])
      assert.equal(await store.replaceIfUnchanged('mark', Buffer.from('late'), etag), 'changed')
      await rejects(store.getTagged('mark', 10), 'NotFound')
    })

    test('lists what begins with a prefix, in the order of keys, and after a key', async () => {
      const keys = Array.from({ length: 12 }, (_, index) => `list/${String(index).padStart(2, '0')}`)
      for (const key of keys.toReversed()) await store.put(key, Buffer.from(key))
      await store.put('listing/00', Buffer.from('x'))
      assert.deepEqual(await keysOf(store.list('list/')), keys)
      assert.deepEqual(await keysOf(store.list('list/', { after: 'list/07' })), keys.slice(8))
      assert.deepEqual(await keysOf(store.list('list/', { after: 'list/11' })), [])
      assert.deepEqual(await keysOf(store.list('no such prefix/')), [])
      const [first] = await Array.fromAsync(store.list('list/'))
      assert.equal(first?.bytes, 'list/00'.length)
      assert.ok(Math.abs((first?.modifiedAt ?? 0) - Date.now()) < 60_000)
    })

    test('deletes, and does not mind what is gone already', async () => {
      await store.put('gone/1', Buffer.from('x'))
      await store.put('gone/2', Buffer.from('x'))
      await store.delete(['gone/1', 'gone/0', 'gone/2'])
      assert.deepEqual(await keysOf(store.list('gone/')), [])
      await store.delete([])
    })

    test('shows an upload only when it is complete, with its parts in order and its metadata', async () => {
      const key = 'uploads/whole'
      const uploadId = await store.createUpload(key, { metadata: { manifest: 'a/b.json' } })
      const parts = [randomBytes(partBytes), randomBytes(partBytes), randomBytes(17)]
      const sent: CompletedPart[] = []
      for (const number of [2, 1, 3, 2])
        sent[number - 1] = await store.uploadPart(key, uploadId, number, bodyOf(parts, number))
      assert.equal(await store.head(key), undefined)
      assert.deepEqual(await store.listUploads(key), [uploadId])
      await store.completeUpload(key, uploadId, sent, 2 * partBytes + 17)
      const head = await store.head(key)
      assert.equal(head?.bytes, 2 * partBytes + 17)
      assert.equal(head?.metadata.manifest, 'a/b.json')
      assert.ok(Buffer.concat(parts).equals(await buffer(await store.read(key))))
      assert.deepEqual(await store.listUploads(key), [])
    })

    test('leaves nothing of an upload that was aborted, and does not mind a second abort', async () => {
      const key = 'uploads/aborted'
      const uploadId = await store.createUpload(key)
      const part = await store.uploadPart(key, uploadId, 1, randomBytes(1000))
      await store.abortUpload(key, uploadId)
      await store.abortUpload(key, uploadId)
      assert.equal(await store.head(key), undefined)
      assert.deepEqual(await store.listUploads(key), [])
      await rejects(store.completeUpload(key, uploadId, [part], 1000), 'NotFound')
    })

    test('does not take an upload for complete whose size is not what was sent', async () => {
      const key = 'uploads/short'
      const uploadId = await store.createUpload(key)
      const part = await store.uploadPart(key, uploadId, 1, randomBytes(1000))
      await assert.rejects(store.completeUpload(key, uploadId, [part], 2000), error => isStoreError(error))
      await store.abortUpload(key, uploadId)
    })

    test('takes a completion that is asked for twice for the success that it is', async () => {
      const key = 'uploads/twice'
      const uploadId = await store.createUpload(key)
      const part = await store.uploadPart(key, uploadId, 1, randomBytes(1000))
      await store.completeUpload(key, uploadId, [part], 1000)
      await store.completeUpload(key, uploadId, [part], 1000)
    })

    test('stops with the reason of the signal', async () => {
      const reason = new Error('told to stop')
      const signal = AbortSignal.abort(reason)
      await assert.rejects(store.put('stopped', Buffer.from('x'), signal), reason)
      await assert.rejects(store.createUpload('stopped', { signal }), reason)
      await assert.rejects(store.read('ranges', { range: { start: 0, end: 1 }, signal }), reason)
      await assert.rejects(keysOf(store.list('a', { signal })), reason)
      assert.equal(await store.head('stopped'), undefined)
    })
  })
}

function bodyOf(parts: readonly Buffer[], number: number): Buffer {
  return parts[number - 1] ?? Buffer.alloc(0)
}

async function keysOf(objects: AsyncIterable<ObjectInfo>): Promise<readonly string[]> {
  return (await Array.fromAsync(objects)).map(object => object.key)
}

async function rejects(promise: Promise<unknown>, reason: StoreErrorReason) {
  await assert.rejects(promise, error => isStoreError(error, reason))
}
