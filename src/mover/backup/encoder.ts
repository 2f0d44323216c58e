/** Plain bytes → what is stored of them. */

export interface Encoder {
  /**
   * Takes the next plain bytes, of the memory that `openDigests` knows. The promise settles when they may be overwritten. Each call but
   * the last has `frameBytes`; the next call need not wait for the promise.
   */
  push(plain: Buffer): Promise<void>
  /** After the last bytes: writes what is left, and `last` where there are frames. */
  end(last?: LastFrame): Promise<Encoded>
  /** Gives up what it holds; also after `end`. */
  close(): void
}

export interface Encoded {
  /** Plain bytes and their digest. */
  readonly bytes: number
  readonly sha256: string
}

/** Makes a skippable frame for the end, before the seek table. */
export type LastFrame = (encoded: Encoded) => Buffer

/** Plain bytes of a frame, and of each buffer that is filled from the command. */
export const frameBytes = 4 << 20

/** Copies stored bytes, in their order, which are gone afterwards; its promise holds the stream back. */
export type WriteStored = (...chunks: readonly Buffer[]) => Promise<void>
