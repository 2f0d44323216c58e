// What a store's answer proves, and what it does not: proxies, web pages and half-truths in between.
import assert from 'node:assert/strict'
import { buffer } from 'node:stream/consumers'
import { after, before, describe, test } from 'node:test'
import { openS3 } from '../../src/storage/s3/s3.ts'
import { withRetries } from '../../src/storage/retry.ts'
import { isStoreError, type StoreErrorReason } from '../../src/storage/store-error.ts'
import { startFaultProxy, type Fault, type FaultProxy } from './s3-fault-proxy.ts'
import { s3ServerKinds, settingsOf, startS3Server, type S3Server } from './s3-servers.ts'

const reason =
  (...reasons: readonly StoreErrorReason[]) =>
  (error: unknown) =>
    isStoreError(error, ...reasons)

/** 404 without the word: what proxies, ingresses and load balancers say of a store that they have lost. */
const bare404s: Readonly<Record<string, Fault>> = {
  'an empty 404': { kind: 'answer', status: 404 },
  'a 404 of HTML': { kind: 'answer', status: 404, type: 'text/html', body: '<html><body>404<br></body></html>' },
  'a 404 of plain text': { kind: 'answer', status: 404, type: 'text/plain', body: 'default backend - 404' },
  'a 404 of JSON': { kind: 'answer', status: 404, type: 'application/json', body: '{"error":"not found"}' },
  'a 404 with another code': { kind: 'refuse', status: 404, code: 'NoSuchService' },
}

