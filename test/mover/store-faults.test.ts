// What stores and networks do on their bad days: the mover never claims a backup that is not there, retries what can be retried,
// says what a person has to do, and leaves nothing behind.
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { zstdDecompressSync } from 'node:zlib'
import { isPermanent, type MoverReason } from '../../src/api/mover/reasons.ts'
import type { MoverTaskInput } from '../../src/api/mover/task.ts'
import { openS3 } from '../../src/storage/s3/s3.ts'
import { eventually } from '../../dev/eventually.ts'
import { repository } from '../../dev/paths.ts'
import { makeCertificates } from '../api/control-plane/certificates.ts'
import { makeRunDirectory, removeRunDirectory } from '../api/control-plane/run-directory.ts'
import { jobOf, runPod, startPod, taskFor, type BackupTaskInput, type PodResult } from './backup-pod.ts'
import { startFaultProxy, type FaultProxy } from '../storage/s3-fault-proxy.ts'
import { settingsOf, startS3Server, type S3Server } from '../storage/s3-servers.ts'

const canary = 'c4nary-s3cret'
const secret = { accesskey: 'minioadmin', secretkey: 'minioadmin' }
const root = 'shop/orders/'
/** Two parts and a bit, which do not compress. */
const command = ['sh', '-c', 'head -c 20000000 /dev/urandom']
const small = ['sh', '-c', 'seq 1 1000']
const data = /\/data\//
const manifests = /\/manifests\//

