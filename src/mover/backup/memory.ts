/** What a backup may take of the machine: from the memory limit of its container and the number of its processors. */
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { mostRequests } from '../../storage/s3/client.ts'
import { frameBytes } from './encoder.ts'

export interface MemoryPlan {
  /** Frames that are compressed at once. */
  readonly lanes: number
  /** Buffers of `frameBytes` for plain bytes: one for each lane, and one that is being filled. */
  readonly plainBuffers: number
  /** Size of every part but the last, and how many of them may be there at once. */
  readonly partBytes: number
  readonly parts: number
}

const MiB = 1 << 20

/** What a backup pod's mover is given (src/resources/mover-pod.ts): where nobody tells, as outside of a container, it is taken for that. */
const usualLimit = 256 * MiB
/** The rest of the limit is the kernel's, for sockets and pages of the program, and what an allocator leaves lie. docs/design.md R13: 160 MiB of 256. */
const usable = 0.625
/** Program, thread of digests, garbage of requests: what a mover takes without any of the buffers below. */
const base = 99 * MiB
/** What seals, and what it has sealed and nobody has collected yet. */
const sealingBytes = 14 * MiB
/** Of a lane: its buffer, what it has compressed and not yet written, its tables. */
const laneBytes = frameBytes + 3 * MiB

/** Stores ask for at least 5 MiB. */
const leastPartBytes = 5 * MiB
/** With more memory parts grow: fewer requests, and segments that hold more. */
const mostPartBytes = 32 * MiB
const usualParts = 8
const fewestParts = 2
/** Requests that are no parts: notes, looks. */
const otherRequests = 4

/** @param partBytes where the size is given */
export function planMemory(
  limit: number | undefined,
  processors: number,
  partBytes: number | undefined,
  isSealed = false,
): MemoryPlan {
  const buffers = Math.max((limit ?? usualLimit) * usable - base - (isSealed ? sealingBytes : 0), 0)
  // A third for what is compressed, so that a store that is far away gets the more.
  const lanes = clamp(Math.floor((buffers / 3 - frameBytes) / laneBytes), 1, processors)
  const forParts = buffers - frameBytes - lanes * laneBytes
  const size = partBytes ?? clamp(floorTo(forParts / usualParts, MiB), leastPartBytes, mostPartBytes)
  const parts = clamp(Math.floor(forParts / size), fewestParts, mostRequests - otherRequests)
  return { lanes, plainBuffers: lanes + 1, partBytes: size, parts }
}

function clamp(value: number, least: number, most: number): number {
  return Math.max(least, Math.min(value, most))
}

function floorTo(value: number, unit: number): number {
  return Math.floor(value / unit) * unit
}

/** Of this process's cgroup, version 2 and 1. Kernels write a word, or a number beyond any memory, for none. */
const limitFiles = ['/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory/memory.limit_in_bytes']

/** Bytes; undefined where there is no limit, or it cannot be read. */
export function memoryLimit(): number | undefined {
  for (const file of limitFiles) {
    const limit = Number(readText(file))
    if (limit > 0 && limit < 2 ** 50) return limit
  }
  return undefined
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

export function planHere(partBytes: number | undefined, isSealed: boolean): MemoryPlan {
  return planMemory(memoryLimit(), availableParallelism(), partBytes, isSealed)
}
