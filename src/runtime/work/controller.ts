import { realClock } from '../clock.ts'
import type { Clock } from '../clock.ts'
import { ApiError, FencedError, WaitError, isAlreadyExists, isConflict } from '../client/errors.ts'
import { silentLog } from '../log.ts'
import type { Log } from '../log.ts'
import type { KubeObject } from '../client/resource.ts'
import type { Cache } from '../cache/store.ts'
import { jittered } from '../client/retry.ts'
import { WorkQueue } from './work-queue.ts'
import type { WorkQueueHooks } from './work-queue.ts'

/** One source of keys: made by {@link watching} or {@link watchingState}. */
export type Watch = {
  readonly settled: (signal: AbortSignal) => Promise<void>
  /** Returns the way to stop. */
  readonly start: (enqueue: (key: string) => void) => () => void
}

/** Every change of the cache enqueues the keys of the object as it was and as it is now. */
export function watching<T extends KubeObject>(cache: Cache<T>, keys: (object: T) => Iterable<string>): Watch {
  return {
    settled: signal => cache.settled(signal),
    start: enqueue =>
      cache.subscribe(({ object, previous }) => {
        for (const key of keys(object)) enqueue(key)
        if (previous !== undefined && previous !== object) for (const key of keys(previous)) enqueue(key)
      }),
  }
}

/** Every change of the cache's state (a resource appears in the API server, or goes) enqueues the keys. */
export function watchingState<T extends KubeObject>(cache: Cache<T>, keys: () => Iterable<string>): Watch {
  return {
    settled: signal => cache.settled(signal),
    start: enqueue =>
      cache.onState(() => {
        for (const key of keys()) enqueue(key)
      }),
  }
}

/** A server that asks for more patience is asked again all the same: it may be a proxy's page of maintenance that is over by then. */
const longestRetryAfterSeconds = 60

/** So long it is waited for the first answer about every resource. One that the server refuses to list may be refused for days. */
const longestFillMs = 60_000

/** What became of one reconcile, also the metric label. */
export type ReconcileResult = 'done' | 'requeued' | 'waiting' | 'conflict' | 'error' | 'fenced' | 'stopped'

export type ControllerHooks = WorkQueueHooks & {
  readonly onReconciled?: (result: ReconcileResult, seconds: number) => void
}

export type ControllerOptions = {
  readonly name: string
  readonly watches: readonly Watch[]
  /**
   * Brings one key closer to its wish, reading the world anew. A cache may still be `syncing`, and then tells nothing: neither what there is,
   * nor that there is nothing. Throw WaitError to look again later and anything else to
   * back off. The signal aborts at a forced stop and after `timeoutMs`.
   */
  readonly reconcile: (key: string, signal: AbortSignal) => Promise<{ readonly requeueAfterMs?: number } | void>
  readonly workers?: number
  /** How long one reconcile may take. */
  readonly timeoutMs?: number
  /** How long running reconciles may take to finish once the controller stops. */
  readonly graceMs?: number
  readonly clock?: Clock
  readonly log?: Log
  readonly hooks?: ControllerHooks
}

/** Turns changes into keys and keys into reconciles: bounded, one at a time per key, retried by the class of the error. */
export class Controller {
  readonly name: string
  readonly #options: ControllerOptions
  readonly #clock: Clock
  readonly #log: Log
  readonly #queue: WorkQueue

  constructor(options: ControllerOptions) {
    this.name = options.name
    this.#options = options
    this.#clock = options.clock ?? realClock
    this.#log = (options.log ?? silentLog).child({ controller: options.name })
    this.#queue = new WorkQueue({ ...options.hooks, clock: this.#clock })
  }

  enqueue(key: string): void {
    this.#queue.add(key)
  }

  enqueueAfter(key: string, ms: number): void {
    this.#queue.addAfter(key, ms)
  }

