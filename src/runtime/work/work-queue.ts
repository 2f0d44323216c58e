import type { Clock } from '../clock.ts'
import { jittered } from '../client/retry.ts'

export type WorkQueueHooks = {
  readonly onDepth?: (depth: number) => void
  readonly onAdd?: () => void
  readonly onRetry?: () => void
  /** Seconds between the first add of a key and its taking. */
  readonly onTaken?: (waitedSeconds: number) => void
}

export type WorkQueueOptions = WorkQueueHooks & {
  readonly clock: Clock
  readonly firstBackoffMs?: number
  readonly longestBackoffMs?: number
  readonly random?: () => number
}

/**
 * Keys to look at. A key is here at most once however often it is added; one that is added while a worker has it
 * comes back when that worker is done, so no two workers ever hold the same key and no addition is lost.
 *
 * Each namespace has a line of its own, and the lines take turns, first those for which the fewest keys are worked on: who has ten thousand
 * keys, or slow ones, waits for them, and not everybody else (S19).
 */
export class WorkQueue {
  readonly #clock: Clock
  readonly #hooks: WorkQueueHooks
  readonly #firstBackoffMs: number
  readonly #longestBackoffMs: number
  readonly #random: () => number
  /** Namespace → its keys; both in the order of their turns, and no line is empty. The value is when the key was added, monotonic ms. */
  readonly #lines = new Map<string, Map<string, number>>()
  #ready = 0
  readonly #processing = new Set<string>()
  /** Namespace → how many of its keys are worked on; none is 0. */
  readonly #held = new Map<string, number>()
  /** Added while processing. */
  readonly #again = new Map<string, number>()
  /** key → when it becomes ready, monotonic ms. */
  readonly #delayed = new Map<string, number>()
  readonly #failures = new Map<string, number>()
  readonly #takers: ((key: string | undefined) => void)[] = []
  #alarm: { readonly due: number; readonly cancel: () => void } | undefined
  #closed = false

  constructor(options: WorkQueueOptions) {
    this.#clock = options.clock
    this.#hooks = options
    this.#firstBackoffMs = options.firstBackoffMs ?? 250
    this.#longestBackoffMs = options.longestBackoffMs ?? 300_000
    this.#random = options.random ?? Math.random
  }

  /** Keys that wait for a worker now. */
  get depth(): number {
    return this.#ready + this.#again.size
  }

  /** Keys that become ready later. */
  get delayed(): number {
    return this.#delayed.size
  }

