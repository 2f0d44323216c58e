// Waits for conditions of other processes, with a limit and a sentence that says what was waited for.
import { setTimeout as pause } from 'node:timers/promises'

/**
 * Asks `condition` again and again until it answers with something truthy, and returns that.
 * An error that it throws counts as "not yet" and is the cause of the final error.
 * @param options.seconds limit; `options.every` pause between two questions, milliseconds. Without it a question follows after a tenth
 * of a second, and after a twentieth of the time waited so far when that is longer: many who wait long together must not be what
 * keeps the machine busy.
 */
export async function eventually<T>(
  what: string,
  condition: () => Promise<T> | T,
  options: { readonly seconds: number; readonly every?: number; readonly signal?: AbortSignal },
): Promise<NonNullable<T>> {
  const { seconds, every, signal } = options
  const began = performance.now()
  const limit = began + seconds * 1000
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
    const now = performance.now()
    if (now > limit) throw new Error(`waited ${seconds} s in vain for ${what}`, { cause })
    await pause(every ?? Math.min(Math.max((now - began) / 20, 100), 1000), undefined, { signal })
  }
}
