/**
 * The seek table of zstd's seekable format, version 0.1.0: where each frame begins, as a last frame that decoders skip.
 * https://github.com/facebook/zstd/blob/dev/contrib/seekable_format/zstd_seekable_compression_format.md
 */
import { skippableFrame } from './skippable-frame.ts'

const tableMagic = 0x184d2a5e
const seekableMagic = 0x8f92eab1
const entryBytes = 8
const footerBytes = 9

/** The sizes of the frames so far: 8 bytes for each, so that 200 GiB take 400 KiB. */
export class SeekTable {
  #entries = Buffer.alloc(64 * entryBytes)
  #frames = 0

  /** `plainBytes`: 0 for a frame that is skipped. */
  add(storedBytes: number, plainBytes: number) {
    const offset = this.#frames++ * entryBytes
    if (offset === this.#entries.length) this.#entries = Buffer.concat([this.#entries, Buffer.alloc(offset)])
    this.#entries.writeUInt32LE(storedBytes, offset)
    this.#entries.writeUInt32LE(plainBytes, offset + 4)
  }

  /** The whole skippable frame. Its entries have no checksums: each frame ends with its own. */
  encode(): Buffer {
    const entries = this.#entries.subarray(0, this.#frames * entryBytes)
    const footer = Buffer.alloc(footerBytes)
    footer.writeUInt32LE(this.#frames)
    footer.writeUInt32LE(seekableMagic, 5)
    return skippableFrame(tableMagic, entries, footer)
  }
}
