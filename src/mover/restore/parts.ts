/**
 * The stored bytes of an artifact, part by part, each verified before any of it goes on. A part is read into memory as fast as it comes,
 * so that no connection waits for whoever takes the bytes: a slow reader is not a silent store.
 */
import { webcrypto } from 'node:crypto'
import type { BackupArtifact } from '../../api/record.ts'
import type { ByteRange, ObjectStore } from '../../storage/object-store.ts'
import type { Again } from '../../storage/retry.ts'
import { isStoreError } from '../../storage/store-error.ts'
import { MoverFailure } from '../failure.ts'

export interface PartsOptions {
  /** Without retries: what fails in the middle of a body is asked for again from there on. */
  readonly store: Pick<ObjectStore, 'read'>
  readonly again: Again
  /** Of the policy's folder: keys of segments are relative to it. */
  readonly root: string
  readonly signal: AbortSignal
}

export type StoredArtifact = Pick<BackupArtifact, 'partBytes' | 'segments' | 'storedBytes'>

/** Of all parts that are on their way or wait to be taken. One part may be larger. */
const windowBytes = 32 << 20
const mostAtOnce = 6
/** Writers make no larger ones; a manifest that says otherwise would make us run out of memory. */
export const longestPart = 64 << 20
/** What is damaged on the way is right the next time. */
const mostReads = 3

export interface Part {
  /** Of its first byte in the artifact. */
  readonly offset: number
  readonly key: string
  readonly range: ByteRange
  readonly sha256: string
  /** From 1. */
  readonly number: number
}

/**
 * The parts in order. The buffers belong to the caller.
 * @throws MoverFailure DataTampered, DataLost; StoreError where the store does not give them.
 */
export async function* readParts(artifact: StoredArtifact, options: PartsOptions): AsyncGenerator<Buffer> {
  checkSizes(artifact)
  const { partBytes } = artifact
  const atOnce = Math.max(1, Math.min(mostAtOnce, Math.floor(windowBytes / partBytes)))
  const stop = new AbortController()
  const signal = AbortSignal.any([options.signal, stop.signal])
  const parts = partsOf(artifact)
  const coming: Promise<Buffer>[] = []
  const refill = () => {
    while (coming.length < atOnce) {
      const { done, value: part } = parts.next()
      if (done) return
      const bytes = readPart(part, { ...options, signal })
      // It is told when its turn comes.
      bytes.catch(() => {})
      coming.push(bytes)
    }
  }
  try {
    refill()
    for (let first = coming.shift(); first; first = coming.shift()) {
      const bytes = await first
      refill()
      yield bytes
    }
  } finally {
    stop.abort()
  }
}

/** Sizes that contradict each other are no one's who wrote a backup. */
export function checkSizes({ partBytes, segments, storedBytes }: StoredArtifact) {
  if (partBytes > longestPart)
    throw tampered(`the manifest has parts of ${partBytes} bytes, and none is longer than ${longestPart}`)
  let sum = 0
  for (const { key, bytes, parts } of segments) {
    sum += bytes
    if (Math.ceil(bytes / partBytes) !== parts.length)
      throw tampered(`the manifest has ${parts.length} digests of parts for the ${bytes} bytes of ${key}`)
  }
  if (sum !== storedBytes) throw tampered(`the segments have ${sum} bytes, and the manifest says ${storedBytes}`)
}

export function* partsOf({ partBytes, segments }: StoredArtifact): Generator<Part, undefined> {
  let before = 0
  for (const { key, bytes, parts } of segments) {
    for (const [index, sha256] of parts.entries()) {
      const start = index * partBytes
      const range = { start, end: Math.min(start + partBytes, bytes) }
      yield { offset: before + start, key, range, sha256, number: index + 1 }
    }
    before += bytes
  }
}

export async function readPart(part: Part, options: PartsOptions): Promise<Buffer> {
  const { key, number, sha256, range } = part
  for (let reads = 1; ; reads++) {
    const bytes = await readRange(`${options.root}${key}`, range, options)
    if ((await digestOf(bytes)) === sha256) return bytes
    if (reads === mostReads)
      throw tampered(`part ${number} of ${key} is not what was stored: its sha256 is another than that of the manifest`)
  }
}

/** All bytes of the range; what has come stays, whatever fails on the way. */
async function readRange(key: string, { start, end }: ByteRange, options: PartsOptions): Promise<Buffer<ArrayBuffer>> {
  const { store, again, signal } = options
  const bytes = Buffer.allocUnsafeSlow(end - start)
  let filled = 0
  try {
    await again(signal, async () => {
      if (filled === bytes.length) return
      const stream = await store.read(key, { range: { start: start + filled, end }, signal })
      for await (const chunk of stream) filled += (chunk as Buffer).copy(bytes, filled)
    })
  } catch (cause) {
    if (isStoreError(cause, 'RangeNotSatisfiable')) throw tampered(`${key} was cut: ${cause.message}`, cause)
    if (isStoreError(cause, 'NotFound'))
      throw new MoverFailure('DataLost', `${key} is gone: ${cause.message}`, { cause })
    throw cause
  }
  if (filled < bytes.length) throw new MoverFailure('Internal', `${key} ended after ${filled} of ${bytes.length} bytes`)
  return bytes
}

/** On the thread pool: the main thread has the whole of the plain bytes to hash. */
async function digestOf(bytes: Buffer<ArrayBuffer>): Promise<string> {
  return Buffer.from(await webcrypto.subtle.digest('SHA-256', bytes)).toString('hex')
}

function tampered(message: string, cause?: unknown): MoverFailure {
  return new MoverFailure('DataTampered', message, { cause })
}
