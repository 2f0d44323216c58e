/**
 * Whether `a` is a later version than `b`, both of one resource (KEP-5504: decimal numbers of any length, without leading zeros, that
 * grow with every write). False where either of them is not such a number: then nobody can tell.
 */
export function isLaterVersion(a: string | undefined, b: string | undefined): boolean {
  if (a === undefined || b === undefined || !wellFormed.test(a) || !wellFormed.test(b)) return false
  return a.length === b.length ? a > b : a.length > b.length
}

const wellFormed = /^[1-9]\d*$/
