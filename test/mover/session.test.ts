// A dump that takes longer than its session token lives (F69).
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { eventually } from '../../dev/eventually.ts'
import { startFaultProxy, type FaultProxy, type S3Verb } from '../storage/s3-fault-proxy.ts'
import { startS3Server, type S3Server } from '../storage/s3-servers.ts'
import { assumeRole, type SessionCredentials } from '../storage/session-token.ts'
import { startPod, taskFor } from './backup-pod.ts'

const halting = [
  'sh',
  '-c',
  'head -c 16000000 /dev/urandom; while [ ! -e go ]; do sleep 0.05; done; head -c 20000000 /dev/urandom',
]
const verbs: readonly S3Verb[] = [
  'put',
  'get',
  'head',
  'list',
  'delete',
  'createUpload',
  'uploadPart',
  'completeUpload',
  'abortUpload',
]

describe('a session token that is over in the middle of a dump', { timeout: 600_000 }, () => {
  let server: S3Server
  const proxies: FaultProxy[] = []
  before(async () => {
    server = await startS3Server('minio')
  })
  after(async () => {
    await Promise.all(proxies.map(proxy => proxy.stop()))
    await server?.stop()
  })

  /** A backup whose command waits, after the store has taken a part with the first token. */
  async function underWay(storeRetrySeconds: number) {
    const proxy = await startFaultProxy(server.endpoint)
    proxies.push(proxy)
    const [first, second] = [await assumeRole(server), await assumeRole(server)]
    assert.notEqual(first.sessionToken, second.sessionToken)
    const bucket = await server.makeBucket()
    const task = taskFor(proxy, bucket, { storeRetrySeconds })
    const pod = await startPod({ task, secret: secretOf(first), command: halting })
    await pod.reached(({ storedBytes = 0 }) => storedBytes > 0 || sent(proxy) > 0)
    const expire = () => {
      for (const verb of verbs) proxy.fail(verb, { kind: 'expire-token', token: first.sessionToken })
    }
    const goOn = () => writeFileSync(join(pod.directory, 'go'), '')
    return { proxy, bucket, pod, second, expire, goOn }
  }
  const sent = (proxy: FaultProxy) => proxy.requests.filter(request => request.startsWith('uploadPart')).length
  const secretOf = (credentials: SessionCredentials) => ({
    AWS_ACCESS_KEY_ID: credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    AWS_SESSION_TOKEN: credentials.sessionToken,
  })

  test('F69: costs nothing when the Secret was renewed before', async () => {
    const { pod, second, expire, goOn } = await underWay(5)
    await pod.renewSecret(secretOf(second))
    expire()
    goOn()
    const { message } = await pod.result()
    assert.equal(message.phase, 'committed', JSON.stringify(message))
  })

  test('F69: costs time when the Secret is renewed only then', async () => {
    const { proxy, pod, second, expire, goOn } = await underWay(60)
    expire()
    const before = sent(proxy)
    goOn()
    await eventually('a part to be refused and tried again', () => sent(proxy) > before + 2, { seconds: 30, every: 20 })
    await pod.renewSecret(secretOf(second))
    const { message } = await pod.result()
    assert.equal(message.phase, 'committed', JSON.stringify(message))
  })

  test('F69: is CredentialsExpired when nobody renews it', async () => {
    const { pod, expire, goOn } = await underWay(1)
    expire()
    goOn()
    const { message, code } = await pod.result()
    assert.deepEqual([message.phase, message.reason, code], ['failed', 'CredentialsExpired', 21])
    assert.match(message.message ?? '', /renew the Secret/)
  })
})
