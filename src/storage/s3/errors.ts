/** What an error of the AWS SDK, of the network or of TLS means to us. */
import { StoreError, type StoreErrorReason } from '../store-error.ts'

/** What the request was about, for sentences that a person can act on. */
export interface RequestContext {
  /** For example `put shop/orders/owner.json`. */
  readonly what: string
  readonly bucket: string
  /** URL of the endpoint, or `AWS`. */
  readonly endpoint: string
  /** The endpoint has answered as an S3 API before: what answers otherwise now is something in between, on a bad day. */
  readonly spoke: boolean
}

/** Codes from https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html, and those that MinIO, Ceph and versitygw add. */
const byCode: Readonly<Record<string, StoreErrorReason>> = {
  NoSuchKey: 'NotFound',
  NoSuchUpload: 'NotFound',
  InvalidRange: 'RangeNotSatisfiable',
  NoSuchBucket: 'BucketNotFound',
  AccessDenied: 'AccessDenied',
  AccountProblem: 'AccessDenied',
  AllAccessDisabled: 'AccessDenied',
  ExpiredToken: 'CredentialsExpired',
  TokenRefreshRequired: 'CredentialsExpired',
  InvalidAccessKeyId: 'AccessDenied',
  InvalidToken: 'AccessDenied',
  SignatureDoesNotMatch: 'AccessDenied',
  RequestTimeTooSkewed: 'ClockSkew',
  RequestExpired: 'ClockSkew',
  QuotaExceeded: 'StoreFull',
  XAdminBucketQuotaExceeded: 'StoreFull',
  XMinioAdminBucketQuotaExceeded: 'StoreFull',
  XMinioStorageFull: 'StoreFull',
  InsufficientCapacity: 'StoreFull',
  InternalError: 'StoreUnavailable',
  OperationAborted: 'StoreUnavailable',
  RequestTimeout: 'StoreUnavailable',
  ServiceUnavailable: 'StoreUnavailable',
  SlowDown: 'StoreUnavailable',
  SlowDownRead: 'StoreUnavailable',
  SlowDownWrite: 'StoreUnavailable',
  TooManyRequests: 'StoreUnavailable',
  XMinioServerNotInitialized: 'StoreUnavailable',
  /** The digest in the request did not match what arrived: damaged on the way. */
  BadDigest: 'StoreUnavailable',
  IncompleteBody: 'StoreUnavailable',
  XAmzContentSHA256Mismatch: 'StoreUnavailable',
  PermanentRedirect: 'InvalidEndpoint',
  TemporaryRedirect: 'InvalidEndpoint',
  InvalidRegion: 'RegionWrong',
  IllegalLocationConstraintException: 'RegionWrong',
  InvalidObjectState: 'ObjectArchived',
  /** Alibaba Cloud, Tencent Cloud, Volcano Engine: the bucket's name must be in the host. */
  SecondLevelDomainForbidden: 'AddressingRefused',
  PathStyleDomainForbidden: 'AddressingRefused',
  InvalidPathAccess: 'AddressingRefused',
  MissingContentMD5: 'ChecksumRefused',
}

/** What to do, before the store's own words: messages are cut at their end. Of those reasons for which the words do not say it. */
const advice: Partial<Readonly<Record<StoreErrorReason, string>>> = {
  AccessDenied: 'check the credentials and what they may do in this bucket',
  ClockSkew: 'the clocks of this node and of the store differ by more than it accepts',
  CredentialsExpired: 'the session token has expired; renew the Secret',
  InvalidEndpoint: 'the bucket is in another region or at another endpoint, and redirects are not followed',
  AddressingRefused:
    "the store wants the bucket's name in the host; set backend.forcePathStyle to false, or leave it out",
  ChecksumRefused: 'the store demands a checksum, and takes neither Content-MD5 nor CRC32',
  ObjectArchived: 'the object is in an archive; restore it there, and let no lifecycle rule archive this folder',
}

const tlsCodes = [
  'CERT_HAS_EXPIRED',
  'CERT_NOT_YET_VALID',
  'CERT_REVOKED',
  'CERT_UNTRUSTED',
  'CERT_SIGNATURE_FAILURE',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'ERR_TLS_CERT_ALTNAME_INVALID',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]

