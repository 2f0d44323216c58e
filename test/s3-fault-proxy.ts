// An HTTP proxy on loopback in front of a real S3 server, with one switch a verb: what stores and networks do on their bad days.
import { once } from 'node:events'
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'

export type S3Verb =
  | 'put'
  | 'get'
  | 'head'
  | 'list'
  | 'delete'
  | 'createUpload'
  | 'uploadPart'
  | 'completeUpload'
  | 'abortUpload'
  | 'listUploads'

export type Fault =
  /** The store refuses: an S3 error with this status and code; nothing is forwarded. */
  | { readonly kind: 'refuse'; readonly status: number; readonly code: string }
  /** Status 200 with an S3 error in the body; nothing is forwarded. */
  | { readonly kind: 'error-in-200'; readonly code: string }
  /** The store obeys, and the reply is lost. */
  | { readonly kind: 'lose-reply' }
  /** The connection is reset in the middle of the request; nothing is forwarded. */
  | { readonly kind: 'reset' }
  /** Nothing is forwarded and nothing is answered. */
  | { readonly kind: 'silence' }
  /** The store obeys, and the reply is cut in its middle. */
  | { readonly kind: 'cut-reply' }
  | { readonly kind: 'slow'; readonly ms: number }
  /** What a store that ignores `If-None-Match` answers to a write of what is there already: 200 instead of 412. */
  | { readonly kind: 'ignore-condition' }
  | { readonly kind: 'redirect'; readonly to: string }
  /** What a web page answers. */
  | { readonly kind: 'html' }

type Switch = { readonly verb: S3Verb; readonly key: RegExp; readonly fault: Fault; times: number }

export type FaultProxy = {
  readonly endpoint: string
  /** From now on, the next `times` requests of this verb whose key matches fail so. */
  readonly fail: (verb: S3Verb, fault: Fault, when?: { readonly times?: number; readonly key?: RegExp }) => void
  /** What came, in order: verb and key. */
  readonly requests: readonly string[]
  /** The values of `x-amz-content-sha256`: what the signatures cover of the bodies. */
  readonly signatures: ReadonlySet<string>
  readonly stop: () => Promise<void>
}

export async function startFaultProxy(target: string): Promise<FaultProxy> {
  const switches: Switch[] = []
  const requests: string[] = []
  const signatures = new Set<string>()
  const server = createServer((incoming, reply) => {
    const { verb, key } = read(incoming)
    requests.push(`${verb} ${key}`)
    signatures.add(String(incoming.headers['x-amz-content-sha256']))
    const active = switches.find(candidate => candidate.verb === verb && candidate.times > 0 && candidate.key.test(key))
    if (active) active.times--
    void answer(target, incoming, reply, active?.fault).catch(() => reply.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    signatures,
    fail: (verb, fault, { times = Number.POSITIVE_INFINITY, key = /^/ } = {}) => {
      switches.push({ verb, key, fault, times })
    },
    async stop() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

function read({ method, url = '/' }: IncomingMessage): { readonly verb: S3Verb; readonly key: string } {
  const { pathname, searchParams: query } = new URL(url, 'http://store')
  const key = decodeURIComponent(pathname.split('/').slice(2).join('/'))
  if (method === 'POST') return { verb: query.has('uploads') ? 'createUpload' : 'completeUpload', key }
  if (method === 'PUT') return { verb: query.has('partNumber') ? 'uploadPart' : 'put', key }
  if (method === 'DELETE') return { verb: query.has('uploadId') ? 'abortUpload' : 'delete', key }
  if (method === 'HEAD') return { verb: 'head', key }
  if (query.has('uploads')) return { verb: 'listUploads', key }
  return query.has('list-type') ? { verb: 'list', key: query.get('prefix') ?? '' } : { verb: 'get', key }
}

async function answer(target: string, incoming: IncomingMessage, reply: ServerResponse, fault?: Fault): Promise<void> {
  switch (fault?.kind) {
    case 'reset':
      await once(incoming, 'readable')
      incoming.socket.resetAndDestroy()
      return
    case 'silence':
      incoming.resume()
      return
    case 'refuse':
      await buffer(incoming)
      reply.writeHead(fault.status, { 'content-type': 'application/xml' }).end(errorBody(fault.code))
      return
    case 'error-in-200':
      await buffer(incoming)
      reply.writeHead(200, { 'content-type': 'application/xml' }).end(errorBody(fault.code))
      return
    case 'redirect':
      await buffer(incoming)
      reply
        .writeHead(307, { location: fault.to, 'content-type': 'application/xml' })
        .end(errorBody('TemporaryRedirect'))
      return
    case 'html':
      await buffer(incoming)
      reply.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><html><body><p>Hello<br></body></html>')
      return
    case 'slow':
      await delay(fault.ms)
      break
    case 'ignore-condition':
    case 'lose-reply':
    case 'cut-reply':
    case undefined:
      break
  }
  const { hostname, port } = new URL(target)
  const { method, url: path, headers } = incoming
  const forwarded = request({ hostname, port, method, path, headers })
  incoming.pipe(forwarded)
  const [answered] = (await once(forwarded, 'response')) as [IncomingMessage]
  const body = await buffer(answered)
  if (fault?.kind === 'lose-reply') {
    incoming.socket.resetAndDestroy()
    return
  }
  if (fault?.kind === 'ignore-condition' && answered.statusCode === 412) {
    reply.writeHead(200, { etag: '"0"' }).end()
    return
  }
  reply.writeHead(answered.statusCode ?? 502, answered.headers)
  if (fault?.kind === 'cut-reply') {
    reply.flushHeaders()
    reply.write(body.subarray(0, Math.floor(body.length / 2)), () => incoming.socket.resetAndDestroy())
    return
  }
  reply.end(body)
}

function errorBody(code: string): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>injected</Message><RequestId>1</RequestId></Error>`
}
