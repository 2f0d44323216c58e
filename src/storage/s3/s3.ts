/**
 * The object store over the S3 protocol, one request a call: no retries here (`retry.ts`), no cleverness. Tested against MinIO and
 * versitygw; settings for other stores follow docs/decisions.
 */
import { Agent as HttpAgent } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import { buffer } from 'node:stream/consumers'
import type { Readable } from 'node:stream'
import {
  AbortMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import type { StoreCredentials } from './credentials.ts'
import type { ObjectHead, ObjectStore } from '../object-store.ts'
import { completionOf, sendInSlices } from './bodies.ts'
import { storeErrorOf } from './errors.ts'
import { isStoreError, StoreError } from '../store-error.ts'

export interface S3Settings {
  readonly bucket: string
  /** URL with scheme; absent: AWS. */
  readonly endpoint?: string
  readonly region?: string
  /** Default: true with an endpoint. */
  readonly forcePathStyle?: boolean
  readonly credentials: StoreCredentials
  /** PEM text of the authorities to trust instead of the system's. */
  readonly ca?: string
  /** A connection on which nothing moves for so long is given up, ms. */
  readonly idleTimeoutMs: number
  readonly connectTimeoutMs?: number
}

/** No request of ours takes longer when bytes do move: a part of 64 MiB at 100 KiB/s. */
const longestRequestMs = 15 * 60_000
/** Requests of one mover: two parts in flight, and the small ones beside them. */
const maxSockets = 8

/** @throws StoreError InvalidEndpoint when the endpoint is not an http(s) URL. */
export function openS3(settings: S3Settings): ObjectStore {
  const client = createClient(settings)
  sendInSlices(client)
  const Bucket = settings.bucket
  const where = settings.endpoint ?? 'AWS'

  async function call<T>(what: string, signal: AbortSignal | undefined, request: () => Promise<T>): Promise<T> {
    signal?.throwIfAborted()
    try {
      return await request()
    } catch (error) {
      signal?.throwIfAborted()
      throw storeErrorOf(error, { what, bucket: Bucket, endpoint: where })
    }
  }

  async function head(Key: string, abortSignal?: AbortSignal): Promise<ObjectHead | undefined> {
    try {
      return await call(`look at ${Key}`, abortSignal, async () => {
        const reply = await client.send(new HeadObjectCommand({ Bucket, Key }), { abortSignal })
        return { bytes: reply.ContentLength ?? 0, metadata: reply.Metadata ?? {} }
      })
    } catch (error) {
      if (isStoreError(error, 'NotFound')) return undefined
      throw error
    }
  }

  async function read(Key: string, abortSignal?: AbortSignal) {
    return call(`read ${Key}`, abortSignal, async () => {
      const reply = await client.send(new GetObjectCommand({ Bucket, Key }), { abortSignal })
      if (reply.ContentType?.startsWith('text/html')) {
        ;(reply.Body as Readable).destroy()
        throw new StoreError(
          'InvalidEndpoint',
          `cannot read ${Key}: what answers at ${where} is a web page, not an S3 API`,
        )
      }
      return { body: reply.Body as Readable, bytes: reply.ContentLength }
    })
  }

  async function put(Key: string, Body: Uint8Array, IfNoneMatch?: '*', abortSignal?: AbortSignal) {
    const type = Key.endsWith('.json') ? 'application/json' : 'application/octet-stream'
    await call(`write ${Key}`, abortSignal, () =>
      client.send(new PutObjectCommand({ Bucket, Key, Body, IfNoneMatch, ContentType: type }), { abortSignal }),
    )
  }

  return {
    put: (key, body, signal) => put(key, body, undefined, signal),

    async putIfAbsent(key, body, signal) {
      try {
        await put(key, body, '*', signal)
        return 'created'
      } catch (error) {
        const status = statusOf(error)
        if (status === 412) return 'exists'
        // AWS: another conditional write to the same key is under way. https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
        if (status === 409) throw new StoreError('StoreUnavailable', (error as Error).message, { cause: error })
        if (isStoreError(error, 'StoreRejected') && (status === 400 || status === 501)) {
          throw new StoreError('ConditionalUnsupported', `the store does not accept If-None-Match: ${error.message}`, {
            cause: error,
          })
        }
        throw error
      }
    },

    async get(key, maxBytes, signal) {
      const { body, bytes = 0 } = await read(key, signal)
      if (bytes > maxBytes) {
        body.destroy()
        throw new StoreError('StoreRejected', `${key} has ${bytes} bytes, more than the ${maxBytes} expected of it`)
      }
      return call(`read ${key}`, signal, () => buffer(body))
    },

    read: async (key, signal) => (await read(key, signal)).body,

    head,

    async *list(Prefix, { after, signal: abortSignal } = {}) {
      let ContinuationToken: string | undefined
      do {
        const page = await call(`list ${Prefix}`, abortSignal, () =>
          client.send(new ListObjectsV2Command({ Bucket, Prefix, StartAfter: after, ContinuationToken }), {
            abortSignal,
          }),
        )
        for (const { Key, Size, LastModified } of page.Contents ?? []) {
          if (Key !== undefined) yield { key: Key, bytes: Size ?? 0, modifiedAt: LastModified?.getTime() ?? Date.now() }
        }
        ContinuationToken = page.NextContinuationToken
        if (page.IsTruncated && !ContinuationToken) {
          throw new StoreError('StoreRejected', `the store cut its list of ${Prefix} without saying how to go on`)
        }
      } while (ContinuationToken)
    },

    // One request a key: the request for many keys needs a checksum on which stores do not agree (Content-MD5 or CRC32).
    async delete(keys, abortSignal) {
      let refusal: unknown
      for (const Key of keys) {
        try {
          await call(`delete ${Key}`, abortSignal, () =>
            client.send(new DeleteObjectCommand({ Bucket, Key }), { abortSignal }),
          )
        } catch (error) {
          abortSignal?.throwIfAborted()
          if (!isStoreError(error, 'NotFound')) refusal ??= error
        }
      }
      if (refusal) throw refusal
    },

    async createUpload(Key, { metadata: Metadata, signal: abortSignal } = {}) {
      const what = `open an upload of ${Key}`
      const { UploadId } = await call(what, abortSignal, () =>
        client.send(new CreateMultipartUploadCommand({ Bucket, Key, Metadata }), { abortSignal }),
      )
      if (!UploadId) {
        throw new StoreError(
          'InvalidEndpoint',
          `cannot ${what}: what answers at ${where} is not an S3 API (no upload id)`,
        )
      }
      return UploadId
    },

    async listUploads(Key, abortSignal) {
      const page = await call(`list the uploads of ${Key}`, abortSignal, () =>
        client.send(new ListMultipartUploadsCommand({ Bucket, Prefix: Key }), { abortSignal }),
      )
      return (page.Uploads ?? []).flatMap(upload => (upload.Key === Key && upload.UploadId ? [upload.UploadId] : []))
    },

    async uploadPart(Key, UploadId, PartNumber, Body, abortSignal) {
      const what = `send part ${PartNumber} of ${Key}`
      const { ETag } = await call(what, abortSignal, () =>
        client.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body }), { abortSignal }),
      )
      if (!ETag) throw new StoreError('StoreUnavailable', `cannot ${what}: the reply has no ETag`)
      return ETag
    },

    async completeUpload(Key, UploadId, parts, bytes, abortSignal) {
      const what = `complete ${Key}`
      let failure: unknown
      try {
        await call(what, abortSignal, () =>
          client.send(completionOf({ Bucket, Key, UploadId }, parts), { abortSignal }),
        )
      } catch (error) {
        abortSignal?.throwIfAborted()
        failure = error
      }
      const found = await head(Key, abortSignal)
      if (found?.bytes === bytes) return
      const seen = found ? `an object of ${found.bytes} bytes instead of ${bytes} is there` : 'no object is there'
      throw failure ?? new StoreError('StoreUnavailable', `cannot ${what}: the store reported success, but ${seen}`)
    },

    async abortUpload(Key, UploadId, abortSignal) {
      try {
        await call(`abort the upload of ${Key}`, abortSignal, () =>
          client.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }), { abortSignal }),
        )
      } catch (error) {
        if (!isStoreError(error, 'NotFound')) throw error
      }
    },

    close: () => client.destroy(),
  }
}

