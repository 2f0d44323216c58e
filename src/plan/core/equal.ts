/** Equality of JSON values, whatever the order of keys; a key that is undefined is a key that is not there. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Array.isArray(a) !== Array.isArray(b)) return false
  const [left, right] = [a, b] as readonly [Fields, Fields]
  const keys = present(left)
  return (
    keys.length === present(right).length &&
    keys.every(key => Object.hasOwn(right, key) && sameJson(left[key], right[key]))
  )
}

type Fields = Readonly<Record<string, unknown>>

function present(fields: Fields): readonly string[] {
  return Object.keys(fields).filter(key => fields[key] !== undefined)
}
