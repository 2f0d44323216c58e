/** A `details.causes[]` entry of a Status: which field, and why. */
export type StatusCause = { readonly reason?: string; readonly message?: string; readonly field?: string }

/** `details` of a Kubernetes Status object. */
export type StatusDetails = {
  readonly name?: string
  readonly group?: string
  readonly kind?: string
  readonly uid?: string
  readonly causes?: readonly StatusCause[]
  readonly retryAfterSeconds?: number
}

/** The API server answered, and said no. `message` is its own sentence behind the request that it refused. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  /** HTTP status, or the code of an in-stream ERROR event. */
  readonly status: number
  /** Machine-readable: `NotFound`, `Conflict`, `AlreadyExists`, `Invalid`, `Expired`…; '' where the answer was no Status object. */
  readonly reason: string
  /** The server's sentence alone. */
  readonly detail: string
  readonly details: StatusDetails
  readonly retryAfterSeconds: number | undefined

  constructor(answer: {
    readonly request: string
    readonly status: number
    readonly reason?: string
    readonly message?: string
    readonly details?: StatusDetails
    readonly retryAfterSeconds?: number
  }) {
    const { request, status, reason = '', message = '', details = {} } = answer
    super(`${request}: ${status}${reason === '' ? '' : ` ${reason}`}${message === '' ? '' : `: ${message}`}`)
    this.status = status
    this.reason = reason
    this.detail = message
    this.details = details
    this.retryAfterSeconds = answer.retryAfterSeconds ?? details.retryAfterSeconds
  }
}

/** No answer arrived: refused, reset, timed out, or cut off half-way. Whether the server acted is unknown unless `unsent`. */
export class ConnectionError extends Error {
  override readonly name = 'ConnectionError'
  /** True when the request cannot have reached the server. */
  readonly unsent: boolean

  constructor(request: string, options: { readonly cause: unknown; readonly unsent: boolean }) {
    const why = options.cause instanceof Error ? options.cause.message : String(options.cause)
    super(`${request}: no answer from the API server: ${why}`, { cause: options.cause })
    this.unsent = options.unsent
  }
}

/** An answer that breaks a limit or the protocol: too big, or not JSON. */
export class ResponseError extends Error {
  override readonly name = 'ResponseError'
}

/** A write was stopped before it left, because this process no longer holds the lease that allows it. */
export class FencedError extends Error {
  override readonly name = 'FencedError'

  constructor(request: string) {
    super(`${request}: not sent: this process no longer holds its leader lease`)
  }
}

/** Thrown by a reconcile that has nothing to repair but must look again later: no backoff, no error log. */
export class WaitError extends Error {
  override readonly name = 'WaitError'
  readonly afterMs: number

  constructor(afterMs: number, message: string, options?: ErrorOptions) {
    super(message, options)
    this.afterMs = afterMs
  }
}

/**
 * Admission denied the write. It chooses the status itself, which then says nothing of accounts, versions or what is there. Source of the
 * words: kubernetes staging/src/k8s.io/apiserver/pkg/admission/plugin, `webhook/errors/statuserror.go` and
 * `policy/validating/dispatcher.go`.
 */
export function isDenied({ detail }: ApiError): boolean {
  return denial.test(detail)
}

const denial =
  /^admission webhook ".+?" denied the request|ValidatingAdmissionPolicy '.+?' (with binding '.+?' )?denied request/

export function isNotFound(error: unknown): error is ApiError {
  return error instanceof ApiError && error.status === 404 && !isDenied(error)
}

/** A stale resourceVersion or a failed precondition; not {@link isAlreadyExists}, which shares its status. */
export function isConflict(error: unknown): error is ApiError {
  return error instanceof ApiError && error.status === 409 && error.reason !== 'AlreadyExists' && !isDenied(error)
}

export function isAlreadyExists(error: unknown): error is ApiError {
  return error instanceof ApiError && error.status === 409 && error.reason === 'AlreadyExists' && !isDenied(error)
}

/** An admission webhook has side effects, and takes part in no dry run: nobody knows what it would say. */
export function refusesDryRun(error: unknown): boolean {
  return error instanceof ApiError && error.status === 400 && error.message.includes('does not support dry run')
}

/** The resourceVersion or continue token is too old: list again. */
export function isGone(error: unknown): error is ApiError {
  return error instanceof ApiError && (error.status === 410 || error.reason === 'Expired' || error.reason === 'Gone')
}

export function isInvalid(error: unknown): error is ApiError {
  return error instanceof ApiError && error.status === 422
}

/** The server is behind the asked resourceVersion, also after its store was restored from an older copy: list again. */
export function isResourceVersionTooLarge(error: unknown): error is ApiError {
  return (
    error instanceof ApiError && (error.details.causes ?? []).some(cause => cause.reason === 'ResourceVersionTooLarge')
  )
}
