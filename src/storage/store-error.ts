/** How a request to an object store failed, told by what helps. */

/** What a reader of the error can do. */
export type StoreErrorReason =
  /** 5xx, throttling, a lost connection. */
  | 'StoreUnavailable'
  /** No connection at all. */
  | 'EndpointUnreachable'
  | 'StoreFull'
  | 'ClockSkew'
  | 'InvalidEndpoint'
  | 'TLSVerificationFailed'
  | 'BucketNotFound'
  | 'AccessDenied'
  /** The session token is over. Retried, because whoever renews it may be late, and the files are read again each time. */
  | 'CredentialsExpired'
  /** The bucket is in another region than the one that requests are signed for. */
  | 'RegionWrong'
  /** The bucket's name is where this store does not look for it: in the path, or in the host. */
  | 'AddressingRefused'
  /** The store demands a checksum in a form that it then refuses. */
  | 'ChecksumRefused'
  /** The object is in an archive and cannot be read at once. */
  | 'ObjectArchived'
  /** The store refuses a request that we must make. */
  | 'StoreRejected'
  /** No such object (a read), or no such upload (a part, a complete, an abort), in the store's own words: never a bare 404. */
  | 'NotFound'
  /** The object has not all of the bytes that a read asked for. */
  | 'RangeNotSatisfiable'
  /** The store does not know the header `If-None-Match` (400, 501). */
  | 'ConditionalUnsupported'

/** `retry`: the same request may succeed in a moment. `wait`: later, without anybody's help. `user`: only when somebody acts. */
export type StoreErrorClass = 'retry' | 'wait' | 'user'

const classes = {
  StoreUnavailable: 'retry',
  EndpointUnreachable: 'retry',
  StoreFull: 'wait',
  ClockSkew: 'wait',
  InvalidEndpoint: 'user',
  TLSVerificationFailed: 'user',
  BucketNotFound: 'user',
  AccessDenied: 'user',
  CredentialsExpired: 'retry',
  RegionWrong: 'user',
  AddressingRefused: 'user',
  ChecksumRefused: 'user',
  ObjectArchived: 'user',
  StoreRejected: 'user',
  NotFound: 'user',
  RangeNotSatisfiable: 'user',
  ConditionalUnsupported: 'user',
} as const satisfies Readonly<Record<StoreErrorReason, StoreErrorClass>>

export class StoreError extends Error {
  readonly reason: StoreErrorReason
  readonly class: StoreErrorClass
  /** How many requests were made. With more than one, an earlier one may have taken effect whatever the last was told. */
  readonly tries: number
  /** There was no answer, or one that does not tell: the store may have obeyed, or obey still, and nobody will hear of it. */
  readonly perhapsObeyed: boolean

  constructor(
    reason: StoreErrorReason,
    message: string,
    options: ErrorOptions & { readonly tries?: number; readonly perhapsObeyed?: boolean } = {},
  ) {
    super(message, options)
    this.name = 'StoreError'
    this.reason = reason
    this.class = classes[reason]
    this.tries = options.tries ?? 1
    this.perhapsObeyed = options.perhapsObeyed ?? false
  }
}

export function isStoreError(error: unknown, ...reasons: readonly StoreErrorReason[]): error is StoreError {
  return error instanceof StoreError && (reasons.length === 0 || reasons.includes(error.reason))
}
