import type { IncomingMessage } from 'node:http'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import type { Clock } from '../clock.ts'
import type { ClientConfig } from './config.ts'
import { Connections, unsentCodes } from './connections.ts'
import { Credentials } from './credentials.ts'
import { apiError, resultOf } from './answer.ts'
import type { Answer, RawAnswer } from './answer.ts'
import { ConnectionError, ResponseError } from './errors.ts'
import type { Log } from '../log.ts'

const decompress = promisify(gunzip)

export type Call = {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** Path and query. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  readonly signal?: AbortSignal
  /** Called right before the request leaves; throwing stops it. */
  readonly guard?: () => void
}

export type OpenStream = { readonly status: number; readonly body: AsyncIterable<Uint8Array> }

/** The largest answer that is read into memory; a page of 500 objects of etcd's 1.5 MiB limit never gets there in practice. */
const maxAnswerBytes = 128 * 1024 * 1024

/**
 * HTTP to one API server: shared keep-alive connections, credentials as they rotate, one attempt per call.
 * Watches get connections of their own, so that they never wait behind calls. HTTP/1.1 on both:
 * on HTTP/2 one dead connection stalls every request on it, on 1.1 the next request gets a fresh socket at once.
 */
export class Transport {
  readonly #config: ClientConfig
  readonly #credentials: Credentials
  readonly #log: Log
  #agents: { readonly ca: string | undefined; readonly api: Connections; readonly watch: Connections } | undefined
  readonly #clock: Clock
  /** What the last answer told of the time, and when it came, by monotonic time. */
  #told: { readonly date: Date; readonly atMs: number } | undefined
  #closed = false

  constructor(config: ClientConfig, clock: Clock, log: Log) {
    this.#config = { ...config, url: new URL(config.url).origin }
    this.#clock = clock
    this.#credentials = new Credentials(config, clock, log)
    this.#log = log
  }

  /** Reads the whole answer. Throws ApiError for any status of 400 and up, ConnectionError without an answer. */
  async call(call: Call): Promise<Answer> {
    const first = await this.#attempt(call)
    if (first.status !== 401 || !this.#credentials.refreshToken()) return resultOf(requestLine(call), first)
    return resultOf(requestLine(call), await this.#attempt(call))
  }

  /** The body is the caller's to read or to abandon through the signal. Refusals are read here and thrown, as in {@link call}. */
  async stream(call: Call & { readonly signal: AbortSignal }): Promise<OpenStream> {
    const response = await this.#dispatch(call, 'watch')
    if (response.statusCode === 200) return { status: response.statusCode, body: response }
    if (response.statusCode === 401) this.#credentials.refreshToken()
    throw apiError(requestLine(call), await this.#read(call, response))
  }

  /** What the clock of the API server says, which stamps all that is there; undefined where no answer has told it. */
  serverTime(): Date | undefined {
    if (!this.#told) return undefined
    return new Date(this.#told.date.getTime() + this.#clock.monotonic() - this.#told.atMs)
  }

  /** Ends idle connections now and busy ones when their answer is complete; watches must be aborted by their signals. */
  async close(): Promise<void> {
    this.#closed = true
    const agents = this.#agents
    this.#agents = undefined
    await Promise.all([agents?.api.end(), agents?.watch.end()])
  }

  async #attempt(call: Call): Promise<RawAnswer> {
    return this.#read(call, await this.#dispatch(call, 'api'))
  }

  async #dispatch(call: Call, use: 'api' | 'watch'): Promise<IncomingMessage> {
    call.signal?.throwIfAborted()
    const agents = await this.#currentAgents()
    const token = await this.#credentials.token()
    call.guard?.()
    try {
      const response = await agents[use].request({
        path: call.path,
        method: call.method,
        headers: {
          accept: 'application/json',
          'user-agent': this.#config.userAgent ?? `node/${process.versions.node}`,
          ...(use === 'api' && call.method === 'GET' ? { 'accept-encoding': 'gzip' } : {}),
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...call.headers,
        },
        body: call.body,
        signal: call.signal,
      })
      const date = new Date(response.headers.date ?? NaN)
      if (!Number.isNaN(date.getTime())) this.#told = { date, atMs: this.#clock.monotonic() }
      return response
    } catch (error) {
      throw connectionError(call, error)
    }
  }

  async #read(call: Call, response: IncomingMessage): Promise<RawAnswer> {
    const { statusCode: status = 0, headers } = response
    const chunks: Uint8Array[] = []
    let size = 0
    try {
      for await (const chunk of response as AsyncIterable<Uint8Array>) {
        size += chunk.byteLength
        if (size > maxAnswerBytes) throw new ResponseError(tooLarge(call))
        chunks.push(chunk)
      }
    } catch (error) {
      response.destroy()
      throw error instanceof ResponseError ? error : connectionError(call, error)
    }
    const bytes = Buffer.concat(chunks)
    if (headers['content-encoding'] !== 'gzip') return { status, headers, bytes }
    try {
      return { status, headers, bytes: await decompress(bytes, { maxOutputLength: maxAnswerBytes }) }
    } catch (error) {
      throw new ResponseError(`${requestLine(call)}: the compressed answer cannot be read`, { cause: error })
    }
  }

  /** A rotated CA makes new agents; the old ones end with their last answers, so nothing in flight is lost. */
  async #currentAgents(): Promise<{ readonly api: Connections; readonly watch: Connections }> {
    const ca = await this.#credentials.ca()
    if (this.#closed) throw new Error('the client was closed')
    const current = this.#agents
    if (current !== undefined && current.ca === ca) return current
    const tls = { ...(ca === undefined ? {} : { ca }), ...this.#config.clientCertificate }
    const shared = { url: this.#config.url, tls }
    const next = {
      ca,
      api: new Connections({ ...shared, most: 32, silentMs: 60_000 }),
      watch: new Connections({ ...shared, most: Infinity, silentMs: 120_000 }),
    }
    this.#agents = next
    if (current !== undefined) {
      this.#log.info({}, 'the CA of the API server changed, opening new connections')
      for (const connections of [current.api, current.watch]) void connections.end()
    }
    return next
  }
}

/** What a message says about a request: never its headers or body. */
export function requestLine(call: Pick<Call, 'method' | 'path'>): string {
  return `${call.method} ${call.path.split('?')[0]}`
}

function connectionError(call: Call, cause: unknown): unknown {
  // An abort is the caller's own decision, and must look like it.
  if (call.signal?.aborted === true) return call.signal.reason
  const code = (cause as { readonly code?: unknown } | null)?.code
  return new ConnectionError(requestLine(call), { cause, unsent: typeof code === 'string' && unsentCodes.has(code) })
}

function tooLarge(call: Call): string {
  return `${requestLine(call)}: the answer is larger than ${maxAnswerBytes / 1024 / 1024} MiB: ask for smaller pages`
}
