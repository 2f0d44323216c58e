import { waitWith, type Clock } from './clock.ts'

/** A clock that moves only when told to. Wall and monotonic time can be moved apart. */
export class FakeClock implements Clock {
  #wallMs: number
  #monotonicMs = 0
  #sequence = 0
  readonly #timers = new Map<number, { readonly dueMs: number; readonly callback: () => void }>()

  constructor(start: Date | string = '2026-01-01T00:00:00Z') {
    this.#wallMs = new Date(start).getTime()
  }

  now(): Date {
    return new Date(this.#wallMs)
  }

  monotonic(): number {
    return this.#monotonicMs
  }

  timer(ms: number, callback: () => void): () => void {
    const id = this.#sequence++
    this.#timers.set(id, { dueMs: this.#monotonicMs + Math.max(0, ms), callback })
    return () => {
      this.#timers.delete(id)
    }
  }

  wait(ms: number, signal?: AbortSignal): Promise<void> {
    return waitWith(this, ms, signal)
  }

  /** Timers that have not fired yet. */
  get pending(): number {
    return this.#timers.size
  }

  /** Moves both times on, firing timers in order and letting promises settle after each. */
  async advance(ms: number): Promise<void> {
    const end = this.#monotonicMs + ms
    await settle()
    for (;;) {
      const next = [...this.#timers].reduce<[number, number, () => void] | undefined>(
        (best, [id, { dueMs, callback }]) =>
          dueMs <= end && (best === undefined || dueMs < best[1]) ? [id, dueMs, callback] : best,
        undefined,
      )
      if (next === undefined) break
      const [id, dueMs, callback] = next
      this.#timers.delete(id)
      this.#move(dueMs - this.#monotonicMs)
      callback()
      await settle()
    }
    this.#move(end - this.#monotonicMs)
    await settle()
  }

  /**
   * What a stopped process sees when it is continued: time has passed and no timer has run yet.
   * Those that are due fire at the next {@link advance}.
   */
  freeze(ms: number): void {
    this.#move(ms)
  }

  /** Steps the wall time alone, as NTP or an administrator does. */
  jump(ms: number): void {
    this.#wallMs += ms
  }

  #move(ms: number): void {
    if (ms <= 0) return
    this.#monotonicMs += ms
    this.#wallMs += ms
  }
}

/** Lets pending promise callbacks and I/O callbacks of this turn run. */
async function settle(): Promise<void> {
  await new Promise(resolve => setImmediate(resolve))
}
