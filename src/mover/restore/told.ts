/** What a restore script tells the mover by `artifact .NAME` (docs/storage-format.md tells of the same in backups). */
import { buffer } from 'node:stream/consumers'
import { MoverFailure } from '../failure.ts'
import { openFifo } from '../protocol/fifo.ts'

/** Bytes. */
const longest = 1 << 20
const longestResult = 600
/** The end of the text follows its status at once. */
const endWithinMs = 30_000

/** All that is written into the FIFO `a.<sequence>`. */
export async function hear(fifo: string, signal: AbortSignal): Promise<string> {
  const socket = openFifo(fifo)
  let length = 0
  socket.on('data', (data: Buffer) => {
    length += data.length
    if (length > longest) socket.destroy(new MoverFailure('Protocol', `a text of more than ${longest} bytes was told`))
  })
  const stop = () => socket.destroy(signal.reason as Error)
  signal.addEventListener('abort', stop, { once: true })
  try {
    return (await buffer(socket)).toString()
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

/** @throws MoverFailure Protocol when the text does not end. */
export async function ended(text: Promise<string>): Promise<string> {
  const { promise, reject } = Promise.withResolvers<never>()
  const late = () =>
    reject(new MoverFailure('Protocol', 'what was told does not end: who wrote it left a process behind'))
  const timer = setTimeout(late, endWithinMs)
  try {
    return await Promise.race([text, promise])
  } finally {
    clearTimeout(timer)
  }
}

type Result = Readonly<Record<string, unknown>>

/** `.result`: what was done, as an object of JSON. Undefined for anything else: a restore that was done is not undone by its words. */
export function resultOf(text: string): Result | undefined {
  try {
    const value: unknown = JSON.parse(text)
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
    return isObject ? (value as Result) : undefined
  } catch {
    return undefined
  }
}

/** What fits into the message: lists lose their last entries, and then fields go, the longest first. `cut` says so. */
export function shortResult(result: Result): Result {
  const isShort = (value: Result) => Buffer.byteLength(JSON.stringify(value)) <= longestResult
  if (isShort(result)) return result
  const left = new Map(Object.entries(result))
  while (left.size > 0) {
    const shorter = { ...Object.fromEntries(left), cut: true }
    if (isShort(shorter)) return shorter
    const [name, longest] = [...left].reduce((a, b) => (sizeOf(b[1]) > sizeOf(a[1]) ? b : a))
    if (Array.isArray(longest) && longest.length > 0) left.set(name, longest.slice(0, -1))
    else left.delete(name)
  }
  return { cut: true }
}

function sizeOf(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value) ?? '')
}
