import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'

export type Received = {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: IncomingMessage['headers']
  readonly body: unknown
}

export type Responder = (response: ServerResponse, request: Received) => void

/**
 * An HTTP server on loopback for tests of what an API server does at its worst: each request is answered by the next
 * queued responder, or by `otherwise`. It records requests and counts connections.
 */
export class FakeApiServer {
  readonly requests: Received[] = []
  readonly url: string
  connections = 0
  otherwise: Responder = response => status(404, 'NotFound', 'nothing here')(response)
  readonly #server
  readonly #sockets: Set<Socket>
  readonly #queued: Responder[] = []

  static async start(): Promise<FakeApiServer> {
    const server = createServer()
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    return new FakeApiServer(server)
  }

  private constructor(server: ReturnType<typeof createServer>) {
    this.#server = server
    this.#sockets = new Set()
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    server.on('connection', socket => {
      this.connections++
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
    })
    server.on('request', (request, response) => void this.#answer(request, response))
  }

  /** Answers for the next requests, in order. */
  next(...responders: readonly Responder[]): void {
    this.#queued.push(...responders)
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise(resolve => this.#server.close(resolve))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Uint8Array[] = []
    for await (const chunk of request) chunks.push(chunk as Uint8Array)
    const text = Buffer.concat(chunks).toString('utf8')
    const { pathname, searchParams } = new URL(request.url ?? '/', this.url)
    const received = {
      method: request.method ?? '',
      path: pathname,
      query: searchParams,
      headers: request.headers,
      body: text === '' ? undefined : (JSON.parse(text) as unknown),
    }
    this.requests.push(received)
    ;(this.#queued.shift() ?? this.otherwise)(response, received)
  }
}

type Answerer = (response: ServerResponse) => void

export function json(body: unknown, code = 200, headers: Readonly<Record<string, string>> = {}): Answerer {
  return response => {
    response.writeHead(code, { 'content-type': 'application/json', ...headers })
    response.end(JSON.stringify(body))
  }
}

/** A refusal with a Kubernetes Status object. */
export function status(
  code: number,
  reason: string,
  message = '',
  extra: { readonly headers?: Readonly<Record<string, string>>; readonly details?: unknown } = {},
): Answerer {
  const body = { kind: 'Status', apiVersion: 'v1', status: 'Failure', reason, message, code, details: extra.details }
  return json(body, code, extra.headers)
}

export type Line = { readonly type: string; readonly object: unknown }

/** A watch that tells `lines` and then ends. */
export function watchOf(...lines: readonly Line[]): Responder {
  return response => {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(lines.map(line => `${JSON.stringify(line)}\n`).join(''))
  }
}

/** A watch that tells `lines` and stays open, as one whose connection died half-way does. */
export function openWatch(...lines: readonly Line[]): Responder {
  return response => {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.flushHeaders()
    response.write(lines.map(line => `${JSON.stringify(line)}\n`).join(''))
  }
}

/** Drops the connection without an answer. */
export const reset: Responder = response => {
  response.socket?.resetAndDestroy()
}
