/** Longer strings are texts for people, which differ. */
const longestString = 64
/** In characters of JSON. Larger parts hold a name or a time of their own. */
const longestPart = 400
/** Of each half of a memory. A sync brings the objects of one owner side by side, so that few are enough. */
const mostRemembered = { strings: 4096, parts: 256 } as const

/**
 * Lets equal parts of objects be one part: strings, and what is small inside of objects, as labels, references to an owner, and the settings
 * of a container. `JSON.parse` makes each anew, and cached objects consist of few that return. Remembers what it met last, and nothing for ever.
 */
export class SharedParts {
  readonly #strings = new LastMet<string>(mostRemembered.strings)
  readonly #parts = new LastMet<object>(mostRemembered.parts)

  /**
   * Changes the object in place, which must be the caller's own: as it came from `JSON.parse`. What is inside of it afterwards belongs to
   * others as well, and nobody may change it.
   */
  share<T extends object>(object: T): T {
    this.#shareInside(object)
    return object
  }

  /** @returns the object as text, which another has only if it is equal; undefined where it is no small part */
  #shareInside(object: object): string | undefined {
    const fields = object as Record<string, unknown>
    const isList = Array.isArray(object)
    let text: string | undefined = isList ? '[' : '{'
    for (const key of Object.keys(fields)) {
      const part = this.#shareField(fields, key)
      if (text === undefined || part === undefined || text.length + part.length > longestPart) text = undefined
      else text += isList ? `${part},` : `${JSON.stringify(key)}:${part},`
    }
    return text === undefined ? undefined : text + (isList ? ']' : '}')
  }

  #shareField(fields: Record<string, unknown>, key: string): string | undefined {
    const value = fields[key]
    if (typeof value === 'string') {
      if (value.length > longestString) return undefined
      fields[key] = this.#strings.sameAs(value, value)
      return JSON.stringify(value)
    }
    if (typeof value !== 'object' || value === null) return String(value)
    const text = this.#shareInside(value)
    if (text !== undefined) fields[key] = this.#parts.sameAs(text, value)
    return text
  }
}

/** What came last under each text, of so many texts and up to as many more. */
class LastMet<T extends string | object> {
  readonly #most: number
  #young = new Map<string, T>()
  #old = new Map<string, T>()

  constructor(most: number) {
    this.#most = most
  }

  sameAs(text: string, value: T): T {
    const young = this.#young.get(text)
    if (young !== undefined) return young
    const known = this.#old.get(text) ?? value
    if (this.#young.size >= this.#most) {
      this.#old = this.#young
      this.#young = new Map()
    }
    this.#young.set(typeof known === 'string' ? known : text, known)
    return known
  }
}