function createClient(settings: S3Settings): S3Client {
  const { endpoint, ca } = settings
  if (endpoint !== undefined) checkEndpoint(endpoint)
  const connections = { keepAlive: true, maxSockets }
  return new S3Client({
    endpoint,
    region: settings.region ?? 'us-east-1',
    forcePathStyle: settings.forcePathStyle ?? endpoint !== undefined,
    credentials: settings.credentials,
    // One try: retry.ts decides, with a budget that the SDK's counter cannot express.
    maxAttempts: 1,
    // R2, B2, Ceph, Garage and StorageGRID reject the SDK's own checksum headers; the signature covers the body's sha256 anyway.
    ...(endpoint === undefined
      ? {}
      : { requestChecksumCalculation: 'WHEN_REQUIRED' as const, responseChecksumValidation: 'WHEN_REQUIRED' as const }),
    // A store that does not answer 100-continue would cost 6 s a part.
    expectContinueHeader: false,
    // An ambient ~/.aws or AWS_* must not decide where backups go.
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
  })
}

function checkEndpoint(endpoint: string) {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined
  if (url && (url.protocol === 'http:' || url.protocol === 'https:')) return
  throw new StoreError('InvalidEndpoint', `the endpoint ${endpoint} is not a URL that begins with http:// or https://`)
}

function statusOf(error: unknown): number | undefined {
  const cause = error instanceof Error ? error.cause : undefined
  return (cause as { $metadata?: { httpStatusCode?: number } } | undefined)?.$metadata?.httpStatusCode
}
