import type { Clock } from './clock.ts'
import type { Log } from './log.ts'
import type { KubeObject } from './resource.ts'
import type { Cache } from './store.ts'

export type Watch = {
  readonly settled: (signal: AbortSignal) => Promise<void>
  readonly start: (enqueue: (key: string) => void) => () => void
}
/** Every change of `cache` enqueues the keys of its old and new state. */
export declare function watching<T extends KubeObject>(cache: Cache<T>, keys: (object: T) => Iterable<string>): Watch

export type Outcome = { readonly requeueAfterMs?: number } | void
export type ControllerOptions = {
  readonly name: string
  readonly watches: readonly Watch[]
  /** Throw WaitError to look again later; throw anything else to back off. The signal aborts at a forced stop and after timeoutMs. */
  readonly reconcile: (key: string, signal: AbortSignal) => Promise<Outcome>
  readonly workers?: number
  readonly timeoutMs?: number
  readonly clock?: Clock
  readonly log?: Log
}

export declare class Controller {
  constructor(options: ControllerOptions)
  readonly name: string
  enqueue(key: string): void
  enqueueAfter(key: string, ms: number): void
  /** Waits for the caches, works until the signal aborts, lets running reconciles finish (bounded). */
  run(signal: AbortSignal): Promise<void>
}