for (const kind of s3ServerKinds) {
  describe(`answers of ${kind}`, { timeout: 60_000 }, () => {
    let server: S3Server
    const proxies: FaultProxy[] = []
    before(async () => {
      server = await startS3Server(kind)
    })
    after(async () => {
      await Promise.all(proxies.map(proxy => proxy.stop()))
      await server?.stop()
    })

    /** A store that has answered before, with one object. */
    async function setUp() {
      const proxy = await startFaultProxy(server.endpoint)
      proxies.push(proxy)
      const settings = { ...settingsOf(server, await server.makeBucket()), endpoint: proxy.endpoint }
      const store = openS3(settings)
      await store.put('there', Buffer.from('12345'))
      return { proxy, store, settings }
    }

    for (const [name, fault] of Object.entries(bare404s)) {
      test(`F59: ${name} is not the absence of an object, nor of an upload`, async () => {
        const { proxy, store } = await setUp()
        for (const verb of ['get', 'head', 'abortUpload', 'delete'] as const) proxy.fail(verb, fault)
        const wrong = reason('StoreUnavailable', 'StoreRejected')
        await assert.rejects(store.get('there', 10), wrong)
        await assert.rejects(store.read('there'), wrong)
        await assert.rejects(store.head('there'), wrong)
        await assert.rejects(store.delete(['there']), wrong)
        const uploadId = await store.createUpload('upload')
        await assert.rejects(store.abortUpload('upload', uploadId), wrong)
        store.close()
      })
    }

    test('an answer with other bytes than those of the range is an error, and so is one that ends too early', async () => {
      const { proxy, settings } = await setUp()
      const store = openS3({ ...settings, idleTimeoutMs: 500 })
      const unavailable = reason('StoreUnavailable')
      const range = { start: 1, end: 3 }
      const read = async () => buffer(await store.read('there', { range }))
      assert.equal(String(await read()), '23')
      for (const contentRange of [undefined, 'bytes 2-3/5', 'bytes 1-1/5', 'bytes 1-2/*x'] as const) {
        proxy.fail('get', { kind: 'other-range', contentRange }, { times: 1 })
        await assert.rejects(read(), unavailable)
      }
      for (const kind of ['cut-reply', 'stall-reply'] as const) {
        proxy.fail('get', { kind }, { times: 1 })
        await assert.rejects(read(), unavailable)
      }
      assert.equal(String(await read()), '23')
      store.close()
    })

    test('streams that nobody reads hold no connection', async () => {
      const { store } = await setUp()
      // More than there are connections.
      for (let count = 0; count < 20; count++) (await store.read('there')).destroy()
      assert.equal(String(await buffer(await store.read('there'))), '12345')
      store.close()
    })

    test('F59: a 404 of HEAD proves nothing: the object that a read finds is there', async () => {
      const { proxy, store } = await setUp()
      proxy.fail('head', { kind: 'answer', status: 404 })
      assert.deepEqual([(await store.head('there'))?.bytes, await store.head('nothing')], [5, undefined])
      store.close()
    })

    test('F59: what only HEAD sees is there, whatever a read says', async () => {
      const { proxy, store } = await setUp()
      proxy.fail('get', { kind: 'refuse', status: 404, code: 'NoSuchKey' })
      assert.equal((await store.head('there'))?.bytes, 5)
      store.close()
    })

    test('a HEAD that is refused is asked again as a read, which has words', async () => {
      const { proxy, store } = await setUp()
      proxy.fail('head', { kind: 'refuse', status: 403, code: 'AccessDenied' })
      await store.put('empty', Buffer.alloc(0))
      assert.deepEqual([(await store.head('there'))?.bytes, (await store.head('empty'))?.bytes], [5, 0])
      proxy.fail('get', { kind: 'refuse', status: 403, code: 'AccessDenied' })
      await assert.rejects(store.head('there'), reason('AccessDenied'))
      store.close()
    })

    test('F59: what is in between on a bad day is waited for', async () => {
      const { proxy, store } = await setUp()
      const patient = withRetries(store, { budgetMs: 10_000, firstDelayMs: 1 })
      for (const fault of Object.values(bare404s).slice(0, 4)) proxy.fail('get', fault, { times: 1 })
      proxy.fail('get', { kind: 'html' }, { times: 1 })
      assert.equal(String(await patient.get('there', 10)), '12345')
      store.close()
    })

    test('F98: what never spoke S3 is InvalidEndpoint, whatever it answers', async () => {
      const { proxy, settings } = await setUp()
      const answers: readonly Fault[] = [
        ...Object.values(bare404s).slice(0, 4),
        { kind: 'html' },
        { kind: 'answer', status: 200 },
        { kind: 'answer', status: 405 },
        { kind: 'answer', status: 400, type: 'text/html', body: '<html><body>no<br></body></html>' },
        { kind: 'answer', status: 403, type: 'text/html', body: '<html><body>no</body></html>' },
        { kind: 'answer', status: 302, type: 'text/html', body: '<html><body>log in</body></html>' },
      ]
      for (const answer of answers) {
        const store = openS3(settings)
        for (const verb of ['put', 'createUpload', 'list'] as const) proxy.fail(verb, answer, { times: 1 })
        await assert.rejects(store.put('x', Buffer.from('x')), reason('InvalidEndpoint'), JSON.stringify(answer))
        await assert.rejects(store.createUpload('x'), reason('InvalidEndpoint'), JSON.stringify(answer))
        await assert.rejects(Array.fromAsync(store.list('')), reason('InvalidEndpoint'), JSON.stringify(answer))
        store.close()
      }
    })

    test('F12: an upload may be open after a lost reply and every 5xx of a fault, and is not after a refusal', async () => {
      const { proxy, store, settings } = await setUp()
      const rows: readonly [Fault, inDoubt: boolean][] = [
        [{ kind: 'lose-reply' }, true],
        [{ kind: 'cut-reply' }, true],
        [{ kind: 'reset' }, true],
        [{ kind: 'answer', status: 200 }, true],
        [{ kind: 'error-in-200', code: 'InternalError' }, true],
        [{ kind: 'refuse', status: 500, code: 'InternalError' }, true],
        [{ kind: 'answer', status: 500 }, true],
        [{ kind: 'answer', status: 502, type: 'text/html', body: '<html><body>502<br></body></html>' }, true],
        [{ kind: 'answer', status: 503 }, true],
        [{ kind: 'answer', status: 504 }, true],
        [{ kind: 'refuse', status: 507, code: 'XMinioStorageFull' }, false],
        [{ kind: 'refuse', status: 501, code: 'NotImplemented' }, false],
        [{ kind: 'refuse', status: 403, code: 'AccessDenied' }, false],
        [{ kind: 'refuse', status: 400, code: 'RequestTimeout' }, false],
        [{ kind: 'answer', status: 429 }, false],
        [{ kind: 'answer', status: 404 }, false],
        [{ kind: 'redirect', to: 'http://127.0.0.1:1/there' }, false],
      ]
      for (const [fault, inDoubt] of rows) {
        proxy.fail('createUpload', fault, { times: 1 })
        await assert.rejects(
          store.createUpload('upload'),
          error => isStoreError(error) && error.perhapsObeyed === inDoubt,
          JSON.stringify(fault),
        )
      }
      store.close()
      const nobody = openS3({ ...settings, endpoint: 'http://127.0.0.1:1' })
      await assert.rejects(nobody.createUpload('upload'), error => isStoreError(error) && !error.perhapsObeyed)
      nobody.close()
    })

    test('a proxy that refuses large requests is not taken for a wrong endpoint', async () => {
      const { proxy, store } = await setUp()
      proxy.fail('put', { kind: 'answer', status: 413, type: 'text/html', body: '<html><body>413</body></html>' })
      await assert.rejects(
        store.put('x', Buffer.from('x')),
        error => isStoreError(error, 'StoreRejected') && /a proxy before the store/.test(error.message),
      )
      store.close()
    })

    test('F62: an archived object has a reason of its own', async () => {
      const { proxy, store } = await setUp()
      proxy.fail('get', { kind: 'refuse', status: 403, code: 'InvalidObjectState' })
      await assert.rejects(store.get('there', 10), reason('ObjectArchived'))
      await assert.rejects(store.read('there'), reason('ObjectArchived'))
      assert.equal((await store.head('there'))?.bytes, 5)
      store.close()
    })

    test('an expired token has a reason of its own, also where HEAD cannot say it', async () => {
      const { proxy, store } = await setUp()
      for (const verb of ['get', 'head'] as const)
        proxy.fail(verb, { kind: 'refuse', status: 400, code: 'ExpiredToken' })
      await assert.rejects(store.get('there', 10), reason('CredentialsExpired'))
      await assert.rejects(store.head('there'), reason('CredentialsExpired'))
      store.close()
    })

    const page = (keys: readonly string[], more = '') =>
      `<?xml version="1.0"?><ListBucketResult><Name>b</Name>${keys.map(key => `<Contents><Key>${key}</Key><Size>1</Size></Contents>`).join('')}<IsTruncated>${more !== ''}</IsTruncated>${more && `<NextContinuationToken>${more}</NextContinuationToken>`}</ListBucketResult>`
    const listing = (body: string): Fault => ({ kind: 'answer', status: 200, type: 'application/xml', body })

    test('F74: a store that gives the same page again and again is refused, not listed for ever', async () => {
      const { proxy, store } = await setUp()
      proxy.fail('list', listing(page(['a', 'b'], 'token-1')), { times: 1 })
      proxy.fail('list', listing(page(['a', 'b'], 'token-2')))
      await assert.rejects(Array.fromAsync(store.list('')), reason('StoreRejected'))
      store.close()
    })

    test('F74: a store that does not get on with its pages is refused', async () => {
      const { proxy, store } = await setUp()
      proxy.fail('list', listing(page([], 'token')))
      await assert.rejects(Array.fromAsync(store.list('')), reason('StoreRejected'))
      store.close()
    })

    test('F74: what lies outside the question is not listed, whatever the store answers', async () => {
      const { proxy, store } = await setUp()
      proxy.fail('list', listing(page(['a/1', 'a/2', 'a/3', 'b/1'])))
      const keys = (await Array.fromAsync(store.list('a/', { after: 'a/1' }))).map(({ key }) => key)
      assert.deepEqual(keys, ['a/2', 'a/3'])
      store.close()
    })

    test('an answer of nothing at all is not an empty list', async () => {
      const { proxy, store } = await setUp()
      proxy.fail('list', listing(''))
      await assert.rejects(Array.fromAsync(store.list('')), reason('StoreUnavailable'))
      store.close()
    })
  })
}

