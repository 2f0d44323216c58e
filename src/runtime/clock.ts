import { performance } from 'node:perf_hooks'

/** Time as an argument: everything in the runtime that waits or measures takes one. */
export type Clock = {
  /** Wall time, for what is written down. It may jump. */
  now(): Date
  /** Milliseconds that only ever grow, for intervals and deadlines. */
  monotonic(): number
  /** Calls back once, after `ms` of monotonic time. Returns the way to cancel it; cancelling twice is fine. */
  timer(ms: number, callback: () => void): () => void
  /** Resolves after `ms`; rejects with the signal's reason when that comes first. */
  wait(ms: number, signal?: AbortSignal): Promise<void>
}

/** setTimeout fires at once beyond this, so longer waits are made of several. */
const longestTimeoutMs = 2 ** 31 - 1

export const realClock: Clock = {
  now: () => new Date(),
  monotonic: () => performance.now(),
  timer(ms, callback) {
    const due = performance.now() + ms
    let handle: NodeJS.Timeout
    const arm = (): void => {
      const left = due - performance.now()
      handle = setTimeout(left > longestTimeoutMs ? arm : callback, Math.max(0, Math.min(left, longestTimeoutMs)))
    }
    arm()
    return () => clearTimeout(handle)
  },
  wait(ms, signal) {
    return waitWith(realClock, ms, signal)
  },
}

/** `wait` by the timers of a clock. */
export function waitWith(clock: Pick<Clock, 'timer'>, ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(signal.reason as Error)
      return
    }
    const onAbort = (): void => {
      cancel()
      reject(signal?.reason as Error)
    }
    const cancel = clock.timer(ms, () => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    })
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}