/** Errors of the network by their code: what happened, in words. */
const unreachable: Readonly<Record<string, string>> = {
  ENOTFOUND: 'its name does not resolve (DNS)',
  EAI_AGAIN: 'its name does not resolve now (DNS)',
  ECONNREFUSED: 'the connection was refused',
  EHOSTUNREACH: 'there is no route to it',
  ENETUNREACH: 'there is no route to it',
}

/** The error as a StoreError; StoreErrors are returned as they are. */
export function storeErrorOf(error: unknown, context: RequestContext): StoreError {
  if (error instanceof StoreError) return error
  const facts = factsOf(error)
  const fail = (reason: StoreErrorReason, why: string) => {
    const perhapsObeyed = isPerhapsObeyed(reason, facts)
    return new StoreError(reason, `cannot ${context.what} in bucket ${context.bucket} at ${context.endpoint}: ${why}`, {
      cause: error,
      perhapsObeyed,
    })
  }
  const said = [facts.code, facts.message].filter(Boolean).join(': ')
  if (facts.status === undefined) return fail(...networkReason(facts, said))
  if (!facts.spoken) return fail(...strangeReply(facts, context.spoke))
  const words = `${said} (status ${facts.status})`
  const reason = asksForChecksum(facts)
    ? 'ChecksumRefused'
    : speaksOfRegion(facts)
      ? 'RegionWrong'
      : (byCode[facts.code] ?? reasonOfStatus(facts.status))
  if (isConsole(facts))
    return fail('InvalidEndpoint', `this is the port of the store's console, not of its API: ${words}`)
  if (reason === 'BucketNotFound')
    return fail(reason, 'the bucket does not exist; create it, or correct backend.bucket')
  if (reason === 'RegionWrong' || (reason === 'InvalidEndpoint' && facts.region !== undefined)) {
    const where = facts.region === undefined ? '' : `; set backend.region to ${facts.region}`
    return fail('RegionWrong', `the bucket is in another region${where}: ${words}`)
  }
  return fail(reason, advice[reason] === undefined ? words : `${advice[reason]}: ${words}`)
}

/**
 * A limit of time, a connection that was lost on the way, a reply that broke off, and every 5xx of a fault: a proxy gives up on a store that
 * has been asked, and stores fail half-way. Whoever could not be connected to, or says why it refuses, has not obeyed.
 */
function isPerhapsObeyed(reason: StoreErrorReason, { status }: ErrorFacts): boolean {
  return reason === 'StoreUnavailable' && (status === undefined || status < 300 || status >= 500)
}

/** A reply with a status, which nobody who speaks S3 has written. It says nothing about buckets and keys. */
export function strangeReply(
  { status, html }: Pick<ErrorFacts, 'status' | 'html'>,
  spoke: boolean,
): [StoreErrorReason, string] {
  const what = html ? 'a web page' : 'no S3 reply'
  if (status === 507) return ['StoreFull', `answer ${status}`]
  if (status === 413)
    return ['StoreRejected', `a proxy before the store refuses requests of this size (answer ${status})`]
  if (status === 408 || status === 429 || (status !== undefined && status >= 500 && status !== 501))
    return ['StoreUnavailable', `answer ${status} (${what})`]
  if ((status === 401 || status === 403) && !html)
    return ['AccessDenied', `${advice.AccessDenied}: answer ${status} without a code`]
  if (spoke)
    return ['StoreUnavailable', `something in between answered instead of the store (status ${status}, ${what})`]
  return ['InvalidEndpoint', `what answers there is not an S3 API (status ${status}, ${what})`]
}

function reasonOfStatus(status: number): StoreErrorReason {
  if (status === 401 || status === 403) return 'AccessDenied'
  if (status === 507) return 'StoreFull'
  if (status >= 300 && status < 400) return 'InvalidEndpoint'
  // 200 with an <Error> of an unknown code: the store says that it failed, so that another try is right.
  if (status === 408 || status === 429 || status < 300 || (status >= 500 && status !== 501)) return 'StoreUnavailable'
  return 'StoreRejected'
}