  add(key: string): void {
    if (this.#closed) return
    this.#delayed.delete(key)
    if (this.#lines.get(namespaceOf(key))?.has(key) || this.#again.has(key)) return
    this.#hooks.onAdd?.()
    if (this.#processing.has(key)) this.#again.set(key, this.#clock.monotonic())
    else this.#makeReady(key, this.#clock.monotonic())
    this.#hooks.onDepth?.(this.depth)
  }

  /** Adds the key after `ms`. Of several times for one key the earliest wins; an `add` before then replaces it. */
  addAfter(key: string, ms: number): void {
    if (this.#closed) return
    if (!(ms > 0)) {
      this.add(key)
      return
    }
    const due = this.#clock.monotonic() + ms
    if ((this.#delayed.get(key) ?? Number.POSITIVE_INFINITY) <= due) return
    this.#delayed.set(key, due)
    this.#arm(due)
  }

  /** Adds the key after its own backoff, which doubles with every call until {@link forget}. Returns the delay in ms. */
  addBackoff(key: string): number {
    const failures = this.#failures.get(key) ?? 0
    this.#failures.set(key, failures + 1)
    this.#hooks.onRetry?.()
    const ms = jittered(Math.min(this.#firstBackoffMs * 2 ** failures, this.#longestBackoffMs), this.#random)
    this.addAfter(key, ms)
    return ms
  }

  /** The key is well: its next backoff starts anew. */
  forget(key: string): void {
    this.#failures.delete(key)
  }

  /** The next key, for one worker, who calls {@link done} with it. undefined once the queue is closed. */
  take(): Promise<string | undefined> {
    if (this.#closed) return Promise.resolve(undefined)
    const turn = this.#nextLine()
    const next = turn && firstOf(turn[1])
    if (!turn || !next) return new Promise(resolve => this.#takers.push(resolve))
    const [namespace, line] = turn
    const [key, addedAt] = next
    line.delete(key)
    this.#ready--
    this.#lines.delete(namespace)
    if (line.size > 0) this.#lines.set(namespace, line)
    this.#hand(key, addedAt)
    return Promise.resolve(key)
  }

  done(key: string): void {
    if (!this.#processing.delete(key)) throw new Error(`${key} is not being worked on`)
    const namespace = namespaceOf(key)
    const held = this.#heldBy(namespace) - 1
    if (held > 0) this.#held.set(namespace, held)
    else this.#held.delete(namespace)
    const addedAt = this.#again.get(key)
    if (addedAt === undefined || this.#closed) return
    this.#again.delete(key)
    this.#makeReady(key, addedAt)
  }

  /** Nothing is handed out any more. What was waiting is dropped: the next start finds it by looking at the world. */
  close(): void {
    this.#closed = true
    this.#alarm?.cancel()
    this.#alarm = undefined
    this.#lines.clear()
    this.#ready = 0
    this.#again.clear()
    this.#delayed.clear()
    this.#hooks.onDepth?.(0)
    for (const take of this.#takers.splice(0)) take(undefined)
  }

  /** Keys that take long would have all workers soon, if turns alone counted. */
  #nextLine(): readonly [string, Map<string, number>] | undefined {
    let next: readonly [string, Map<string, number>] | undefined
    for (const line of this.#lines) {
      if (this.#heldBy(line[0]) === 0) return line
      if (!next || this.#heldBy(line[0]) < this.#heldBy(next[0])) next = line
    }
    return next
  }

  #heldBy(namespace: string): number {
    return this.#held.get(namespace) ?? 0
  }

  #makeReady(key: string, addedAt: number): void {
    const taker = this.#takers.shift()
    if (taker === undefined) {
      const namespace = namespaceOf(key)
      const line = this.#lines.get(namespace) ?? new Map<string, number>()
      this.#lines.set(namespace, line.set(key, addedAt))
      this.#ready++
      return
    }
    this.#hand(key, addedAt)
    taker(key)
  }

  #hand(key: string, addedAt: number): void {
    const namespace = namespaceOf(key)
    this.#processing.add(key)
    this.#held.set(namespace, this.#heldBy(namespace) + 1)
    this.#hooks.onTaken?.((this.#clock.monotonic() - addedAt) / 1000)
    this.#hooks.onDepth?.(this.depth)
  }

  /** One timer, for the earliest key. It may find nothing due, when that key was added meanwhile. */
  #arm(due: number): void {
    if (this.#alarm !== undefined && this.#alarm.due <= due) return
    this.#alarm?.cancel()
    this.#alarm = { due, cancel: this.#clock.timer(due - this.#clock.monotonic(), () => this.#ring()) }
  }

  #ring(): void {
    this.#alarm = undefined
    const now = this.#clock.monotonic()
    let earliest = Number.POSITIVE_INFINITY
    for (const [key, due] of this.#delayed) {
      if (due <= now) this.add(key)
      else earliest = Math.min(earliest, due)
    }
    if (earliest !== Number.POSITIVE_INFINITY) this.#arm(earliest)
  }
}

/** Of a key as `keyOf` makes it; all keys without a namespace stand in one line. */
function namespaceOf(key: string): string {
  return key.slice(0, Math.max(0, key.indexOf('/')))
}

function firstOf<Key, Value>(map: ReadonlyMap<Key, Value>): readonly [Key, Value] | undefined {
  const next = map.entries().next()
  return next.done ? undefined : next.value
}
