/**
 * The object store over the S3 protocol, one request a call: no retries here (`retry.ts`). A request is repeated only where the store
 * refused it for the way in which it was made (`modes.ts`), or for credentials that were renewed meanwhile. Tested against MinIO and
 * versitygw; settings for other stores follow docs/decisions.
 */
import { buffer } from 'node:stream/consumers'
import { Readable } from 'node:stream'
import {
  AbortMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetBucketLifecycleConfigurationCommand,
  GetBucketVersioningCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type GetObjectCommandOutput,
  type LifecycleRule,
  type S3Client,
  type S3ClientConfig,
} from '@aws-sdk/client-s3'
import { createClient, type Answered, type ClientSettings } from './client.ts'
import { fixedCredentials, type CredentialSource, type StoreCredentials } from './credentials.ts'
import type { ByteRange, ObjectHead, ObjectStore } from '../object-store.ts'
import { completionOf, partOf } from './bodies.ts'
import { factsOf, storeErrorOf } from './errors.ts'
import { digestOf, firstMode, mayNameBucket, modeAfter, type StoreMode } from './modes.ts'
import { archivedByClass } from './storage-class.ts'
import { isStoreError, StoreError } from '../store-error.ts'

export interface S3Settings extends ClientSettings {
  /** Absent, or `us-east-1`: found out, where the store names another. */
  readonly region?: string
  /** Absent: true with an endpoint, and found out where the store takes no such address. */
  readonly forcePathStyle?: boolean
  readonly credentials: StoreCredentials | CredentialSource
}

export interface S3Store extends ObjectStore {
  /** How it was spoken to last. */
  readonly mode: () => StoreMode
  /**
   * Whether the bucket keeps what is deleted below `prefix`, as older versions that no lifecycle rule removes. Undefined where that
   * cannot be found out: these credentials may not, or the store does not know, or not now.
   */
  readonly keepsDeleted: (prefix: string, signal?: AbortSignal) => Promise<boolean | undefined>
}

/** Of a write: headers of HTTP. */
type Condition = { readonly IfNoneMatch?: '*' } | { readonly IfMatch: string }

/** Stores may give a page without keys, and say that there are more; not for ever. */
const mostEmptyPages = 100
/** More than there are ways to make a request. */
const mostWays = 8
/** What a store answers to credentials that may have been replaced. */
const credentialCodes = [
  'ExpiredToken',
  'InvalidToken',
  'InvalidAccessKeyId',
  'SignatureDoesNotMatch',
  'TokenRefreshRequired',
]

/**
 * `overrides` of the SDK's configuration: how tests bring what is meant for AWS to a server of their own.
 * @throws StoreError InvalidEndpoint when the endpoint is not an http(s) URL.
 */
