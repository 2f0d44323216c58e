/**
 * The rows of a table that this run tells: those marked `long` only with the long list (`make test-long`).
 * Marked is what takes the time of a pod or more, and which a faster test, or a row that is not marked, tells in much the same way.
 */
export function listed<T extends object>(rows: readonly (T & { readonly long?: boolean })[]): readonly T[] {
  return rows.filter(({ long = false }) => !long || process.env['TEST_LONG'] !== undefined)
}