describe('a store on a bad day', { timeout: 600_000, concurrency: 2 }, () => {
  let server: S3Server
  const proxies: FaultProxy[] = []
  before(async () => {
    server = await startS3Server('minio')
  })
  after(async () => {
    await Promise.all(proxies.map(proxy => proxy.stop()))
    await server?.stop()
  })

  async function setUp(change: Partial<BackupTaskInput> = {}) {
    const proxy = await startFaultProxy(server.endpoint)
    proxies.push(proxy)
    const bucket = await server.makeBucket()
    return { proxy, bucket, task: taskFor(proxy, bucket, change) }
  }

  /** Keys below the policy's folder without the owner's mark, and open uploads. */
  async function left(bucket: string) {
    const { keys, uploads } = await server.contents(bucket)
    return { objects: keys.filter(key => key !== `${root}owner.json`).map(key => key.split('/')[2]), uploads }
  }
  const nothing = { objects: [], uploads: [] }
  const oneBackup = { objects: ['data', 'manifests'], uploads: [] }

  function assertCommitted(result: PodResult) {
    assert.deepEqual([result.code, result.message.phase], [0, 'committed'], JSON.stringify(result))
  }
  function assertFailed(result: PodResult, reason: MoverReason) {
    assert.deepEqual([result.message.phase, result.message.reason], ['failed', reason], JSON.stringify(result))
  }

  describe('before the dump: the reason is told, and the command does not run', () => {
    const rows: readonly {
      readonly name: string
      readonly reason: MoverReason
      readonly says: RegExp
      /** What docs/failure-modes.md says of the reason. */
      readonly promised: RegExp
      readonly secret?: Readonly<Record<string, string>>
      readonly task?: (task: BackupTaskInput, proxy: FaultProxy) => Partial<BackupTaskInput>
    }[] = [
      {
        name: 'no Secret',
        reason: 'SecretNotFound',
        promised: /does not exist/,
        says: /minio-creds does not exist/,
        secret: {},
      },
      {
        name: 'a Secret without the keys',
        reason: 'SecretKeyMissing',
        promised: /without a complete pair of keys.*names the keys looked for and those found/,
        says: /looked for AWS_ACCESS_KEY_ID and .*accessKey and .*rootUser and .*found password, user/,
        secret: { user: canary, password: canary },
      },
      {
        name: 'a wrong secret key',
        reason: 'AccessDenied',
        promised: /Check the credentials/,
        says: /SignatureDoesNotMatch/,
        secret: { accessKey: 'minioadmin', secretKey: canary },
      },
      {
        name: 'an unknown access key',
        reason: 'AccessDenied',
        promised: /Check the credentials/,
        says: /InvalidAccessKeyId/,
        secret: { accessKey: 'nobody', secretKey: canary },
      },
      {
        name: 'no such bucket',
        reason: 'BucketNotFound',
        promised: /The bucket does not exist/,
        says: /the bucket does not exist/,
        task: task => ({ backend: { ...task.backend, bucket: 'nothing-here' } }),
      },
      {
        name: 'a port where nobody listens',
        reason: 'EndpointUnreachable',
        promised: /the port refuses/,
        says: /the connection was refused/,
        task: () => ({ backend: { bucket: 'x', endpoint: 'http://127.0.0.1:9' } }),
      },
      {
        name: 'a name that does not resolve',
        reason: 'EndpointUnreachable',
        promised: /The name does not resolve/,
        says: /does not resolve/,
        task: () => ({ backend: { bucket: 'x', endpoint: 'http://minio.nowhere.invalid:9000' } }),
      },
      {
        name: 'an endpoint that is no URL',
        reason: 'InvalidEndpoint',
        promised: /not a URL/,
        says: /begins with http/,
        task: () => ({ backend: { bucket: 'x', endpoint: 'minio:9000' } }),
      },
      {
        name: 'https to a port that speaks http',
        reason: 'InvalidEndpoint',
        promised: /`http` or `https`\?/,
        says: /http or https/,
        task: task => ({ backend: { ...task.backend, endpoint: task.backend.endpoint?.replace('http:', 'https:') } }),
      },
      {
        name: 'a web page instead of a store',
        reason: 'InvalidEndpoint',
        promised: /not an S3 API/,
        says: /not an S3 API/,
        task: (_, proxy) => {
          for (const verb of ['get', 'list', 'put', 'createUpload'] as const) proxy.fail(verb, { kind: 'html' })
          return {}
        },
      },
      {
        name: 'a redirect, which is not followed',
        reason: 'InvalidEndpoint',
        promised: /it redirects/,
        says: /redirects are not followed/,
        task: (_, proxy) => {
          proxy.fail('get', { kind: 'redirect', to: 'http://127.0.0.1:1/elsewhere' })
          return {}
        },
      },
      {
        name: 'clocks that differ',
        reason: 'ClockSkew',
        promised: /clocks of node and store differ/,
        says: /clocks of this node and of the store differ/,
        task: (_, proxy) => {
          proxy.fail('get', { kind: 'refuse', status: 403, code: 'RequestTimeTooSkewed' })
          return {}
        },
      },
      {
        name: 'a full store',
        reason: 'StoreFull',
        promised: /No space/,
        says: /XMinioStorageFull/,
        task: (_, proxy) => {
          proxy.fail('createUpload', { kind: 'refuse', status: 507, code: 'XMinioStorageFull' })
          return {}
        },
      },
      {
        name: 'a store that is down',
        reason: 'StoreUnavailable',
        promised: /5xx/,
        says: /ServiceUnavailable.*tries/,
        task: (_, proxy) => {
          proxy.fail('get', { kind: 'refuse', status: 503, code: 'ServiceUnavailable' })
          return { storeRetrySeconds: 1 }
        },
      },
      {
        name: "the console's port (F98)",
        reason: 'InvalidEndpoint',
        promised: /not the console's/,
        says: /port of the store's console/,
        task: task => ({ backend: { ...task.backend, endpoint: server.console } }),
      },
      {
        name: 'a wrong region (F62)',
        reason: 'RegionWrong',
        promised: /in another region than `backend\.region`; the message names it/,
        says: /set backend\.region to eu-west-1/,
        task: (task, proxy) => {
          const message = 'the region is wrong'
          const refusal = { kind: 'refuse', status: 400, code: 'AuthorizationHeaderMalformed', message } as const
          proxy.fail('get', { ...refusal, region: 'eu-west-1' })
          proxy.fail('list', { ...refusal, region: 'eu-west-1' })
          return { backend: { ...task.backend, region: 'us-west-2' } }
        },
      },
      {
        name: "a store that wants the bucket's name in the host (F62)",
        reason: 'AddressingRefused',
        promised: /name in the path, and the store wants it in the host/,
        says: /forcePathStyle/,
        task: (task, proxy) => {
          const refusal = { kind: 'refuse', status: 403, code: 'SecondLevelDomainForbidden' } as const
          for (const verb of ['get', 'list'] as const) proxy.fail(verb, refusal)
          return { backend: { ...task.backend, forcePathStyle: true } }
        },
      },
      {
        name: "an endpoint whose host names a bucket, with the bucket's name insisted on in the path (F62)",
        reason: 'AddressingRefused',
        promised: /endpoint's host names a bucket already.*one folder too deep.*without the bucket's name/,
        says: /write backend\.endpoint without it/,
        // A list of such a bucket misses a key.
        task: (task, proxy) => {
          proxy.fail('list', { kind: 'refuse', status: 404, code: 'NoSuchKey' })
          return { backend: { ...task.backend, forcePathStyle: true } }
        },
      },
      {
        name: 'a store that demands a digest and takes none (F62)',
        reason: 'ChecksumRefused',
        promised: /demands a checksum.*neither Content-MD5 nor CRC32/,
        says: /neither Content-MD5 nor CRC32/,
        task: (_, proxy) => {
          proxy.fail('put', { kind: 'demand-digest', headers: [] })
          return {}
        },
      },
      {
        name: 'an expired session token (F62)',
        reason: 'CredentialsExpired',
        promised: /session token .* has expired/,
        says: /renew the Secret/,
        task: (_, proxy) => {
          proxy.fail('get', { kind: 'refuse', status: 400, code: 'ExpiredToken' })
          return { storeRetrySeconds: 1 }
        },
      },
      {
        name: "an owner's mark in an archive (F62)",
        reason: 'ObjectArchived',
        promised: /in an archive.*`owner\.json`/,
        says: /restore it there/,
        task: (_, proxy) => {
          proxy.fail('get', { kind: 'refuse', status: 403, code: 'InvalidObjectState' }, { key: /owner\.json$/ })
          return {}
        },
      },
      {
        name: "an owner's mark that may not be read, in a store without conditional writes (F43)",
        reason: 'AccessDenied',
        promised: /no conditional writes.*403 for an `owner\.json`/,
        says: /nobody knows whose folder.*allow these credentials to read.* and to list/,
        task: (_, proxy) => {
          proxy.fail('get', { kind: 'refuse', status: 403, code: 'AccessDenied' }, { key: /owner\.json$/ })
          proxy.fail('put', { kind: 'ignore-condition' })
          return {}
        },
      },
      {
        name: 'a store that knows no multipart uploads',
        reason: 'StoreRejected',
        promised: /refuses something that we need/,
        says: /MethodNotAllowed/,
        task: (_, proxy) => {
          proxy.fail('createUpload', { kind: 'refuse', status: 405, code: 'MethodNotAllowed' })
          return {}
        },
      },
    ]
    /** Told by other tests of this file, or not by the store. */
    const elsewhere = [
      'Adopting',
      'Probing',
      'ProbeFailed',
      'StoreReadOnly',
      'TLSVerificationFailed',
      'PrefixOwnedByOther',
      'RecipientsInvalid',
      'FormatUnsupported',
    ]
    const page = readFileSync(join(repository, 'docs/failure-modes.md'), 'utf8')
    const promises = new Map(
      (page.split('\n### The store\n')[1]?.split('\n### ')[0] ?? '')
        .split('\n')
        .flatMap(line => /^\| `(\w+)` \|(.*)$/.exec(line)?.slice(1, 3) ?? [])
        .flatMap((cell, index, cells) => (index % 2 === 0 ? [[cell, cells[index + 1] ?? ''] as const] : [])),
    )

    test('F98: what docs/failure-modes.md promises of the store is what these failures give, each of them', () => {
      assert.deepEqual(
        [...new Set([...rows.map(({ reason }) => reason), ...elsewhere])].sort(),
        [...promises.keys()].sort(),
      )
      for (const { name, reason, promised } of rows) assert.match(promises.get(reason) ?? '', promised, name)
    })

    for (const row of rows) {
      test(`${row.name} is ${row.reason}`, async () => {
        const { proxy, bucket, task } = await setUp({ storeRetrySeconds: 1 })
        const changed = { ...task, ...row.task?.(task, proxy) }
        const pod = await startPod({
          task: changed,
          secret: row.secret ?? secret,
          command: ['sh', '-c', 'touch ran; echo x'],
        })
        assert.equal(await pod.source?.ended, 75)
        const ran = existsSync(join(pod.directory, 'ran'))
        const result = await pod.result()
        assertFailed(result, row.reason)
        assert.match(result.message.message ?? '', row.says)
        assert.equal(ran, false)
        assert.equal(
          isPermanent(row.reason),
          !['EndpointUnreachable', 'StoreUnavailable', 'StoreFull'].includes(row.reason),
        )
        assert.doesNotMatch(JSON.stringify(result), new RegExp(canary))
        assert.deepEqual(await left(bucket), nothing)
        // A probe finds the same before the first run.
        if (row.reason === 'StoreFull') return
        const { version, owner, backend, secretName } = changed
        const probe: MoverTaskInput = { version, owner, backend, secretName, kind: 'probe', storeIdleSeconds: 1 }
        // It would go on trying for its 20 seconds.
        if (['StoreUnavailable', 'EndpointUnreachable', 'CredentialsExpired'].includes(row.reason)) return
        assertFailed(await runPod({ task: probe, secret: row.secret ?? secret, run: 'probe' }), row.reason)
      })
    }

    test('F62: nothing is complete one folder too deep, also where an earlier run has marked the folder there', async () => {
      const { proxy, bucket, task } = await setUp()
      const { version, owner, backend, secretName } = task
      const probe: MoverTaskInput = { version, owner, backend, secretName, kind: 'probe' }
      assert.equal((await runPod({ task: probe, secret, run: 'probe' })).message.phase, 'done')
      proxy.fail('list', { kind: 'refuse', status: 404, code: 'NoSuchKey' })
      const result = await runPod({ task, secret, command: small })
      assertFailed(result, 'AddressingRefused')
      assert.match(result.message.message ?? '', /write backend\.endpoint without it/)
      assert.deepEqual(await left(bucket), nothing)
    })

    test('F62: a probe that may not list says that nobody knows whether the bucket is where its path says', async () => {
      for (const refused of [true, false]) {
        const { proxy, bucket, task } = await setUp()
        const { version, owner, backend, secretName } = task
        if (refused) proxy.fail('list', { kind: 'refuse', status: 403, code: 'AccessDenied' })
        else proxy.fail('delete', { kind: 'refuse', status: 403, code: 'AccessDenied' })
        const probe: MoverTaskInput = { version, owner, backend, secretName, kind: 'probe' }
        const { message } = await runPod({ task: probe, secret, run: 'probe' })
        assert.equal(message.phase, 'done', JSON.stringify(message))
        const said = message.warnings?.find(({ reason }) => reason === 'RetentionBlocked')?.message ?? ''
        assert.match(said, refused ? /may not list/ : /may not delete/)
        const advice = `look once whether the backups are in the bucket ${bucket} below ${root}`
        assert.equal(said.includes(advice), refused, said)
      }
    })

    test("another cluster's folder is PrefixOwnedByOther", async () => {
      const { bucket, task } = await setUp()
      const other = { ...task.owner, clusterId: 'cluster-2' }
      assertCommitted(await runPod({ task: { ...task, owner: other }, secret, command }))
      const before = await server.contents(bucket)
      const result = await runPod({ task, secret, command })
      assertFailed(result, 'PrefixOwnedByOther')
      assert.match(result.message.message ?? '', /of cluster cluster-2.*backend\.adopt/)
      assert.deepEqual(await server.contents(bucket), before)
    })

    const probeOf = ({ version, owner, backend, secretName }: BackupTaskInput) =>
      ({ version, owner, backend, secretName, kind: 'probe' }) satisfies MoverTaskInput

    test('F61: a probe completes an upload, and leaves nothing', async () => {
      const { proxy, bucket, task } = await setUp()
      const { message } = await runPod({ task: probeOf(task), secret, run: 'probe' })
      assert.equal(message.phase, 'done', JSON.stringify(message))
      assert.equal(proxy.requests.filter(request => request.startsWith('completeUpload ')).length, 1)
      assert.deepEqual(await left(bucket), nothing)
      assert.equal(message.probe?.mode, 'no checksum headers, bucket in the path, region us-east-1')
    })

    test('F61: a store that refuses the completion of an upload is not usable', async () => {
      const { proxy, bucket, task } = await setUp()
      proxy.fail('completeUpload', { kind: 'refuse', status: 400, code: 'InvalidPart' })
      const result = await runPod({ task: probeOf(task), secret, run: 'probe' })
      assertFailed(result, 'StoreRejected')
      assert.match(result.message.message ?? '', /InvalidPart/)
      assert.deepEqual((await left(bucket)).uploads, [])
    })

    test('F62: a bucket with a default retention is usable, and a backup lands in it', async () => {
      const bucket = await server.makeBucket({ locked: true })
      const task = taskFor(server, bucket)
      const { message } = await runPod({ task: probeOf(task), secret, run: 'probe' })
      assert.equal(message.phase, 'done', JSON.stringify(message))
      assertCommitted(await runPod({ task, secret, command }))
    })

    test('F62: a store that demands Content-MD5 is usable, which the probe says, and a backup lands in it', async () => {
      const { proxy, bucket, task } = await setUp()
      for (const verb of ['put', 'uploadPart'] as const)
        proxy.fail(verb, { kind: 'demand-digest', headers: ['content-md5'] })
      const { message } = await runPod({ task: probeOf(task), secret, run: 'probe' })
      assert.equal(message.phase, 'done', JSON.stringify(message))
      assert.match(message.probe?.mode ?? '', /Content-MD5/)
      assert.equal(message.warnings, undefined)
      assertCommitted(await runPod({ task, secret, command }))
      assert.deepEqual(await left(bucket), oneBackup)
    })

    test('F70: a probe warns of a bucket that keeps older versions, unless a lifecycle rule removes them', async () => {
      for (const [options, warned] of [
        [{ versioned: true }, true],
        [{ versioned: true, expiresVersions: '' }, false],
      ] as const) {
        const task = taskFor(server, await server.makeBucket(options))
        const { message } = await runPod({ task: probeOf(task), secret, run: 'probe' })
        assert.equal(message.phase, 'done', JSON.stringify(message))
        const reasons = message.warnings?.map(({ reason }) => reason)
        assert.deepEqual(reasons, warned ? ['VersionedBucket'] : undefined)
      }
    })

    test('credentials that may only read are StoreReadOnly for the probe', async () => {
      const { proxy, task } = await setUp()
      proxy.fail('put', { kind: 'refuse', status: 403, code: 'AccessDenied' })
      const { version, owner, backend, secretName } = task
      const result = await runPod({
        task: { version, owner, backend, secretName, kind: 'probe' },
        secret,
        run: 'probe',
      })
      assertFailed(result, 'StoreReadOnly')
    })
  })

  describe('with https', () => {
    let secure: S3Server
    let directory: string
    before(async () => {
      directory = await makeRunDirectory()
      await makeCertificates(directory)
      const [certificate, key] = [file('apiserver.crt'), file('apiserver.key')]
      secure = await startS3Server('minio', { tls: { certificate, key, authority: file('ca.crt') } })
    })
    after(async () => {
      await secure?.stop()
      await removeRunDirectory(directory)
    })
    const file = (name: string) => readFileSync(join(directory, name), 'utf8')

    test('the authority of backend.ca is trusted', async () => {
      const task = taskFor(secure, await secure.makeBucket(), { caFile: join(directory, 'ca.crt') })
      assertCommitted(await runPod({ task, secret, command: small }))
    })

    test('an unknown authority is TLSVerificationFailed, and the command does not run', async () => {
      const task = taskFor(secure, await secure.makeBucket())
      const result = await runPod({ task, secret, command: small })
      assertFailed(result, 'TLSVerificationFailed')
      assert.match(result.message.message ?? '', /backend\.ca/)
    })

    test('a certificate for another name is TLSVerificationFailed', async () => {
      const task = taskFor(secure, await secure.makeBucket(), { caFile: join(directory, 'ca.crt') })
      const endpoint = task.backend.endpoint?.replace('127.0.0.1', '[::ffff:127.0.0.1]')
      const result = await runPod({ task: { ...task, backend: { ...task.backend, endpoint } }, secret, command: small })
      assertFailed(result, 'TLSVerificationFailed')
    })

    test('http to a port that speaks https is InvalidEndpoint', async () => {
      const task = taskFor(secure, await secure.makeBucket())
      const endpoint = task.backend.endpoint?.replace('https:', 'http:')
      const result = await runPod({ task: { ...task, backend: { ...task.backend, endpoint } }, secret, command: small })
      assertFailed(result, 'InvalidEndpoint')
    })

    test('a ConfigMap that is not there is told', async () => {
      const task = taskFor(secure, await secure.makeBucket(), { caFile: join(directory, 'none.crt') })
      const result = await runPod({ task, secret, command: small })
      assertFailed(result, 'TLSVerificationFailed')
      assert.match(result.message.message ?? '', /ConfigMap/)
    })
  })

  describe('while bytes flow', () => {
    for (const [name, fault] of [
      ['503', { kind: 'refuse', status: 503, code: 'SlowDown' }],
      ['a reset connection', { kind: 'reset' }],
      ['a lost reply', { kind: 'lose-reply' }],
      ['silence', { kind: 'silence' }],
    ] as const) {
      test(`a part that meets ${name} is sent again, and only that part`, async () => {
        // Long enough for a busy machine: a real time-out would be one try more.
        const change = { partBytes: 8 << 20, storeIdleSeconds: 3, storeRetrySeconds: 30 }
        const { proxy, bucket, task } = await setUp(change)
        proxy.fail('uploadPart', fault, { times: 2 })
        assertCommitted(await runPod({ task, secret, command }))
        assert.deepEqual(await left(bucket), oneBackup)
        assert.equal(proxy.requests.filter(request => request.startsWith('uploadPart')).length, 3 + 2)
      })
    }

    test('a store that stays down is StoreUnavailable after a bounded time, with nothing left', async () => {
      const { proxy, bucket, task } = await setUp({ storeRetrySeconds: 1 })
      proxy.fail('uploadPart', { kind: 'refuse', status: 503, code: 'SlowDown' })
      const result = await runPod({ task, secret, command: ['sh', '-c', 'head -c 20000000 /dev/urandom; sleep 1000'] })
      assertFailed(result, 'StoreUnavailable')
      assert.equal(result.code, 20)
      assert.deepEqual(await left(bucket), nothing)
    })

    test('a store that refuses in the middle is not asked again', async () => {
      const { proxy, bucket, task } = await setUp()
      proxy.fail('uploadPart', { kind: 'refuse', status: 403, code: 'AccessDenied' })
      assertFailed(await runPod({ task, secret, command }), 'AccessDenied')
      assert.deepEqual(await left(bucket), nothing)
    })

    test('a slow store is not taken for a silent command', async () => {
      const { proxy, task } = await setUp({ stallTimeoutSeconds: 1, storeIdleSeconds: 10 })
      proxy.fail('uploadPart', { kind: 'slow', ms: 2_500 })
      assertCommitted(await runPod({ task, secret, command: ['sh', '-c', 'head -c 45000000 /dev/urandom'] }))
    })

    test('an upload whose opening was confirmed only the second time is open once', async () => {
      const { proxy, bucket, task } = await setUp()
      proxy.fail('createUpload', { kind: 'lose-reply' }, { times: 1 })
      assertCommitted(await runPod({ task, secret, command }))
      assert.deepEqual(await left(bucket), oneBackup)
    })

    test('an upload whose opening is never confirmed is found by its key and aborted', async () => {
      const { proxy, bucket, task } = await setUp({ storeRetrySeconds: 1 })
      proxy.fail('createUpload', { kind: 'lose-reply' })
      assertFailed(await runPod({ task, secret, command }), 'StoreUnavailable')
      assert.deepEqual(await left(bucket), nothing)
    })

    /** A pod that is told to end (SIGTERM) while the store opens its upload, which takes so long. */
    async function endedWhileOpening(ms: number) {
      const { proxy, bucket, task } = await setUp()
      const asked = (verb: string) => proxy.requests.some(request => request.startsWith(`${verb} `))
      const opened = Promise.withResolvers<void>()
      proxy.fail('createUpload', { kind: 'slow', ms, onObeyed: opened.resolve }, { times: 1 })
      const pod = await startPod({ task, secret, command })
      await eventually('an upload to be asked for', () => asked('createUpload'), { seconds: 20, every: 10 })
      pod.mover.process.kill('SIGTERM')
      assertFailed(await pod.result(), 'Terminated')
      return { bucket, asked, opened: opened.promise }
    }

    test('a pod that ends (SIGTERM) while the store opens its upload waits for the answer, and leaves nothing', async () => {
      const { bucket, asked } = await endedWhileOpening(1_500)
      assert.ok(asked('abortUpload'), 'the mover was gone before the upload was open')
      assert.deepEqual(await left(bucket), nothing)
    })

    test('an upload that the store may open when the mover has gone keeps its note', async () => {
      const { bucket, opened } = await endedWhileOpening(7_000)
      await opened
      const { objects, uploads } = await left(bucket)
      assert.deepEqual([objects, uploads.length], [['uploads'], 1])
    })

    test('an upload that the store opens when nobody waits for its answer any more keeps a note, while another one is complete', async () => {
      const { proxy, bucket, task } = await setUp({ storeIdleSeconds: 1 })
      const opened = Promise.withResolvers<void>()
      proxy.fail('createUpload', { kind: 'slow', ms: 6_000, onObeyed: opened.resolve }, { times: 1 })
      assertCommitted(await runPod({ task, secret, command }))
      await opened.promise
      const { objects, uploads } = await left(bucket)
      assert.deepEqual([objects, uploads.length], [[...oneBackup.objects, 'uploads'], 1])
    })

    test('damage on the way is noticed: every body is signed', async () => {
      const { proxy, task } = await setUp()
      assertCommitted(await runPod({ task, secret, command: small }))
      assert.ok(proxy.headers.length > 3)
      for (const headers of proxy.headers) assert.match(String(headers['x-amz-content-sha256']), /^[0-9a-f]{64}$/)
    })

    test('no request carries a checksum of the SDK, which some stores refuse', async () => {
      const { proxy, task } = await setUp({ retention: 1 })
      assertCommitted(await runPod({ task, secret, command }))
      assertCommitted(await runPod({ task, secret, command, run: jobOf(1) }))
      assertFailed(await runPod({ task, secret, command: ['false'], run: jobOf(2) }), 'SourceExit')
      const { version, owner, backend, secretName } = task
      await runPod({ task: { version, owner, backend, secretName, kind: 'probe' }, secret, run: 'probe' })
      for (const expected of [
        /^get .*owner/,
        /^put .*owner/,
        /^createUpload .*\/data\//,
        /^put .*\/uploads\//,
        /^uploadPart .*\/data\//,
        /^completeUpload .*\/data\//,
        /^abortUpload .*\/data\//,
        /^put .*\/manifests\//,
        /^put .*\/probe/,
        /^head .*\/data\//,
        /^list .*\/manifests\//,
        /^delete .*\/manifests\//,
        /^delete .*\/data\//,
        /^delete .*\/uploads\//,
      ])
        assert.ok(
          proxy.requests.some(request => expected.test(request)),
          `${expected} was not requested`,
        )
      const refused =
        /^(x-amz-checksum-.*|x-amz-sdk-checksum-algorithm|x-amz-trailer|trailer|x-amz-decoded-content-length)$/
      for (const [index, headers] of proxy.headers.entries()) {
        assert.deepEqual(
          Object.keys(headers).filter(name => refused.test(name)),
          [],
          proxy.requests[index],
        )
        assert.doesNotMatch(headers['content-encoding'] ?? '', /aws-chunked/, proxy.requests[index])
      }
    })

    test('an upload that cannot be aborted is told with its id', async () => {
      const { proxy, bucket, task } = await setUp()
      proxy.fail('abortUpload', { kind: 'refuse', status: 403, code: 'AccessDenied' })
      const result = await runPod({ task, secret, command: ['sh', '-c', 'head -c 9000000 /dev/urandom; exit 3'] })
      assertFailed(result, 'SourceExit')
      assert.deepEqual(
        result.message.warnings?.map(({ reason }) => reason),
        ['LeftoverUpload'],
      )
      const { uploads } = await left(bucket)
      assert.deepEqual([result.message.openUpload?.key], uploads)
    })
  })

  describe('at the commit', () => {
    test('200 with an error in it is no success (F11)', async () => {
      const { proxy, bucket, task } = await setUp({ storeRetrySeconds: 1 })
      proxy.fail('completeUpload', { kind: 'error-in-200', code: 'InternalError' })
      assertFailed(await runPod({ task, secret, command }), 'StoreUnavailable')
      assert.deepEqual(await left(bucket), nothing)
    })

    test('200 with an error in it is tried again (F11)', async () => {
      const { proxy, bucket, task } = await setUp()
      proxy.fail('completeUpload', { kind: 'error-in-200', code: 'InternalError' }, { times: 2 })
      assertCommitted(await runPod({ task, secret, command }))
      assert.deepEqual(await left(bucket), oneBackup)
    })

    test('a completion whose reply is lost is found to be done, once (F12)', async () => {
      for (const kind of ['lose-reply', 'cut-reply'] as const) {
        const { proxy, bucket, task } = await setUp()
        proxy.fail('completeUpload', { kind })
        assertCommitted(await runPod({ task, secret, command }))
        assert.deepEqual(await left(bucket), oneBackup)
        assert.equal(proxy.requests.filter(request => request.startsWith('completeUpload')).length, 1)
      }
    })

    test('a manifest whose reply is lost is found to be its own', async () => {
      const { proxy, bucket, task } = await setUp()
      proxy.fail('put', { kind: 'lose-reply' }, { times: 1, key: manifests })
      assertCommitted(await runPod({ task, secret, command: small }))
      assert.deepEqual(await left(bucket), oneBackup)
    })

    test('a manifest that may have been written keeps its data; the next attempt finds the backup', async () => {
      const { proxy, bucket, task } = await setUp({ storeRetrySeconds: 1 })
      proxy.fail('put', { kind: 'lose-reply' }, { key: manifests, times: 4 })
      const result = await runPod({ task, secret, command: small })
      if (result.message.phase === 'failed') {
        assertFailed(result, 'StoreUnavailable')
        assert.equal(isPermanent('StoreUnavailable'), false)
        assert.match(result.message.message ?? '', /not known/)
      }
      assert.deepEqual(await left(bucket), oneBackup)
      const { endpoint } = server
      const second = await runPod({ task: { ...task, backend: { ...task.backend, endpoint } }, secret, command: small })
      assertCommitted(second)
      assert.deepEqual(await left(bucket), oneBackup)
    })

    test('a manifest whose reply is lost and whose reading is refused keeps its data; the next attempt finds the whole backup (F12)', async () => {
      const { proxy, bucket, task } = await setUp()
      proxy.fail('put', { kind: 'lose-reply' }, { times: 1, key: manifests })
      // The first reading is before the dump, and finds nothing.
      proxy.fail('get', { kind: 'slow', ms: 0 }, { times: 1, key: manifests })
      proxy.fail('get', { kind: 'refuse', status: 404, code: 'NoSuchBucket' }, { times: 1, key: manifests })
      const first = await runPod({ task, secret, command: small })
      assertFailed(first, 'StoreUnavailable')
      assert.match(first.message.message ?? '', /whether the manifest was written is not known/)
      assertCommitted(await runPod({ task, secret, command: ['false'] }))
      assert.deepEqual(await left(bucket), oneBackup)
      const { keys } = await server.contents(bucket)
      const store = openS3(settingsOf(server, bucket))
      const dump = zstdDecompressSync(await store.get(keys.find(key => data.test(key)) ?? '', 1 << 20))
      store.close()
      assert.equal(dump.toString(), Array.from({ length: 1_000 }, (_, index) => `${index + 1}\n`).join(''))
    })

    test('a manifest that is refused leaves nothing', async () => {
      const { proxy, bucket, task } = await setUp()
      proxy.fail('put', { kind: 'refuse', status: 403, code: 'AccessDenied' }, { key: manifests })
      assertFailed(await runPod({ task, secret, command: small }), 'AccessDenied')
      assert.deepEqual(await left(bucket), nothing)
    })

    for (const [name, fault] of [
      ['refuses', { kind: 'refuse', status: 501, code: 'NotImplemented' }],
      ['ignores', { kind: 'ignore-condition' }],
    ] as const) {
      test(`a store that ${name} If-None-Match gets a look before each write, and the manifest says so`, async () => {
        const { proxy, bucket, task } = await setUp()
        // The condition comes only with the mark and the manifest: the mark shows what the store does with it.
        proxy.fail('put', fault, { key: /owner\.json$/, times: name === 'refuses' ? 1 : Number.POSITIVE_INFINITY })
        const first = await runPod({ task, secret, command: small })
        assertCommitted(first)
        assert.deepEqual(
          first.message.warnings?.map(({ reason }) => reason),
          ['UnconditionalCommit'],
        )
        const other = await runPod({ task, secret, command: small, jobUid: 'another' })
        assertFailed(other, 'RunExists')
        assert.deepEqual(await left(bucket), oneBackup)
      })
    }
  })

  describe('after the commit', () => {
    test('a list or a delete that is refused does not fail the backup', async () => {
      for (const verb of ['list', 'delete'] as const) {
        const { proxy, bucket, task } = await setUp({ retention: 1 })
        assertCommitted(await runPod({ task, secret, command: small }))
        proxy.fail(verb, { kind: 'refuse', status: 403, code: 'AccessDenied' })
        const result = await runPod({ task, secret, command: small, run: jobOf(1) })
        assertCommitted(result)
        assert.ok(
          result.message.warnings?.some(({ reason }) => reason === 'RetentionBlocked'),
          verb,
        )
        const { objects, uploads } = await left(bucket)
        assert.deepEqual(
          objects.filter(kind => kind !== 'uploads'),
          ['data', 'data', 'manifests', 'manifests'],
        )
        assert.deepEqual(uploads, [])
        assert.equal(result.message.kept?.count, verb === 'list' ? undefined : 2)
      }
    })

    test('a store that fails then does not fail the backup', async () => {
      const { proxy, task } = await setUp({ retention: 1, storeRetrySeconds: 1 })
      assertCommitted(await runPod({ task, secret, command: small }))
      proxy.fail('delete', { kind: 'refuse', status: 500, code: 'InternalError' }, { key: manifests })
      const result = await runPod({ task, secret, command: small, run: jobOf(1) })
      assertCommitted(result)
      assert.deepEqual(
        result.message.warnings?.map(({ reason }) => reason),
        ['RetentionIncomplete'],
      )
      assert.equal(result.message.kept?.count, 2)
    })

    test('retention runs only after a success (F41)', async () => {
      const { proxy, bucket, task } = await setUp({ retention: 3 })
      for (const slot of [0, 1, 2]) assertCommitted(await runPod({ task, secret, command: small, run: jobOf(slot) }))
      const before = await server.contents(bucket)
      const stricter = { ...task, retention: 1, storeRetrySeconds: 1 }
      const failed = await runPod({ task: stricter, secret, command: ['false'], run: jobOf(3) })
      assertFailed(failed, 'SourceExit')
      proxy.fail('completeUpload', { kind: 'refuse', status: 500, code: 'InternalError' }, { key: data })
      assertFailed(await runPod({ task: stricter, secret, command: small, run: jobOf(4) }), 'StoreUnavailable')
      assert.deepEqual(await server.contents(bucket), before)
    })

    test('data of a deleted backup that could not be deleted is no backup any more (F42)', async () => {
      const { proxy, bucket, task } = await setUp({ retention: 1, storeRetrySeconds: 1 })
      assertCommitted(await runPod({ task, secret, command: small }))
      proxy.fail('delete', { kind: 'refuse', status: 500, code: 'InternalError' }, { key: data })
      const result = await runPod({ task, secret, command: small, run: jobOf(1) })
      assertCommitted(result)
      assert.deepEqual(result.message.deleted, [jobOf(0)])
      assert.equal(result.message.kept?.count, 1)
      assert.deepEqual((await left(bucket)).objects, ['data', 'data', 'manifests'])
    })
  })
})
