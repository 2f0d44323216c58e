/** The SDK's client, with nothing left to its surroundings: no ~/.aws, no AWS_*, no retries of its own. */
import { Agent as HttpAgent } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3'
import { sendInSlices } from './bodies.ts'
import type { CredentialSource } from './credentials.ts'
import { strangeReply } from './errors.ts'
import { endpointOf, type StoreMode } from './modes.ts'
import { StoreError } from '../store-error.ts'

export interface ClientSettings {
  readonly bucket: string
  /** URL with scheme; absent: AWS. */
  readonly endpoint?: string
  /** PEM text of the authorities to trust instead of the system's. */
  readonly ca?: string
  /** A connection on which nothing moves for so long is given up, ms. */
  readonly idleTimeoutMs: number
  readonly connectTimeoutMs?: number
}

/** No request of ours takes longer when bytes do move: a part of 64 MiB at 100 KiB/s. */
const longestRequestMs = 15 * 60_000
/** Requests of one mover at once. Who sends parts keeps below it: one that waits for a socket would take its time for the store's. */
export const mostRequests = 24

export interface Client {
  readonly s3: S3Client
  /** Whether the other side has ever answered as an S3 API does: kept by the client, also told by those who read an error. */
  spoke: boolean
}

/** `overrides`: of the finished configuration. */
export function createClient(
  settings: ClientSettings,
  mode: StoreMode,
  credentials: CredentialSource,
  overrides: S3ClientConfig = {},
): Client {
  const { endpoint, ca } = settings
  const connections = { keepAlive: true, maxSockets: mostRequests }
  const s3 = new S3Client({
    endpoint: endpointOf(settings.bucket, mode, endpoint),
    region: mode.region,
    forcePathStyle: mode.addressing === 'path',
    // Already expired, for the SDK: it asks for them again with each request.
    credentials: async () => ({ ...(await credentials.current()), expiration: new Date(0) }),
    // One try: retry.ts decides, with a budget that the SDK's counter cannot express.
    maxAttempts: 1,
    // `digestOf` decides. Left to itself the SDK sends checksums of parts for an upload that was opened without any.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: endpoint === undefined ? 'WHEN_SUPPORTED' : 'WHEN_REQUIRED',
    // A store that does not answer 100-continue would cost 6 s a part.
    expectContinueHeader: false,
    // An ambient ~/.aws or AWS_* must not decide where backups go.
    ignoreConfiguredEndpointUrls: true,
    useArnRegion: false,
    disableMultiregionAccessPoints: true,
    useFipsEndpoint: false,
    useDualstackEndpoint: false,
    requestHandler: {
      connectionTimeout: settings.connectTimeoutMs ?? 10_000,
      socketTimeout: settings.idleTimeoutMs,
      requestTimeout: longestRequestMs,
      throwOnRequestTimeout: true,
      httpAgent: new HttpAgent(connections),
      httpsAgent: new HttpsAgent({ ...connections, minVersion: 'TLSv1.2', ...(ca === undefined ? {} : { ca }) }),
    },
    ...overrides,
  })
  sendInSlices(s3)
  const client: Client = { s3, spoke: false }
  hearReplies(client, endpoint ?? 'AWS')
  return client
}

interface Reply {
  readonly statusCode: number
  readonly headers: Readonly<Record<string, string | undefined>>
}

/** Keeps the `Date` of each good reply, and refuses web pages, which no S3 API gives for an answer. */
function hearReplies(client: Client, where: string) {
  client.s3.middlewareStack.add(
    next => async args => {
      const result = await next(args)
      const { statusCode, headers } = result.response as Reply
      const { 'content-type': type = '', date = '' } = headers
      if (type.startsWith('text/html')) {
        const [reason, why] = strangeReply({ status: statusCode, html: true }, client.spoke)
        ;(result.output as { Body?: { destroy?: () => void } }).Body?.destroy?.()
        throw new StoreError(reason, `cannot use the bucket at ${where}: ${why}`)
      }
      client.spoke ||= headers.etag !== undefined || headers['x-amz-request-id'] !== undefined || type.includes('xml')
      const answeredAt = Date.parse(date)
      ;(result.output as Answered).answeredAt = Number.isNaN(answeredAt) ? undefined : answeredAt
      return result
    },
    { step: 'deserialize', priority: 'high', name: 'hearReplies' },
  )
}

/** What `hearReplies` adds to each output: by the store's clock, ms since the epoch. */
export interface Answered {
  answeredAt?: number | undefined
}
