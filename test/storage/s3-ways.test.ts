// Stores want to be spoken to in different ways: what a policy leaves open is found out, and what it says wrongly is told.
import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { Agent as HttpAgent } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import type { LookupFunction } from 'node:net'
import { after, before, describe, test } from 'node:test'
import type { S3ClientConfig } from '@aws-sdk/client-s3'
import { describeObjectStore } from '../../src/storage/object-store.contract.ts'
import { openS3, type S3Settings } from '../../src/storage/s3/s3.ts'
import { isStoreError, type StoreErrorReason } from '../../src/storage/store-error.ts'
import { startFaultProxy, type Fault, type FaultProxy, type S3Verb } from './s3-fault-proxy.ts'
import { s3ServerKinds, settingsOf, startS3Server, type S3Server } from './s3-servers.ts'

const domain = 's3.test'
/** Brings every name to the servers of this test. */
const lookup: LookupFunction = (_name, options, found) =>
  options.all ? found(null, [{ address: '127.0.0.1', family: 4 }]) : found(null, '127.0.0.1', 4)
const resolved: S3ClientConfig = {
  requestHandler: { httpAgent: new HttpAgent({ lookup }), httpsAgent: new HttpsAgent({ lookup }) },
}
const bodies: readonly S3Verb[] = ['put', 'uploadPart']

const refused = (reason: StoreErrorReason, message: RegExp) => (error: unknown) =>
  isStoreError(error, reason) && message.test(error.message)

