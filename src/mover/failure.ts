/** How a mover's work fails: with a reason of the contract, which carries the exit code. */
import { moverReasons, type MoverReason } from '../api/mover/reasons.ts'
import { StoreError } from '../storage/store-error.ts'

export class MoverFailure extends Error {
  readonly reason: MoverReason
  /** The command's exit status, where it gave one. */
  readonly sourceStatus?: number
  /** When the attempt began, ms since the epoch, whose manifest was found to be no backup. */
  readonly disproved?: number

  constructor(
    reason: MoverReason,
    message: string,
    options: ErrorOptions & { readonly sourceStatus?: number; readonly disproved?: number } = {},
  ) {
    super(message, options)
    this.name = 'MoverFailure'
    this.reason = reason
    this.sourceStatus = options.sourceStatus
    this.disproved = options.disproved
  }
}

/** Any error as a failure with a reason; errors of the storage carry theirs. */
export function failureOf(error: unknown): MoverFailure {
  if (error instanceof MoverFailure) return error
  if (error instanceof StoreError && error.reason === 'ConditionalUnsupported') {
    return new MoverFailure('StoreRejected', error.message, { cause: error })
  }
  // An upload or an object of ours: where its absence is no failure, nobody throws.
  if (error instanceof StoreError && error.reason === 'NotFound') {
    return new MoverFailure('DataLost', `not there any more: ${error.message}`, { cause: error })
  }
  if (error instanceof Error && 'reason' in error && isReason(error.reason)) {
    return new MoverFailure(error.reason, error.message, { cause: error })
  }
  return new MoverFailure('Internal', error instanceof Error ? (error.stack ?? error.message) : String(error), {
    cause: error,
  })
}

function isReason(value: unknown): value is MoverReason {
  return typeof value === 'string' && Object.hasOwn(moverReasons, value)
}
