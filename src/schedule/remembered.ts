/**
 * `read`, once for each text: every plan reads the same few, and that takes long. When there are more than `most`, all are forgotten. What
 * it throws is not kept.
 */
export function remembered<T extends object | number>(most: number, read: (text: string) => T): (text: string) => T {
  const known = new Map<string, T>()
  return text => {
    const before = known.get(text)
    if (before !== undefined) return before
    const now = read(text)
    if (known.size >= most) known.clear()
    known.set(text, now)
    return now
  }
}