describe('versions', { timeout: 60_000 }, () => {
  let server: S3Server
  before(async () => {
    server = await startS3Server('minio')
  })
  after(() => server?.stop())

  test('F70: are seen, with and without a lifecycle rule that removes them', async () => {
    for (const [options, keeps] of [
      [{}, false],
      [{ versioned: true }, true],
      [{ versioned: true, expiresVersions: '' }, false],
      [{ versioned: true, expiresVersions: 'shop/' }, false],
      [{ versioned: true, expiresVersions: 'logs/' }, true],
    ] as const) {
      const store = openS3(settingsOf(server, await server.makeBucket(options)))
      assert.equal(await store.keepsDeleted('shop/orders/'), keeps, JSON.stringify(options))
      store.close()
    }
  })

  test('F70: are not known to those who may not ask', async () => {
    const proxy = await startFaultProxy(server.endpoint)
    const store = openS3({
      ...settingsOf(server, await server.makeBucket({ versioned: true })),
      endpoint: proxy.endpoint,
    })
    for (const [status, code] of [
      [403, 'AccessDenied'],
      [501, 'NotImplemented'],
      [503, 'SlowDown'],
    ] as const) {
      proxy.fail('get', { kind: 'refuse', status, code }, { times: 1 })
      assert.equal(await store.keepsDeleted('shop/orders/'), undefined)
    }
    store.close()
    await proxy.stop()
  })
})