export function openS3(settings: S3Settings, overrides?: S3ClientConfig): S3Store {
  const { bucket: Bucket, endpoint } = settings
  if (endpoint !== undefined) checkEndpoint(endpoint)
  const where = endpoint ?? 'AWS'
  const credentials = 'current' in settings.credentials ? settings.credentials : fixedCredentials(settings.credentials)
  let mode = firstMode(settings)
  let client = createClient(settings, mode, credentials, overrides)
  let addressed: Promise<void> | undefined

  /** Earlier clients may have requests under way. */
  const clients = [client]

  function change(to: StoreMode) {
    const { spoke } = client
    mode = to
    client = createClient(settings, mode, credentials, overrides)
    client.spoke = spoke
    clients.push(client)
  }

  async function call<T>(
    what: string,
    signal: AbortSignal | undefined,
    request: (s3: S3Client, mode: StoreMode) => Promise<T>,
  ): Promise<T> {
    addressed ??= mayNameBucket(Bucket, settings) ? findAddress(signal) : Promise.resolve()
    try {
      await addressed
    } catch (error) {
      addressed = undefined
      throw error
    }
    return callAsItIs(what, signal, request)
  }

  async function callAsItIs<T>(
    what: string,
    signal: AbortSignal | undefined,
    request: (s3: S3Client, mode: StoreMode) => Promise<T>,
  ): Promise<T> {
    for (let ways = 1; ; ways++) {
      signal?.throwIfAborted()
      const used = { client, mode, changes: await credentials.changes() }
      try {
        return await request(client.s3, mode)
      } catch (error) {
        signal?.throwIfAborted()
        const facts = factsOf(error)
        used.client.spoke ||= facts.spoken
        const failure = storeErrorOf(error, { what, bucket: Bucket, endpoint: where, spoke: used.client.spoke })
        if (ways === mostWays) throw failure
        if (credentialCodes.includes(facts.code)) {
          if ((await credentials.changes({ look: true })) === used.changes) throw failure
          continue
        }
        const next = modeAfter(failure, used.mode, settings)
        if (!next) throw failure
        // Another request may have found the way meanwhile.
        if (mode === used.mode) change(next)
      }
    }
  }

  /**
   * With the bucket's name in the host already, what follows it in the path is a key: a list of the bucket then misses a key. A list that
   * is refused tells neither: on a guess this process would write one folder too deep, and the next one look elsewhere.
   */
  async function findAddress(abortSignal?: AbortSignal): Promise<void> {
    try {
      await callAsItIs('list', abortSignal, s3 =>
        s3.send(new ListObjectsV2Command({ Bucket, MaxKeys: 1 }), { abortSignal }),
      )
    } catch (error) {
      if (isStoreError(error, 'NotFound')) return change({ ...mode, addressing: 'in the endpoint' })
      if (!isStoreError(error, 'AccessDenied')) throw error
      const why = "the endpoint's host may name the bucket already, and only a list would tell"
      const remedy =
        "allow these credentials to list, or write backend.endpoint without the bucket's name, or set backend.forcePathStyle"
      throw new StoreError('AccessDenied', `${why}; ${remedy}: ${error.message}`, { cause: error })
    }
  }

  /** A refused HEAD has no words; the same question as a GET of the first byte has. */
  async function head(Key: string, abortSignal?: AbortSignal): Promise<ObjectHead | undefined> {
    const what = `look at ${Key}`
    try {
      return await call(what, abortSignal, async s3 => {
        const reply = await s3.send(new HeadObjectCommand({ Bucket, Key }), { abortSignal })
        return headOf(reply, reply.ContentLength)
      })
    } catch (error) {
      if (!wordless(error)) throw error
    }
    try {
      return await call(what, abortSignal, async s3 => {
        const reply = await s3.send(new GetObjectCommand({ Bucket, Key, Range: 'bytes=0-0' }), { abortSignal })
        ;(reply.Body as Readable).destroy()
        const [, total] = /\/(\d+)$/.exec(reply.ContentRange ?? '') ?? []
        return headOf(reply, total === undefined ? reply.ContentLength : Number(total))
      })
    } catch (error) {
      if (isStoreError(error, 'NotFound')) return undefined
      // There is no first byte.
      if (statusOf(error) === 416) return { bytes: 0, metadata: {}, answeredAt: undefined }
      throw error
    }
  }

  async function read(Key: string, range?: ByteRange, abortSignal?: AbortSignal) {
    const what = `read ${Key}`
    const Range = range && `bytes=${range.start}-${range.end - 1}`
    return call(what, abortSignal, async s3 => {
      const reply = await s3.send(new GetObjectCommand({ Bucket, Key, Range }), { abortSignal })
      const body = reply.Body as Readable
      try {
        if (range) checkRange(what, range, reply)
      } catch (error) {
        body.destroy()
        throw error
      }
      return { body, bytes: reply.ContentLength, etag: reply.ETag }
    })
  }

  /** A store that does not know ranges, or something in between, answers with the whole object, or with other bytes of it. */
  function checkRange(
    what: string,
    { start, end }: ByteRange,
    { ContentRange, ContentLength }: GetObjectCommandOutput,
  ) {
    const [, first, last, total] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(ContentRange ?? '') ?? []
    if (Number(first) !== start) throw strange(what, 'no such range in its answer')
    if (Number(last) === end - 1 && ContentLength === end - start) return
    if (Number(last) !== Number(total) - 1) throw strange(what, 'another range in its answer')
    const message = `cannot ${what} up to byte ${end}: it has ${total} bytes`
    throw new StoreError('RangeNotSatisfiable', message)
  }

  async function readWhole(key: string, maxBytes: number, signal?: AbortSignal) {
    const { body, bytes = 0, etag } = await read(key, undefined, signal)
    if (bytes > maxBytes) {
      body.destroy()
      throw new StoreError('StoreRejected', `${key} has ${bytes} bytes, more than the ${maxBytes} expected of it`)
    }
    return { body: await call(`read ${key}`, signal, () => buffer(body)), etag }
  }

  async function put(Key: string, Body: Uint8Array, condition: Condition, abortSignal?: AbortSignal) {
    const ContentType = Key.endsWith('.json') ? 'application/json' : 'application/octet-stream'
    const what = `write ${Key}`
    const { ETag } = await call(what, abortSignal, (s3, how) =>
      s3.send(new PutObjectCommand({ Bucket, Key, Body, ...condition, ContentType, ...digestOf(Body, how) }), {
        abortSignal,
      }),
    )
    if (!ETag) throw strange(what, 'no ETag')
  }

  /** The bytes as they come; what ends them too early is told as by any other request. */
  async function* told(what: string, body: Readable, signal?: AbortSignal): AsyncGenerator<Buffer> {
    try {
      for await (const chunk of body) yield chunk as Buffer
    } catch (error) {
      signal?.throwIfAborted()
      throw storeErrorOf(error, { what, bucket: Bucket, endpoint: where, spoke: client.spoke })
    }
  }

  /** @returns whether the store found that its condition holds. */
  async function putIf(key: string, body: Uint8Array, condition: Condition, signal?: AbortSignal): Promise<boolean> {
    try {
      await put(key, body, condition, signal)
      return true
    } catch (error) {
      const status = statusOf(error)
      if (status === 412) return false
      // AWS: another conditional write to the same key is under way. https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
      if (status === 409) throw new StoreError('StoreUnavailable', (error as Error).message, { cause: error })
      if (isStoreError(error, 'StoreRejected') && (status === 400 || status === 501)) {
        const [header] = Object.keys(condition).map(name => name.replaceAll(/(?<=.)(?=[A-Z])/g, '-'))
        throw new StoreError('ConditionalUnsupported', `the store does not accept ${header}: ${error.message}`, {
          cause: error,
        })
      }
      throw error
    }
  }

  function strange(what: string, lack: string): StoreError {
    const message = `cannot ${what}: what answers at ${where} is not an S3 API (${lack})`
    return new StoreError(client.spoke ? 'StoreUnavailable' : 'InvalidEndpoint', message, {
      perhapsObeyed: client.spoke,
    })
  }

  return {
    mode: () => mode,

    async keepsDeleted(prefix, abortSignal) {
      try {
        const { Status } = await call('ask for versioning', abortSignal, s3 =>
          s3.send(new GetBucketVersioningCommand({ Bucket }), { abortSignal }),
        )
        return Status === 'Enabled' && !(await removesVersions(prefix, abortSignal))
      } catch (error) {
        if (error instanceof StoreError) return undefined
        throw error
      }
    },

    put: (key, body, signal) => put(key, body, {}, signal),

    putIfAbsent: async (key, body, signal) =>
      (await putIf(key, body, { IfNoneMatch: '*' }, signal)) ? 'created' : 'exists',

    async replaceIfUnchanged(key, body, IfMatch, signal) {
      try {
        return (await putIf(key, body, { IfMatch }, signal)) ? 'replaced' : 'changed'
      } catch (error) {
        // Of an object that is gone.
        if (isStoreError(error, 'NotFound')) return 'changed'
        throw error
      }
    },

    get: async (key, maxBytes, signal) => (await readWhole(key, maxBytes, signal)).body,

    async getTagged(key, maxBytes, signal) {
      const { body, etag } = await readWhole(key, maxBytes, signal)
      if (!etag) throw strange(`read ${key}`, 'no ETag')
      return { body, etag }
    },

    async read(key, { range, signal } = {}) {
      const { body } = await read(key, range, signal)
      // Whoever reads hears of it, and nobody else.
      body.on('error', () => {})
      const bytes = Readable.from(told(`read ${key}`, body, signal), { objectMode: false })
      // A generator that was not begun has nothing to end.
      return bytes.once('close', () => body.destroy())
    },

    head,

    /** What the store lists is checked: a page outside the question, or one that leads nowhere, would be believed for ever. */
    async *list(Prefix, { after, signal: abortSignal } = {}) {
      const what = `list ${Prefix}`
      let ContinuationToken: string | undefined
      let last: string | undefined
      let emptyPages = 0
      do {
        const page = await listPage(what, { Prefix, StartAfter: after, ContinuationToken }, abortSignal)
        emptyPages = page.Contents?.length ? 0 : emptyPages + 1
        for (const { Key, Size, LastModified, StorageClass } of page.Contents ?? []) {
          if (Key === undefined || !Key.startsWith(Prefix) || (after !== undefined && !isAfter(Key, after))) continue
          if (last !== undefined && !isAfter(Key, last))
            throw new StoreError(
              'StoreRejected',
              `the store does not list ${Prefix} in the order of keys, or repeats a page`,
            )
          last = Key
          const archived = archivedByClass(StorageClass)
          const modifiedAt = LastModified?.getTime() ?? Date.now()
          yield { key: Key, bytes: Size ?? 0, modifiedAt, ...(archived ? { archived } : {}) }
        }
        const next = page.IsTruncated ? page.NextContinuationToken : undefined
        if (page.IsTruncated && (!next || next === ContinuationToken || emptyPages > mostEmptyPages))
          throw new StoreError('StoreRejected', `the store cut its list of ${Prefix} without saying how to go on`)
        ContinuationToken = next
      } while (ContinuationToken)
    },

    // One request a key: the request for many keys needs a checksum on which stores do not agree (Content-MD5 or CRC32).
    async delete(keys, abortSignal) {
      let refusal: unknown
      for (const Key of keys) {
        try {
          await call(`delete ${Key}`, abortSignal, s3 =>
            s3.send(new DeleteObjectCommand({ Bucket, Key }), { abortSignal }),
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
      const { UploadId } = await call(what, abortSignal, (s3, { checksum }) => {
        // Parts with a checksum need an upload that was opened for it.
        const ChecksumAlgorithm = checksum === 'crc32' ? 'CRC32' : undefined
        return s3.send(new CreateMultipartUploadCommand({ Bucket, Key, Metadata, ChecksumAlgorithm }), { abortSignal })
      })
      if (!UploadId) throw strange(what, 'no upload id')
      return UploadId
    },

    async listUploads(Key, abortSignal) {
      const page = await call(`list the uploads of ${Key}`, abortSignal, s3 =>
        s3.send(new ListMultipartUploadsCommand({ Bucket, Prefix: Key }), { abortSignal }),
      )
      return (page.Uploads ?? []).flatMap(upload => (upload.Key === Key && upload.UploadId ? [upload.UploadId] : []))
    },

    async uploadPart(Key, UploadId, PartNumber, Body, abortSignal, sha256) {
      const what = `send part ${PartNumber} of ${Key}`
      const { etag, crc32 } = await call(what, abortSignal, async (s3, how) => {
        const digest = digestOf(Body, how)
        const part = { Bucket, Key, UploadId, PartNumber, Body, ...digest }
        const { ETag } = await s3.send(partOf(part, sha256), { abortSignal })
        return { etag: ETag, crc32: digest.ChecksumCRC32 }
      })
      if (!etag) throw strange(what, 'no ETag')
      return { number: PartNumber, etag, ...(crc32 === undefined ? {} : { crc32 }) }
    },

    async completeUpload(Key, UploadId, parts, bytes, abortSignal) {
      const what = `complete ${Key}`
      let failure: unknown
      try {
        await call(what, abortSignal, s3 => s3.send(completionOf({ Bucket, Key, UploadId }, parts), { abortSignal }))
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
        await call(`abort the upload of ${Key}`, abortSignal, s3 =>
          s3.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }), { abortSignal }),
        )
      } catch (error) {
        if (!isStoreError(error, 'NotFound')) throw error
      }
    },

    close: () => clients.forEach(({ s3 }) => s3.destroy()),
  }

  async function listPage(
    what: string,
    question: { readonly Prefix: string; readonly StartAfter?: string; readonly ContinuationToken?: string },
    abortSignal?: AbortSignal,
  ) {
    let page
    try {
      page = await call(what, abortSignal, s3 =>
        s3.send(new ListObjectsV2Command({ Bucket, ...question }), { abortSignal }),
      )
    } catch (error) {
      if (!isStoreError(error, 'NotFound')) throw error
      const advice = "the endpoint's host names a bucket already, so that what we write would land in a wrong place"
      throw new StoreError('AddressingRefused', `${advice}; write backend.endpoint without it: ${error.message}`, {
        cause: error,
      })
    }
    // An empty list is a fact on which things are deleted: it must be one, and not the reply of something else.
    if (page.Contents === undefined && page.IsTruncated === undefined && page.Name === undefined)
      throw strange(what, 'no list')
    return page
  }

  /** Those who may not know the rules are told of the versions. */
  async function removesVersions(prefix: string, abortSignal?: AbortSignal): Promise<boolean> {
    try {
      const { Rules = [] } = await call('ask for lifecycle rules', abortSignal, s3 =>
        s3.send(new GetBucketLifecycleConfigurationCommand({ Bucket }), { abortSignal }),
      )
      return Rules.some(rule => expiresVersions(rule, prefix))
    } catch (error) {
      if (error instanceof StoreError && error.class === 'user') return false
      throw error
    }
  }
}

