/** Whether a backup shrank so much that a person should look before older ones go (docs/design.md R14). */

/** Below this the relative size of a dump says little: a few rows are half of it. */
const smallBytes = 1 << 20
const half = 0.5
const tenth = 0.1

/**
 * Against the last good backup of the target, in plain bytes (compressed ones also shrink with the kind of content): less than half
 * of it, or, where that one was smaller than 1 MiB, less than a tenth. Half, because a table or two that were cleaned up should not
 * wake anybody, and because the usual accident (`pg_dump nosuch | gzip`, a schema that lost its tables, a user who may see nothing)
 * leaves close to nothing. The price of a false alarm is only that nothing is pruned until somebody accepts the backup.
 */
export function isSuspect(bytes: number, lastGoodBytes: number | undefined): boolean {
  if (lastGoodBytes === undefined) return false
  return bytes < lastGoodBytes * (lastGoodBytes >= smallBytes ? half : tenth)
}
