import { ResponseError } from '../client/errors.ts'
import type { KubeObject } from '../client/resource.ts'
import { statusError } from '../client/answer.ts'
import type { Status } from '../client/answer.ts'

/** One change of a watch. ERROR events never get here: they are thrown as ApiError. */
export type WatchEvent = {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK'
  readonly object: KubeObject
}

/** One event is one object of at most 1.5 MiB in etcd; JSON with escapes may be some times that. */
const maxLineBytes = 16 * 1024 * 1024
const newline = 0x0a

/**
 * Decodes a watch body: JSON documents, one a line, cut anywhere by the network.
 * An in-stream ERROR is thrown with its own code (410 for an expired resourceVersion).
 */
export async function* watchEvents(body: AsyncIterable<Uint8Array>, request: string): AsyncGenerator<WatchEvent> {
  for await (const line of lines(body, request)) {
    const { type, object } = parseLine(line, request)
    switch (type) {
      case 'ADDED':
      case 'MODIFIED':
      case 'DELETED':
      case 'BOOKMARK':
        yield { type, object: object as KubeObject }
        break
      case 'ERROR': {
        const status = object as Status
        throw statusError({ request, status: status.code ?? 500 }, status)
      }
      default:
        throw new ResponseError(`${request}: unknown watch event type ${JSON.stringify(type)}`)
    }
  }
}

function parseLine(line: string, request: string): { readonly type: string; readonly object: unknown } {
  try {
    const event = JSON.parse(line) as { readonly type?: string; readonly object?: unknown } | null
    const { type, object } = event ?? {}
    if (typeof type === 'string' && typeof object === 'object' && object !== null) return { type, object }
  } catch (error) {
    throw new ResponseError(`${request}: a watch event is not JSON`, { cause: error })
  }
  throw new ResponseError(`${request}: a watch event has no type or no object`)
}

/** A last line without its newline is a cut-off event and is dropped: the next watch delivers it again. */
async function* lines(body: AsyncIterable<Uint8Array>, request: string): AsyncGenerator<string> {
  let pieces: Uint8Array[] = []
  let size = 0
  for await (const chunk of body) {
    let start = 0
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, start)) {
      pieces.push(chunk.subarray(start, end))
      const line = Buffer.concat(pieces).toString('utf8')
      pieces = []
      size = 0
      start = end + 1
      if (line !== '') yield line
    }
    const rest = chunk.subarray(start)
    if (rest.byteLength > 0) pieces.push(rest)
    size += rest.byteLength
    if (size > maxLineBytes) throw new ResponseError(`${request}: a watch event is larger than ${maxLineBytes} bytes`)
  }
}
