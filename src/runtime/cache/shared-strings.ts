/** Longer ones are texts for people, which differ. */
const longest = 64
/** Of each half of the memory. A sync brings the objects of one owner side by side, so that few are enough. */
const mostRemembered = 4096

/**
 * Lets equal strings be one string. `JSON.parse` makes a new one for each value, and cached objects consist of few values that return:
 * their own name, their owner's, labels, phases, times. Remembers what it met last, and nothing for ever.
 */
export class SharedStrings {
  #young = new Map<string, string>()
  #old = new Map<string, string>()

  /** Changes the object in place, which must be the caller's own: as it came from `JSON.parse`. */
  share<T extends object>(object: T): T {
    const fields = object as Record<string, unknown>
    for (const key of Object.keys(fields)) {
      const value = fields[key]
      if (typeof value === 'string') {
        if (value.length <= longest) fields[key] = this.#shared(value)
      } else if (typeof value === 'object' && value !== null) this.share(value)
    }
    return object
  }

  #shared(text: string): string {
    const young = this.#young.get(text)
    if (young !== undefined) return young
    const known = this.#old.get(text) ?? text
    if (this.#young.size >= mostRemembered) {
      this.#old = this.#young
      this.#young = new Map()
    }
    this.#young.set(known, known)
    return known
  }
}