/** MinIO's console knows the requests of the API, and sends them away with a code that says nothing. */
function isConsole({ status, message }: ErrorFacts): boolean {
  return status === 400 && message.includes('must be made to API port')
}

/** The code alone may also speak of keys, dates and services. */
function speaksOfRegion({ code, message }: ErrorFacts): boolean {
  return code === 'AuthorizationHeaderMalformed' && /\bregion\b/i.test(message)
}

/** Stores with Object Lock, among others, demand that the body has a digest; they agree on the words, not on the code. */
function asksForChecksum({ status, code, message }: ErrorFacts): boolean {
  if (status !== 400 && status !== 501) return false
  if (code === 'BadDigest' || code === 'XAmzContentSHA256Mismatch') return false
  return code === 'MissingContentMD5' || /content-?md5|checksum/i.test(message)
}

function networkReason(facts: ErrorFacts, said: string): [StoreErrorReason, string] {
  const words = unreachable[facts.code]
  if (words) return ['EndpointUnreachable', `${words} (${facts.code})`]
  if (tlsCodes.includes(facts.code)) {
    // The advice comes first: messages are cut at their end. Node's own advice is for people who run node.
    const what = said.replace(/; if the root CA is installed locally.*$/s, '')
    return ['TLSVerificationFailed', `its certificate is not trusted; name its authority in backend.ca (${what})`]
  }
  // What OpenSSL says when the other side does not speak TLS, and the HTTP parser when it speaks nothing else.
  if (facts.code === 'EPROTO' || facts.code.startsWith('ERR_SSL_') || facts.code.startsWith('HPE_')) {
    return ['InvalidEndpoint', `the other side does not speak the protocol of this URL (http or https?): ${said}`]
  }
  if (facts.code === 'ERR_INVALID_URL') return ['InvalidEndpoint', 'the endpoint is not a URL']
  if (/did not establish a connection/.test(facts.message)) {
    return ['EndpointUnreachable', 'nothing answers there (timeout while connecting)']
  }
  return ['StoreUnavailable', said]
}

export interface ErrorFacts {
  /** The store's code, Node's code, or ''. */
  readonly code: string
  readonly message: string
  /** HTTP status, where there was a reply. */
  readonly status: number | undefined
  /** The reply has a code of the S3 protocol in its body. */
  readonly spoken: boolean
  readonly html: boolean
  /** Where the store says that the bucket is. */
  readonly region: string | undefined
}

/** A label of a host: nothing else becomes part of one. */
const regionPattern = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/

/** Errors are read as data: the SDK's own classes depend on which of its copies threw. */
export function factsOf(error: unknown): ErrorFacts {
  const none = { code: '', status: undefined, spoken: false, html: false, region: undefined }
  if (!(error instanceof Error)) return { ...none, message: String(error) }
  const {
    code,
    message,
    errors,
    Code: said,
    Region: named,
    $metadata: metadata,
    $response: response,
  } = error as Error & {
    code?: unknown
    errors?: readonly (Error & { code?: string })[]
    Code?: unknown
    Region?: unknown
    $metadata?: { httpStatusCode?: number }
    $response?: { statusCode?: number; headers?: Readonly<Record<string, string>> }
  }
  const status = metadata?.httpStatusCode ?? response?.statusCode
  // An attempt at each address of a name ends in an AggregateError without a message.
  const text = message || (errors ?? []).map(one => one.message).join('; ')
  if (status === undefined) return { ...none, code: typeof code === 'string' ? code : '', message: text }
  // MinIO and AWS say it in a field or a header, versitygw only in the sentence.
  const [, told] = /\bregion\b.*expecting ['"]([^'"]+)['"]/.exec(text) ?? []
  const region = named ?? response?.headers?.['x-amz-bucket-region'] ?? told
  return {
    code: typeof said === 'string' ? said : '',
    message: text,
    status,
    spoken: typeof said === 'string' && said !== '',
    html: response?.headers?.['content-type']?.startsWith('text/html') === true,
    region: typeof region === 'string' && regionPattern.test(region) ? region : undefined,
  }
}
