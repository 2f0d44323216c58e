import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { Agent } from 'undici'
import type { Dispatcher } from 'undici'
import type { Clock } from '../clock.ts'
import type { ClientConfig } from './config.ts'
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

/** Errors of undici and the system that come before the first byte of a request is written. */
const unsentCodes = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
])

/**
 * HTTP to one API server: shared keep-alive connections, credentials as they rotate, one attempt per call.
 * Watches get connections of their own, so that they never wait behind calls. HTTP/1.1 on both:
 * on HTTP/2 one dead connection stalls every request on it, on 1.1 the next request gets a fresh socket at once.
 */
export class Transport {
  readonly #config: ClientConfig
  readonly #credentials: Credentials
  readonly #log: Log
  #agents: { readonly ca: string | undefined; readonly api: Agent; readonly watch: Agent } | undefined
  #closed = false

  constructor(config: ClientConfig, clock: Clock, log: Log) {
    this.#config = { ...config, url: new URL(config.url).origin }
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
    if (response.statusCode === 200) return { status: response.statusCode, body: response.body }
    if (response.statusCode === 401) this.#credentials.refreshToken()
    throw apiError(requestLine(call), await this.#read(call, response))
  }

  /** Ends idle connections now and busy ones when their answer is complete; watches must be aborted by their signals. */
  async close(): Promise<void> {
    this.#closed = true
    const agents = this.#agents
    this.#agents = undefined
    await Promise.all([agents?.api.close(), agents?.watch.close()])
  }

  async #attempt(call: Call): Promise<RawAnswer> {
    return this.#read(call, await this.#dispatch(call, 'api'))
  }

  async #dispatch(call: Call, use: 'api' | 'watch'): Promise<Dispatcher.ResponseData> {
    call.signal?.throwIfAborted()
    const agents = await this.#currentAgents()
    const token = await this.#credentials.token()
    call.guard?.()
    try {
      return await agents[use].request({
        origin: this.#config.url,
        path: call.path,
        method: call.method,
        headers: {
          accept: 'application/json',
          'user-agent': this.#config.userAgent ?? `node/${process.versions.node}`,
          ...(use === 'api' && call.method === 'GET' ? { 'accept-encoding': 'gzip' } : {}),
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...call.headers,
        },
        body: call.body ?? null,
        signal: call.signal ?? null,
      })
    } catch (error) {
      throw connectionError(call, error)
    }
  }

  async #read(call: Call, response: Dispatcher.ResponseData): Promise<RawAnswer> {
    const { statusCode: status, headers } = response
    const chunks: Uint8Array[] = []
    let size = 0
    try {
      for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
        size += chunk.byteLength
        if (size > maxAnswerBytes) throw new ResponseError(tooLarge(call))
        chunks.push(chunk)
      }
    } catch (error) {
      response.body.destroy()
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
  async #currentAgents(): Promise<{ readonly api: Agent; readonly watch: Agent }> {
    const ca = await this.#credentials.ca()
    if (this.#closed) throw new Error('the client was closed')
    const current = this.#agents
    if (current !== undefined && current.ca === ca) return current
    const connect = {
      ...(ca === undefined ? {} : { ca }),
      ...this.#config.clientCertificate,
      timeout: 10_000,
      allowH2: false,
      keepAlive: true,
      keepAliveInitialDelay: 15_000,
    }
    const next = {
      ca,
      api: new Agent({
        connect,
        allowH2: false,
        connections: 32,
        headersTimeout: 30_000,
        bodyTimeout: 60_000,
        keepAliveTimeout: 60_000,
      }),
      watch: new Agent({ connect, allowH2: false, headersTimeout: 30_000, bodyTimeout: 120_000 }),
    }
    this.#agents = next
    if (current !== undefined) {
      this.#log.info({}, 'the CA of the API server changed, opening new connections')
      for (const agent of [current.api, current.watch]) {
        agent.close().catch((error: unknown) => this.#log.debug({ err: error }, 'closing old connections failed'))
      }
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
