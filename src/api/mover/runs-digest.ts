import { createHash } from 'node:crypto'

/** Digest of a set of runs, whatever its order: equal if and only if mover and operator know the same runs (R7). */
export function runsDigest(runs: Iterable<string>): string {
  return createHash('sha256')
    .update([...runs].sort().join('\n'))
    .digest('hex')
    .slice(0, 16)
}
