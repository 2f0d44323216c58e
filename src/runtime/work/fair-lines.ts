/** What is taken, and in whose line it stood. */
export type Turn<T> = { readonly line: string; readonly key: string; readonly value: T }

/**
 * Things that wait to be done, in one line for each namespace. The lines take turns, and of each only one thing is under way: what is slow in
 * one namespace is slow for that one alone, and nothing overtakes another in its line (S19). The lines whose last was slow have one turn at a
 * time among them all: however many they are, the others do not wait for them.
 *
 * There are at most `most` of them in all. Who comes then takes the place of the last in the longest line, unless that is its own: nobody's
 * line keeps more than its share once others need the room.
 */
export class FairLines<T> {
  readonly #most: number
  /** Both in the order of their turns; no line is empty. */
  readonly #lines = new Map<string, Map<string, T>>()
  readonly #underWay = new Set<string>()
  /** The lines whose last was slow, the latest last. */
  readonly #slow = new Set<string>()
  #size = 0

  constructor(most: number) {
    this.#most = most
  }

  /** How many wait. */
  get size(): number {
    return this.#size
  }

  get(line: string, key: string): T | undefined {
    return this.#lines.get(line)?.get(key)
  }

  /** In the place of what waits under that key, or else at the end of the line. Returns what there was no room for. */
  put(line: string, key: string, value: T): T | undefined {
    const own = this.#lines.get(line) ?? new Map<string, T>()
    const isNew = !own.has(key)
    let dropped: T | undefined
    if (isNew && this.#size >= this.#most) {
      const longest = this.#longest()
      if (longest === undefined || longest[1].size <= own.size + 1) return value
      dropped = this.#dropLast(...longest)
    }
    this.#lines.set(line, own.set(key, value))
    if (isNew) this.#size++
    return dropped
  }

  /** The first of the next line of which nothing is under way; {@link done} lets that line have its next turn. */
  take(): Turn<T> | undefined {
    const isSlowUnderWay = [...this.#underWay].some(line => this.#slow.has(line))
    for (const [line, waiting] of this.#lines) {
      if (this.#underWay.has(line) || (isSlowUnderWay && this.#slow.has(line))) continue
      for (const [key, value] of waiting) {
        this.#underWay.add(line)
        this.#remove(line, waiting, key)
        // Behind all others.
        if (this.#lines.delete(line)) this.#lines.set(line, waiting)
        return { line, key, value }
      }
    }
    return undefined
  }

  done(line: string, how: 'quick' | 'slow' = 'quick'): void {
    this.#underWay.delete(line)
    this.#slow.delete(line)
    if (how === 'quick') return
    this.#slow.add(line)
    for (const oldest of this.#slow) {
      if (this.#slow.size <= this.#most) break
      this.#slow.delete(oldest)
    }
  }

  clear(): void {
    this.#lines.clear()
    this.#size = 0
  }

  #longest(): readonly [string, Map<string, T>] | undefined {
    let longest: readonly [string, Map<string, T>] | undefined
    for (const entry of this.#lines) if (longest === undefined || entry[1].size > longest[1].size) longest = entry
    return longest
  }

  #dropLast(line: string, waiting: Map<string, T>): T | undefined {
    const last = [...waiting].at(-1)
    if (last !== undefined) this.#remove(line, waiting, last[0])
    return last?.[1]
  }

  #remove(line: string, waiting: Map<string, T>, key: string): void {
    waiting.delete(key)
    this.#size--
    if (waiting.size === 0) this.#lines.delete(line)
  }
}
