// Waits for conditions of other processes, with a limit and a sentence that says what was waited for.
import { setTimeout as pause } from 'node:timers/promises'

/**
 * Asks `condition` again and again until it answers with something truthy, and returns that.
 * An error that it throws counts as "not yet" and is the cause of the final error.
 * @param options.seconds limit; `options.every` pause between two questions, milliseconds
 */
export async function eventually<T>(
  what: string,
  condition: () => Promise<T> | T,
  options: { readonly seconds: number; readonly every?: number; readonly signal?: AbortSignal },
): Promise<NonNullable<T>> {
  const { seconds, every = 100, signal } = options
  const limit = performance.now() + seconds * 1000
  let cause: unknown
  for (;;) {
    signal?.throwIfAborted()
    try {
      const answer = await condition()
      if (answer) return answer
      cause = undefined
    } catch (error) {
      cause = error
    }
    if (performance.now() > limit) throw new Error(`waited ${seconds} s in vain for ${what}`, { cause })
    await pause(every, undefined, { signal })
  }
}
