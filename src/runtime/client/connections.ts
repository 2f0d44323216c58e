import { Agent as HttpAgent, request as httpRequest } from 'node:http'
import type { ClientRequest, IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import type { Socket } from 'node:net'
import { urlToHttpOptions } from 'node:url'

export type ConnectionsOptions = {
  /** `http://host:port` or `https://host:port`. */
  readonly url: string
  readonly tls: { readonly ca?: string; readonly cert?: string; readonly key?: string }
  /** Connections at once; a request beyond them waits for one. */
  readonly most: number
  /** An answer that stops for so long in its middle will not go on. */
  readonly silentMs: number
  /** Until a connection stands, TLS included: 10 s unless said otherwise. */
  readonly connectMs?: number
}

export type HttpCall = {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * From the request to the first byte of its answer. Longer than the API server takes to give up a write, its webhooks included, so that its own
 * words are heard. Source: kubernetes staging/src/k8s.io/apiserver/pkg/endpoints/handlers/rest.go `requestTimeoutUpperBound`, 34 s.
 */
const answerMs = 35_000
const idleMs = 60_000
const keepAliveProbeMs = 15_000
const connectTimeout = 'CONNECT_TIMEOUT'

/** Codes of errors that come before the first byte of a request is written. */
export const unsentCodes: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  connectTimeout,
])

/** Keep-alive connections to one server, with a limit on every wait. Node's own HTTP: a second one would cost an idle operator 14 MiB. */
export class Connections {
  readonly #agent: HttpAgent | HttpsAgent
  readonly #server: ReturnType<typeof urlToHttpOptions>
  readonly #silentMs: number
  readonly #connectMs: number
  #underWay = 0
  readonly #ended = Promise.withResolvers<void>()
  #ending = false

  constructor({ url, tls, most, silentMs, connectMs = 10_000 }: ConnectionsOptions) {
    const { protocol, hostname, port } = urlToHttpOptions(new URL(url))
    this.#server = { protocol, hostname, port }
    this.#silentMs = silentMs
    this.#connectMs = connectMs
    const options = { keepAlive: true, keepAliveMsecs: keepAliveProbeMs, maxSockets: most, timeout: idleMs }
    this.#agent = protocol === 'https:' ? new HttpsAgent({ ...options, ...tls }) : new HttpAgent(options)
  }

  /** The answer once its head is there; its body is the caller's to read or to destroy. @throws what Node and the system say. */
  async request({ method, path, headers, body, signal }: HttpCall): Promise<IncomingMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
    const send = this.#agent instanceof HttpsAgent ? httpsRequest : httpRequest
    const request = send({
      ...this.#server,
      agent: this.#agent,
      method,
      path,
      // Node gives a DELETE with a body no length by itself, and the server would take the body for the next request.
      headers: body === undefined ? headers : { ...headers, 'content-length': String(Buffer.byteLength(body)) },
      signal,
      timeout: answerMs,
    })
    this.#underWay++
    request.on('close', () => {
      this.#underWay--
      this.#endIfIdle()
    })
    request.on('error', reject)
    request.on('timeout', () => request.destroy(coded('SILENT', 'the server says nothing any more')))
    request.on('socket', socket => limitConnecting(request, socket, this.#connectMs))
    request.on('response', response => {
      request.setTimeout(this.#silentMs)
      resolve(response)
    })
    request.end(body)
    return promise
  }

  /** Ends idle connections now, and busy ones when what is under way has ended. */
  async end(): Promise<void> {
    this.#ending = true
    this.#endIfIdle()
    return this.#ended.promise
  }

  #endIfIdle(): void {
    if (!this.#ending || this.#underWay > 0) return
    this.#agent.destroy()
    this.#ended.resolve()
  }
}

/** The socket's own limit counts from when it is connected, TLS included only then. */
function limitConnecting(request: ClientRequest, socket: Socket, connectMs: number): void {
  if (!socket.connecting) return
  const timer = setTimeout(
    () => request.destroy(coded(connectTimeout, `no connection within ${connectMs / 1000} s`)),
    connectMs,
  )
  const stop = (): void => clearTimeout(timer)
  socket.once('encrypted' in socket ? 'secureConnect' : 'connect', stop)
  request.once('close', stop)
}

function coded(code: string, message: string): Error {
  return Object.assign(new Error(message), { code })
}
