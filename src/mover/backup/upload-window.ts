/**
 * How many parts of an upload are under way at once. A store that is far away needs many to be busy; one that is near, or whose link or
 * processor is full, only lets them wait for each other, in our memory. As TCP Vegas finds it out: by how much longer a part takes than
 * the fastest one did. https://www.rfc-editor.org/rfc/rfc6298 times a link likewise; L. Brakmo, L. Peterson: TCP Vegas, 1995.
 */

export interface UploadWindow {
  /** Parts at once. */
  readonly parts: number
  /** How long the fastest part took, ms; undefined before there is one. */
  readonly fastestMs: number | undefined
}

/** What keeps a store busy that is near, also on a machine that is too: there the times of parts say little. */
const fewest = 4

export const firstWindow: UploadWindow = { parts: fewest, fastestMs: undefined }

/** Parts that only wait for others: fewer, and one more part is worth its memory; more, and one is too many. */
const tooFewWaiting = 1
const tooManyWaiting = 3
/** What was fastest is believed less with each part: routes and loads change. */
const forgetting = 1.002

/**
 * After a part that took `ms` while the window was full.
 * @param most what memory allows
 */
export function windowAfter({ parts, fastestMs }: UploadWindow, ms: number, most: number): UploadWindow {
  const fastest = Math.min(ms, (fastestMs ?? ms) * forgetting)
  const waiting = parts * (1 - fastest / ms)
  const change = waiting < tooFewWaiting ? 1 : waiting > tooManyWaiting ? -1 : 0
  return { parts: Math.max(Math.min(parts + change, most), Math.min(fewest, most)), fastestMs: fastest }
}
