/** How hard each frame is compressed. Most of what is compressed already becomes no smaller, and costs as much as what does. */
import { constants } from 'node:zlib'
import type { BackupTask } from '../../api/mover/task.ts'

/** A frame that becomes no smaller than this is taken for compressed. */
const worthwhile = 0.97
/** So often a frame is compressed at the usual level to see whether that has changed: a dump may begin with a table of images. */
const lookEvery = 16

export type FrameLevel = 'usual' | 'fastest'

const { ZSTD_c_compressionLevel: level, ZSTD_c_windowLog: windowLog, ZSTD_c_hashLog: hashLog } = constants

/** Parameters of zstd (https://facebook.github.io/zstd/zstd_manual.html, `ZSTD_cParameter`). */
export const zstdParameters = {
  // Level 2 with a greater table: as small as level 3 where there are rows, and done sooner (docs/decisions/0018-frames.md).
  usual: { [level]: 2, [windowLog]: 21, [hashLog]: 18 },
  // Stores what it is given: zstd's fastest.
  fastest: { [level]: -131_072 },
} as const satisfies Record<FrameLevel, Readonly<Record<number, number>>>

/**
 * For frame `index`. `shrank`: the last one that was compressed at the usual level; undefined before there is one. `none`: frames that are
 * only wrapped, because what is encrypted has its facts in a frame.
 */
export function levelOf(
  compression: BackupTask['compression'],
  index: number,
  shrank: boolean | undefined,
): FrameLevel {
  if (compression === 'none') return 'fastest'
  if (compression === 'zstd' || shrank !== false || index % lookEvery === 0) return 'usual'
  return 'fastest'
}

export function hasShrunk(plainBytes: number, storedBytes: number): boolean {
  return storedBytes < plainBytes * worthwhile
}
