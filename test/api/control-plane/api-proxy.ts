// A proxy in front of an API server that decides the fate of every write, and can hold watch events back.
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { Agent, request as httpsRequest } from 'node:https'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'

/** One create, update, patch or delete. */
export type Write = {
  readonly method: 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** Without the query. */
  readonly path: string
  readonly body: string
}

export type Fate =
  | 'pass'
  /** The connection ends without an answer, before or after the API server has carried the write out. */
  | { readonly cut: 'before' | 'after'; readonly after?: () => void }
  /** The API server carries it out at once; its answer waits. */
  | { readonly answerAfter: Promise<unknown> }
  /** The client gets this answer instead, before or after the API server has carried the write out. */
  | { readonly answer: number; readonly when: 'before' | 'after'; readonly retryAfter?: number }

export type ApiProxy = { readonly url: string; readonly close: () => Promise<void> }

export type ApiProxyOptions = {
  readonly url: string
  readonly ca: string
  readonly onWrite: (write: Write) => Fate
  /** Called when the API server has carried a write out, whether or not the client hears of it. */
  readonly onWritten?: (write: Write, status: number) => void
  /** Milliseconds by which an event of the watch at this path is late, asked when it comes. */
  readonly watchDelayMs?: (path: string) => number
}

/** Listens on the loopback interface, without TLS. */
export async function startApiProxy(options: ApiProxyOptions): Promise<ApiProxy> {
  const agent = new Agent({ ca: options.ca, keepAlive: true })
  const server = createServer((request, response) => {
    serve(options, agent, request, response).catch(() => response.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      server.close()
      server.closeAllConnections()
      agent.destroy()
      await once(server, 'close')
    },
  }
}

async function serve(options: ApiProxyOptions, agent: Agent, request: IncomingMessage, response: ServerResponse) {
  const { method = 'GET', url = '/' } = request
  const body = await buffer(request)
  const forward = async () => {
    const headers = { ...request.headers, host: new URL(options.url).host }
    const upstream = httpsRequest(new URL(url, options.url), { method, headers, agent })
    response.on('close', () => upstream.destroy())
    upstream.end(body)
    const [answer] = (await once(upstream, 'response')) as [IncomingMessage]
    return answer
  }
  // What is only asked is no write.
  if (method === 'GET' || url.includes('dryRun=All')) {
    const answer = await forward()
    response.writeHead(answer.statusCode ?? 500, answer.headers)
    response.flushHeaders()
    const [path = '', query = ''] = url.split('?')
    const { watchDelayMs } = options
    const isLate = watchDelayMs && query.includes('watch=')
    const chunks: AsyncIterable<Buffer> = isLate ? inOrder(answer, () => watchDelayMs(path)) : answer
    for await (const chunk of chunks) response.write(chunk)
    response.end()
    return
  }
  const write = { method, path: url.split('?')[0], body: body.toString() } as Write
  const fate = options.onWrite(write)
  if (fate !== 'pass' && 'cut' in fate && fate.cut === 'before') {
    fate.after?.()
    response.destroy()
    return
  }
  if (fate !== 'pass' && 'answer' in fate && fate.when === 'before') return refuse(response, fate)
  const answer = await forward()
  const text = await buffer(answer)
  const status = answer.statusCode ?? 500
  options.onWritten?.(write, status)
  if (fate !== 'pass' && 'cut' in fate) {
    fate.after?.()
    response.destroy()
    return
  }
  if (fate !== 'pass' && 'answer' in fate) return refuse(response, fate)
  if (fate !== 'pass') await fate.answerAfter
  response.writeHead(status, answer.headers).end(text)
}

function refuse(response: ServerResponse, { answer, retryAfter }: Extract<Fate, { readonly answer: number }>) {
  const reason = answer === 409 ? 'Conflict' : answer === 429 ? 'TooManyRequests' : 'InternalError'
  const status = { kind: 'Status', apiVersion: 'v1', status: 'Failure', reason, code: answer, message: 'injected' }
  const headers = { 'content-type': 'application/json', ...(retryAfter && { 'retry-after': String(retryAfter) }) }
  response.writeHead(answer, headers).end(JSON.stringify(status))
}

/** Each chunk `lateMs` after it came, and after those before it; those that come together also go together. */
async function* inOrder(stream: AsyncIterable<Buffer>, lateMs: () => number): AsyncIterable<Buffer> {
  const waiting: { readonly chunk: Buffer; readonly due: number }[] = []
  let wake = Promise.withResolvers<void>()
  let ended: { readonly error?: unknown } | undefined
  const read = async () => {
    for await (const chunk of stream) {
      waiting.push({ chunk, due: performance.now() + lateMs() })
      wake.resolve()
    }
  }
  void read()
    .then(
      () => (ended = {}),
      (error: unknown) => (ended = { error }),
    )
    .then(() => wake.resolve())
  for (;;) {
    const next = waiting.shift()
    if (next) {
      await delay(Math.max(0, next.due - performance.now()))
      yield next.chunk
    } else if (ended) {
      if ('error' in ended) throw ended.error
      return
    } else {
      await wake.promise
      wake = Promise.withResolvers<void>()
    }
  }
}
