import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { silentLog } from './log.ts'
import type { Log } from './log.ts'

/** Whether a probe passes, and each thing that it looked at. */
export type Report = { readonly ok: boolean; readonly detail: Readonly<Record<string, string>> }

export type ServerOptions = {
  readonly port: number
  /** All addresses, unless said otherwise. */
  readonly host?: string
  /** False: the process is beyond help and should be restarted. */
  readonly healthy: () => Report
  /** False: it does not do its work now. */
  readonly ready: () => Report
  readonly metrics: () => { readonly contentType: string; readonly parts: AsyncIterable<string> }
  readonly log?: Log
}

export type RunningServer = { readonly port: number; readonly close: () => Promise<void> }

/** Serves `/healthz`, `/readyz` and `/metrics` over plain HTTP, to GET and HEAD, with bounded connections and times. */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const log = options.log ?? silentLog
  const server = createServer(
    {
      requestTimeout: 5000,
      headersTimeout: 5000,
      keepAliveTimeout: 5000,
      maxHeaderSize: 8192,
      connectionsCheckingInterval: 1000,
    },
    (request, response) => {
      answer(options, request, response).catch((err: unknown) => {
        log.error({ err, path: request.url }, 'a request to the metrics and health server failed')
        if (!response.headersSent) send(response, 500, 'text/plain; charset=utf-8', 'internal error, see the log\n')
        else response.destroy()
      })
    },
  )
  server.maxConnections = 64
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port, options.host, () => {
      server.off('error', reject)
      resolve()
    })
  })
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeIdleConnections()
        // Whoever is still being answered had its time.
        setTimeout(() => server.closeAllConnections(), 1000).unref()
      }),
  }
}

async function answer(options: ServerOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD')
    return send(response, 405, 'text/plain; charset=utf-8', 'only GET and HEAD\n')
  }
  switch ((request.url ?? '').split('?')[0]) {
    case '/healthz':
      return sendReport(response, options.healthy())
    case '/readyz':
      return sendReport(response, options.ready())
    case '/metrics': {
      const { contentType, parts } = options.metrics()
      return sendParts(response, contentType, parts)
    }
    default:
      return send(response, 404, 'text/plain; charset=utf-8', 'try /healthz, /readyz or /metrics\n')
  }
}

function sendReport(response: ServerResponse, { ok, detail }: Report): void {
  send(response, ok ? 200 : 503, 'application/json', `${JSON.stringify({ ok, ...detail })}\n`)
}

/** As they are made: of a large cluster the whole would be megabytes. */
async function sendParts(response: ServerResponse, contentType: string, parts: AsyncIterable<string>): Promise<void> {
  for await (const part of parts) {
    if (!response.headersSent) response.writeHead(200, { 'content-type': contentType })
    if (!response.write(part)) await untilRead(response)
    if (response.destroyed) return
  }
  response.end()
}

/** Whoever reads slowly, or not at all: the server's own limits end the connection. */
async function untilRead(response: ServerResponse): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  response.once('drain', resolve).once('close', resolve)
  await promise
  response.off('drain', resolve).off('close', resolve)
}

function send(response: ServerResponse, status: number, contentType: string, text: string): void {
  response.writeHead(status, { 'content-type': contentType, 'content-length': Buffer.byteLength(text) })
  response.end(text)
}