for (const kind of s3ServerKinds) {
  describe(`the ways of ${kind}`, { timeout: 120_000 }, () => {
    let server: S3Server
    const proxies: FaultProxy[] = []
    before(async () => {
      server = await startS3Server(kind, { domain })
    })
    after(async () => {
      await Promise.all(proxies.map(proxy => proxy.stop()))
      await server?.stop()
    })

    async function behind(fault: Fault, verbs: readonly S3Verb[] = bodies) {
      const proxy = await startFaultProxy(server.endpoint)
      proxies.push(proxy)
      for (const verb of verbs) proxy.fail(verb, fault)
      return { proxy, settings: { ...settingsOf(server, await server.makeBucket()), endpoint: proxy.endpoint } }
    }

    /** As for AWS, whatever that does to requests; only the address is another. */
    const asForAws = async (): Promise<Parameters<typeof openS3>> => {
      const { endpoint, ...settings } = settingsOf(server, await server.makeBucket())
      return [settings, { endpoint }]
    }
    describeObjectStore(`${kind}, as without an endpoint (F61)`, async () => openS3(...(await asForAws())))

    test('F61: without an endpoint the upload names its algorithm, and the completion the checksum of each part', async () => {
      const proxy = await startFaultProxy(server.endpoint)
      proxies.push(proxy)
      const [settings] = await asForAws()
      const store = openS3(settings, { endpoint: proxy.endpoint })
      const uploadId = await store.createUpload('key')
      const part = await store.uploadPart('key', uploadId, 1, Buffer.from('123456789'))
      // The check value of CRC-32.
      assert.equal(part.crc32, Buffer.from('cbf43926', 'hex').toString('base64'))
      await store.completeUpload('key', uploadId, [part], 9)
      const headersOf = (verb: S3Verb) => proxy.headers[proxy.requests.indexOf(`${verb} key`)]
      assert.equal(headersOf('createUpload')?.['x-amz-checksum-algorithm'], 'CRC32')
      assert.equal(headersOf('uploadPart')?.['x-amz-checksum-crc32'], part.crc32)
      // Had the completion named another one, or none, this server would have refused it.
      const again = await store.createUpload('other')
      const sent = await store.uploadPart('other', again, 1, Buffer.from('123456789'))
      await assert.rejects(store.completeUpload('other', again, [{ ...sent, crc32: 'AAAAAA==' }], 9), error =>
        isStoreError(error),
      )
      await store.abortUpload('other', again)
      store.close()
    })

    test('a digest of a part that is given is what the request is signed with, and is not computed again', async () => {
      const { proxy, settings } = await behind({ kind: 'reset' }, [])
      const store = openS3(settings)
      const body = Buffer.from('123456789')
      const uploadId = await store.createUpload('key')
      const sha256 = hash('sha256', body)
      const part = await store.uploadPart('key', uploadId, 1, body, undefined, sha256)
      assert.equal(proxy.headers[proxy.requests.indexOf('uploadPart key')]?.['x-amz-content-sha256'], sha256)
      // Whoever computes it finds that it is another.
      const wrong = hash('sha256', 'other')
      await assert.rejects(store.uploadPart('key', uploadId, 2, body, undefined, wrong), error => isStoreError(error))
      await store.completeUpload('key', uploadId, [part], 9)
      store.close()
    })

    for (const [checksum, headers] of [
      ['md5', ['content-md5']],
      ['crc32', ['x-amz-checksum-crc32']],
    ] as const) {
      describeObjectStore(`${kind}, which demands ${headers[0]} (F62)`, async () => {
        const { settings } = await behind({ kind: 'demand-digest', headers })
        return openS3(settings)
      })

      test(`F62: a store that demands ${headers[0]} gets it from then on`, async () => {
        const { proxy, settings } = await behind({ kind: 'demand-digest', headers })
        const store = openS3(settings)
        assert.equal(store.mode().checksum, 'none')
        assert.equal(await store.putIfAbsent('once', Buffer.from('x')), 'created')
        assert.equal(await store.putIfAbsent('once', Buffer.from('x')), 'exists')
        assert.equal(store.mode().checksum, checksum)
        const tries = proxy.requests.filter(request => request === 'put once').length
        assert.equal(tries, checksum === 'md5' ? 3 : 4)
        store.close()
      })
    }

    test('F62: parts that are sent at once learn of a demanded digest together', async () => {
      const { settings } = await behind({ kind: 'demand-digest', headers: ['content-md5'] }, ['uploadPart'])
      const store = openS3(settings)
      const uploadId = await store.createUpload('key')
      const parts = [Buffer.alloc(5 << 20, 1), Buffer.alloc(5 << 20, 2), Buffer.from('end')]
      const sent = await Promise.all(parts.map((body, index) => store.uploadPart('key', uploadId, index + 1, body)))
      await store.completeUpload('key', uploadId, sent, (10 << 20) + 3)
      store.close()
    })

    test('F62: a store that demands a digest and takes none is ChecksumRefused, not one without If-None-Match', async () => {
      const { settings } = await behind({ kind: 'demand-digest', headers: [] })
      const store = openS3(settings)
      await assert.rejects(
        store.putIfAbsent('x', Buffer.from('x')),
        refused('ChecksumRefused', /Content-MD5 nor CRC32/),
      )
      store.close()
    })

    test('F62: a store that knows no checksums is sent none', async () => {
      const { settings } = await behind({ kind: 'refuse-header', header: 'x-amz-checksum-crc32' })
      const store = openS3(settings)
      await store.put('x', Buffer.from('x'))
      assert.equal(store.mode().checksum, 'none')
      store.close()
    })

    const openAt = (settings: S3Settings, host: string, change: Partial<S3Settings> = {}) => {
      const { port } = new URL(settings.endpoint ?? '')
      return openS3({ ...settings, endpoint: `http://${host}:${port}`, ...change }, resolved)
    }

    describeObjectStore(`${kind}, with the bucket in the host (F62)`, async () =>
      openAt(settingsOf(server, await server.makeBucket()), domain, { forcePathStyle: false }),
    )
    describeObjectStore(`${kind}, with the bucket in the endpoint already (F62)`, async () => {
      const settings = settingsOf(server, await server.makeBucket())
      return openAt(settings, `${settings.bucket}.${domain}`)
    })

    test('F62: with the bucket in the endpoint already, keys land where they do otherwise', async () => {
      const settings = settingsOf(server, await server.makeBucket())
      const store = openAt(settings, `${settings.bucket}.${domain}`)
      await store.put('a/b.json', Buffer.from('x'))
      assert.equal(store.mode().addressing, 'in the endpoint')
      assert.deepEqual((await server.contents(settings.bucket)).keys, ['a/b.json'])
      store.close()
    })

    test('F62: an endpoint whose first word is the bucket by chance is left alone', async () => {
      const settings = settingsOf(server, await server.makeBucket())
      const store = openAt(settings, `${settings.bucket}.elsewhere.test`)
      await store.put('a', Buffer.from('x'))
      assert.equal(store.mode().addressing, 'path')
      assert.deepEqual((await server.contents(settings.bucket)).keys, ['a'])
      store.close()
    })

    test('F62: a refused list does not tell whether the endpoint names the bucket: nothing is done, and the next call asks anew', async () => {
      const { proxy, settings } = await behind({ kind: 'slow', ms: 0 }, [])
      const store = openAt(settings, `${settings.bucket}.${domain}`)
      const says = refused('AccessDenied', /host may name the bucket already.*to list.*without.*forcePathStyle/)
      proxy.fail('list', { kind: 'refuse', status: 403, code: 'AccessDenied' }, { times: 3 })
      await assert.rejects(store.put('a', Buffer.from('x')), says)
      await assert.rejects(store.get('a', 1), says)
      await assert.rejects(store.head('a'), says)
      assert.deepEqual(proxy.requests, ['list ', 'list ', 'list '])
      await store.put('a', Buffer.from('x'))
      assert.equal(store.mode().addressing, 'in the endpoint')
      assert.deepEqual((await server.contents(settings.bucket)).keys, ['a'])
      store.close()
    })

    test('F62: those who may not list can say where the bucket is', async () => {
      const { proxy, settings } = await behind({ kind: 'refuse', status: 403, code: 'AccessDenied' }, ['list'])
      const stores = [
        openAt(settings, `${settings.bucket}.elsewhere.test`, { forcePathStyle: true }),
        openAt(settings, domain, { forcePathStyle: false }),
        openAt(settings, 'elsewhere.test'),
      ]
      for (const [index, store] of stores.entries()) {
        await store.put(`${index}`, Buffer.from('x'))
        store.close()
      }
      assert.equal(proxy.requests.filter(request => request.startsWith('list ')).length, 0)
      assert.deepEqual((await server.contents(settings.bucket)).keys, ['0', '1', '2'])
    })

    test('F62: a list that misses a key says that the host names another bucket', async () => {
      const settings = settingsOf(server, await server.makeBucket())
      const other = await server.makeBucket()
      const store = openAt(settings, `${other}.${domain}`)
      await assert.rejects(Array.fromAsync(store.list('')), refused('AddressingRefused', /host names a bucket already/))
      store.close()
    })

    test("F62: a store that refuses paths gets the bucket's name in the host, unless the policy says otherwise", async () => {
      const { proxy, settings } = await behind({ kind: 'slow', ms: 0 })
      const fault: Fault = { kind: 'refuse', status: 403, code: 'SecondLevelDomainForbidden' }
      proxy.fail('get', fault, { times: 1 })
      const store = openAt(settings, domain)
      await assert.rejects(store.get('nothing', 1), refused('NotFound', /NoSuchKey/))
      assert.equal(store.mode().addressing, 'host')
      await store.put('a', Buffer.from('x'))
      assert.deepEqual((await server.contents(settings.bucket)).keys, ['a'])
      store.close()
      proxy.fail('get', fault, { times: 1 })
      const insisting = openAt(settings, domain, { forcePathStyle: true })
      await assert.rejects(insisting.get('nothing', 1), refused('AddressingRefused', /forcePathStyle/))
      insisting.close()
    })
  })

  describe(`${kind} in another region`, { timeout: 60_000 }, () => {
    let server: S3Server
    before(async () => {
      server = await startS3Server(kind, { region: 'eu-west-1' })
    })
    after(() => server?.stop())

    test('F62: is found where the policy has the default, also when the first request has no body to be told in', async () => {
      const settings = settingsOf(server, await server.makeBucket())
      for (const first of ['put', 'head'] as const) {
        const store = openS3({ ...settings, ...(first === 'head' ? { region: 'us-east-1' } : {}) })
        if (first === 'put') await store.put('a', Buffer.from('x'))
        else assert.equal((await store.head('a'))?.bytes, 1)
        assert.equal(store.mode().region, 'eu-west-1')
        store.close()
      }
    })

    test('F62: is named where the policy names a wrong one', async () => {
      const store = openS3({ ...settingsOf(server, await server.makeBucket()), region: 'us-west-2' })
      for (const request of [() => store.put('a', Buffer.from('x')), () => store.head('a'), () => store.get('a', 1)])
        await assert.rejects(request, refused('RegionWrong', /set backend\.region to eu-west-1/))
      store.close()
    })
  })
}

