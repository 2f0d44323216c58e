/** What an error of the AWS SDK, of the network or of TLS means to us. */
import { StoreError, type StoreErrorReason } from '../store-error.ts'

/** What the request was about, for sentences that a person can act on. */
export interface RequestContext {
  /** For example `put shop/orders/owner.json`. */
  readonly what: string
  readonly bucket: string
  /** URL of the endpoint, or `AWS`. */
  readonly endpoint: string
}

/** Codes from https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html, and those that MinIO, Ceph and versitygw add. */
const byCode: Readonly<Record<string, StoreErrorReason>> = {
  NoSuchKey: 'NotFound',
  NoSuchUpload: 'NotFound',
  NoSuchBucket: 'BucketNotFound',
  AccessDenied: 'AccessDenied',
  AccountProblem: 'AccessDenied',
  AllAccessDisabled: 'AccessDenied',
  ExpiredToken: 'AccessDenied',
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
    return new StoreError(reason, `cannot ${context.what} in bucket ${context.bucket} at ${context.endpoint}: ${why}`, {
      cause: error,
    })
  }
  const said = [facts.code, facts.message].filter(Boolean).join(': ')
  if (facts.status === undefined) return fail(...networkReason(facts, said))
  if (facts.unparsed)
    return facts.status >= 500
      ? fail('StoreUnavailable', `answer ${facts.status}`)
      : fail('InvalidEndpoint', `what answers there is not an S3 API (status ${facts.status}, no S3 reply)`)
  const words = `${said} (status ${facts.status})`
  const known = byCode[facts.code]
  if (known === 'BucketNotFound') return fail(known, 'the bucket does not exist; create it, or correct backend.bucket')
  if (known === 'AccessDenied')
    return fail(known, `${words}; check the credentials and what they may do in this bucket`)
  if (known === 'ClockSkew')
    return fail(known, `the clocks of this node and of the store differ by more than it accepts: ${words}`)
  if (known === 'InvalidEndpoint')
    return fail(
      known,
      `the bucket is in another region or at another endpoint, and redirects are not followed: ${words}`,
    )
  if (known) return fail(known, words)
  return fail(reasonOfStatus(facts.status), words)
}

function reasonOfStatus(status: number): StoreErrorReason {
  if (status === 401 || status === 403) return 'AccessDenied'
  if (status === 404) return 'NotFound'
  if (status === 507) return 'StoreFull'
  if (status >= 300 && status < 400) return 'InvalidEndpoint'
  // 200 with an <Error> of an unknown code: the store says that it failed, so that another try is right.
  if (status === 408 || status === 429 || status < 300 || (status >= 500 && status !== 501)) return 'StoreUnavailable'
  return 'StoreRejected'
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

interface ErrorFacts {
  /** The store's code, Node's code, or ''. */
  readonly code: string
  readonly message: string
  /** HTTP status, where there was a reply. */
  readonly status: number | undefined
  /** There was a reply, but none that the S3 protocol knows. */
  readonly unparsed: boolean
}

/** Errors are read as data: the SDK's own classes depend on which of its copies threw. */
function factsOf(error: unknown): ErrorFacts {
  if (!(error instanceof Error)) return { code: '', message: String(error), status: undefined, unparsed: false }
  const {
    code,
    name,
    message,
    errors,
    $metadata: metadata,
    $response: response,
  } = error as Error & {
    code?: unknown
    errors?: readonly (Error & { code?: string })[]
    $metadata?: { httpStatusCode?: number }
    $response?: { statusCode?: number }
  }
  const status = metadata?.httpStatusCode ?? response?.statusCode
  const nodeCode = typeof code === 'string' ? code : undefined
  // An attempt at each address of a name ends in an AggregateError without a message.
  const text = message || (errors ?? []).map(one => one.message).join('; ')
  const unparsed = status !== undefined && (name === 'SyntaxError' || /Deserialization error|xml/i.test(text))
  if (status === undefined) return { code: nodeCode ?? '', message: text, status, unparsed }
  return { code: name === 'Error' ? (nodeCode ?? '') : name, message: text, status, unparsed }
}