/** Whether the rule removes older versions of everything below the prefix: not only of what bears a tag, or has some size. */
function expiresVersions(rule: LifecycleRule, prefix: string): boolean {
  const { Status, NoncurrentVersionExpiration: expiration, Filter: filter } = rule
  if (Status !== 'Enabled' || expiration === undefined) return false
  const narrower = [filter?.Tag, filter?.ObjectSizeGreaterThan, filter?.ObjectSizeLessThan, filter?.And?.Tags]
  const [below = ''] = [filter?.Prefix, filter?.And?.Prefix].filter(each => each !== undefined)
  return narrower.every(each => each === undefined) && prefix.startsWith(below)
}

/** Answered, but without a body that says why: what HEAD gives for every refusal. */
function wordless(error: unknown): boolean {
  const status = statusOf(error)
  return status !== undefined && status >= 300 && status < 500
}

function headOf(reply: Look, bytes: number | undefined): ObjectHead {
  const archived = reply.ArchiveStatus !== undefined || archivedByClass(reply.StorageClass) === true
  const { Metadata: metadata = {}, answeredAt } = reply
  return { bytes: bytes ?? 0, metadata, answeredAt, ...(archived ? { archived } : {}) }
}

/** What HEAD and GET have in common. */
interface Look extends Answered {
  readonly Metadata?: Readonly<Record<string, string>> | undefined
  readonly StorageClass?: string | undefined
  readonly ArchiveStatus?: string | undefined
}

/** In the order of lists: by UTF-8 bytes. */
function isAfter(key: string, other: string): boolean {
  return Buffer.compare(Buffer.from(key), Buffer.from(other)) > 0
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