describe('a bucket that locks its objects', { timeout: 60_000 }, () => {
  let server: S3Server
  before(async () => {
    server = await startS3Server('minio')
  })
  after(() => server?.stop())

  describeObjectStore('minio with a default retention (F62)', async () =>
    openS3(settingsOf(server, await server.makeBucket({ locked: true }))),
  )
})

test("what stands in the mover's environment does not decide where backups go", async () => {
  const server = await startS3Server('minio')
  const proxy = await startFaultProxy(server.endpoint)
  const bucket = await server.makeBucket()
  const ambient = {
    AWS_ENDPOINT_URL: proxy.endpoint,
    AWS_ENDPOINT_URL_S3: proxy.endpoint,
    AWS_REGION: 'eu-west-9',
    HTTP_PROXY: proxy.endpoint,
    HTTPS_PROXY: proxy.endpoint,
    NODE_USE_ENV_PROXY: '1',
  }
  Object.assign(process.env, ambient)
  try {
    const ours = openS3(settingsOf(server, bucket))
    await ours.put('a', Buffer.from('x'))
    assert.equal(ours.mode().region, 'us-east-1')
    // Its name leads to this machine, where nobody listens on the port of https.
    const { endpoint: _, ...settings } = settingsOf(server, bucket)
    const aws = openS3(settings, resolved)
    await assert.rejects(aws.put('b', Buffer.from('x')), refused('EndpointUnreachable', /at AWS.*refused/))
    for (const store of [ours, aws]) store.close()
  } finally {
    for (const name of Object.keys(ambient)) delete process.env[name]
  }
  assert.deepEqual(proxy.requests, [])
  assert.deepEqual((await server.contents(bucket)).keys, ['a'])
  await proxy.stop()
  await server.stop()
})

test('F62: a region that is no label of a host is not believed', async () => {
  const server = await startS3Server('minio')
  const proxy = await startFaultProxy(server.endpoint)
  const message = 'the region is wrong'
  const refusal = { kind: 'refuse', status: 400, code: 'AuthorizationHeaderMalformed', message } as const
  proxy.fail('get', { ...refusal, region: 'evil.example.com/' })
  const store = openS3({ ...settingsOf(server, await server.makeBucket()), endpoint: proxy.endpoint })
  await assert.rejects(store.get('x', 1), refused('RegionWrong', /in another region: /))
  assert.equal(store.mode().region, 'us-east-1')
  store.close()
  await proxy.stop()
  await server.stop()
})