  /** Waits for the caches, though not for ever, works until the signal aborts, lets running reconciles finish within `graceMs`. Runs once. */
  async run(signal: AbortSignal): Promise<void> {
    const { watches, workers = 2, graceMs = 5000 } = this.#options
    const forced = new AbortController()
    const stops: (() => void)[] = []
    let cancelGrace: (() => void) | undefined
    const onAbort = (): void => {
      this.#queue.close()
      cancelGrace = this.#clock.timer(graceMs, () => forced.abort(signal.reason))
    }
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      signal.throwIfAborted()
      await this.#fill(signal)
      for (const watch of watches) stops.push(watch.start(key => this.#queue.add(key)))
      this.#log.info({ workers }, 'controller started')
      await Promise.all(Array.from({ length: workers }, () => this.#work(forced.signal)))
    } catch (error) {
      if (!signal.aborted) throw error
    } finally {
      for (const stop of stops) stop()
      this.#queue.close()
      cancelGrace?.()
      signal.removeEventListener('abort', onAbort)
    }
    this.#log.info({}, 'controller stopped')
  }

  /** All at once is best: what comes one after the other is reconciled as often. */
  async #fill(signal: AbortSignal): Promise<void> {
    const late = new AbortController()
    const cancel = this.#clock.timer(longestFillMs, () => late.abort(new Error('not every cache is filled')))
    const either = AbortSignal.any([signal, late.signal])
    try {
      await Promise.all(this.#options.watches.map(watch => watch.settled(either)))
    } catch (error) {
      if (signal.aborted || !late.signal.aborted) throw error
      this.#log.warn({}, 'some resources are not listed yet; what does not need them begins without')
    } finally {
      cancel()
    }
  }

  async #work(forced: AbortSignal): Promise<void> {
    for (let key = await this.#queue.take(); key !== undefined; key = await this.#queue.take()) {
      const start = this.#clock.monotonic()
      const result = await this.#reconcile(key, forced)
      this.#queue.done(key)
      this.#options.hooks?.onReconciled?.(result, (this.#clock.monotonic() - start) / 1000)
    }
  }

  async #reconcile(key: string, forced: AbortSignal): Promise<ReconcileResult> {
    const { timeoutMs = 120_000 } = this.#options
    const timeout = new AbortController()
    const cancelTimeout = this.#clock.timer(timeoutMs, () =>
      timeout.abort(new Error(`the reconcile did not end within ${timeoutMs / 1000} s`)),
    )
    try {
      const outcome = await this.#options.reconcile(key, AbortSignal.any([forced, timeout.signal]))
      this.#queue.forget(key)
      if (outcome?.requeueAfterMs === undefined) return 'done'
      this.#queue.addAfter(key, outcome.requeueAfterMs)
      return 'requeued'
    } catch (error) {
      return this.#afterError(key, error, forced)
    } finally {
      cancelTimeout()
    }
  }

  /** The only place that decides what a thrown error leads to. */
  #afterError(key: string, error: unknown, forced: AbortSignal): ReconcileResult {
    if (forced.aborted) {
      this.#log.info({ object: key, err: error }, 'reconcile was cut off by the stop')
      return 'stopped'
    }
    if (error instanceof FencedError) {
      this.#log.warn({ object: key, err: error }, 'reconcile stopped before a write')
      // A lease that is lost ends the process. One whose renewal was only late is ours again, and nobody else would bring the key back.
      this.#queue.addBackoff(key)
      return 'fenced'
    }
    if (error instanceof WaitError) {
      this.#log.debug({ object: key, reason: error.message, afterMs: error.afterMs }, 'waiting')
      this.#queue.forget(key)
      this.#queue.addAfter(key, error.afterMs)
      return 'waiting'
    }
    if (isConflict(error) || isAlreadyExists(error)) {
      this.#log.debug({ object: key, reason: error.message }, 'the cache was behind, looking again')
      this.#queue.addBackoff(key)
      return 'conflict'
    }
    if (error instanceof ApiError && error.retryAfterSeconds !== undefined) {
      this.#log.warn({ object: key, err: error }, 'the API server asks for patience')
      const seconds = Math.min(longestRetryAfterSeconds, error.retryAfterSeconds)
      this.#queue.addAfter(key, seconds * 1000 + jittered(1000))
      return 'waiting'
    }
    const afterMs = this.#queue.addBackoff(key)
    this.#log.error({ object: key, err: error, afterMs: Math.round(afterMs) }, 'reconcile failed, trying again')
    return 'error'
  }
}
