import type { Clock } from '../clock.ts'
import { ApiError, ConnectionError } from './errors.ts'

export type RetryPlan = {
  /** Sending the request twice has the effect of sending it once. */
  readonly idempotent: boolean
  /** Attempts in all. */
  readonly attempts: number
  readonly clock: Clock
  readonly signal: AbortSignal | undefined
}

/** A server that asks for more patience than this gets its error passed on: the work queue waits better than a held worker. */
const longestRetryAfterSeconds = 10
const firstDelayMs = 100

/**
 * Repeats only what is safe: a refusal with Retry-After (429 and 503: the request was not handled) for every verb,
 * a lost connection for idempotent ones or when nothing was sent.
 */
export async function withRetries<T>(plan: RetryPlan, attempt: () => Promise<T>): Promise<T> {
  for (let made = 1; ; made++) {
    try {
      return await attempt()
    } catch (error) {
      const delayMs = made < plan.attempts ? retryDelay(error, plan.idempotent, made) : undefined
      if (delayMs === undefined) throw error
      await plan.clock.wait(delayMs, plan.signal)
    }
  }
}

function retryDelay(error: unknown, idempotent: boolean, made: number): number | undefined {
  const backoffMs = jittered(firstDelayMs * 2 ** (made - 1))
  if (error instanceof ApiError) {
    const { status, retryAfterSeconds } = error
    if ((status !== 429 && status !== 503) || retryAfterSeconds === undefined) return undefined
    return retryAfterSeconds > longestRetryAfterSeconds ? undefined : retryAfterSeconds * 1000 + backoffMs
  }
  return error instanceof ConnectionError && (idempotent || error.unsent) ? backoffMs : undefined
}

/** Between half and all of `ms`, so that many waiters spread out. */
export function jittered(ms: number, random: () => number = Math.random): number {
  return ms * (0.5 + random() / 2)
}
