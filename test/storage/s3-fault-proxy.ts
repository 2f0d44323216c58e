// An HTTP proxy in front of a real S3 server, with one switch a verb: what stores and networks do on their bad days.
import { once } from 'node:events'
import { createServer, request, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { pipeline } from 'node:stream/promises'
import { buffer } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { resetConnection } from '../../dev/reset-connection.ts'

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
  /** The store refuses: an S3 error with this status and code; nothing is forwarded. `region`: where it says that the bucket is. */
  | {
      readonly kind: 'refuse'
      readonly status: number
      readonly code: string
      readonly message?: string
      readonly region?: string
    }
  /** Something that does not speak S3 answers; nothing is forwarded. */
  | { readonly kind: 'answer'; readonly status: number; readonly type?: string; readonly body?: string }
  /** As stores that demand a digest with each body: without one in one of these headers, 400; else the store obeys. */
  | { readonly kind: 'demand-digest'; readonly headers: readonly string[] }
  /** As stores that do not know a header: with it, 400; else the store obeys. */
  | { readonly kind: 'refuse-header'; readonly header: string }
  /** This session token is over: requests with it are refused, others obeyed. */
  | { readonly kind: 'expire-token'; readonly token: string }
  /** The store obeys, and its clock is so far ahead. */
  | { readonly kind: 'clock'; readonly aheadMs: number }
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
  /** The store obeys, and after half of its reply nothing more comes. */
  | { readonly kind: 'stall-reply' }
  /** What answers to a read of a range is not of that range: of another place, or of an object as a whole (200). */
  | { readonly kind: 'other-range'; readonly contentRange: string | undefined }
  /** The store obeys, and on the way a bit of its reply is turned. */
  | { readonly kind: 'flip-bit' }
  /** The store obeys so much later, even when nobody waits for its answer any more. */
  | { readonly kind: 'slow'; readonly ms: number; readonly onObeyed?: () => void }
  /** The store obeys once this has been done. */
  | { readonly kind: 'meanwhile'; readonly act: () => Promise<void> }
  /** As `slow`, behind a proxy that has given up long before: it answers with this status at once. */
  | { readonly kind: 'given-up'; readonly status: number; readonly ms: number; readonly onObeyed?: () => void }
  /** The store obeys, and lists and heads tell that the objects with such keys are in an archive, as a lifecycle rule puts them there. */
  | { readonly kind: 'archived'; readonly objects: RegExp }
  /** What a store that ignores `If-None-Match` answers to a write of what is there already: 200 instead of 412. */
  | { readonly kind: 'ignore-condition' }
  | { readonly kind: 'redirect'; readonly to: string }
  /** What a web page answers. */
  | { readonly kind: 'html' }
  /** What a proxy says that does not know the page: 404, and not in the words of S3. */
  | { readonly kind: 'no-page' }

/** What changes what the store holds. */
const writeVerbs: readonly S3Verb[] = ['put', 'delete', 'createUpload', 'uploadPart', 'completeUpload', 'abortUpload']

/** Where in the life of a write something else happens: the store does not hear of it, or obeys and the reply is held back. */
export type Around = 'before' | 'after'

type Interruption = { readonly nth: number; readonly around: Around; readonly act: () => Promise<void> }

type Switch = { readonly verb: S3Verb; readonly key: RegExp; readonly fault: Fault; times: number }

export type FaultProxy = {
  readonly endpoint: string
  /** From now on, the next `times` requests of this verb whose key matches fail so. */
  readonly fail: (verb: S3Verb, fault: Fault, when?: { readonly times?: number; readonly key?: RegExp }) => void
  /** What came, in order: verb and key. */
  readonly requests: readonly string[]
  /** Those of them that change what the store holds. */
  readonly writes: readonly string[]
  /** The headers of each of them, names in lower case. */
  readonly headers: readonly IncomingHttpHeaders[]
  /** At the n-th write (from 1), before or after the store obeys, `act` is waited for and the connection lost. */
  readonly interrupt: (nth: number, around: Around, act: () => Promise<void>) => void
  /** Nothing is on its way to the store any more, nor will it yet be obeyed. */
  readonly settled: () => Promise<void>
  readonly stop: () => Promise<void>
}

export type FaultProxyOptions = {
  /** Where it listens; loopback and any free port, unless it is in a pod of its own. */
  readonly host?: string
  readonly port?: number
  /** Told of each request as in `requests`, when it comes. */
  readonly onRequest?: (request: string) => void
}

export async function startFaultProxy(target: string, options: FaultProxyOptions = {}): Promise<FaultProxy> {
  const { host = '127.0.0.1', port = 0, onRequest } = options
  const switches: Switch[] = []
  const requests: string[] = []
  const headers: IncomingHttpHeaders[] = []
  let interruption: Interruption | undefined
  const writes: string[] = []
  const underway = new Set<Promise<void>>()
  const track = (work: Promise<void>) => {
    const tracked: Promise<void> = work.finally(() => underway.delete(tracked))
    underway.add(tracked)
  }
  const server = createServer((incoming, reply) => {
    const { verb, key } = read(incoming)
    requests.push(`${verb} ${key}`)
    onRequest?.(`${verb} ${key}`)
    if (writeVerbs.includes(verb)) writes.push(`${verb} ${key}`)
    headers.push(incoming.headers)
    if (writeVerbs.includes(verb) && writes.length === interruption?.nth) {
      track(interrupt(target, incoming, reply, interruption))
      return
    }
    const active = switches.find(candidate => candidate.verb === verb && candidate.times > 0 && candidate.key.test(key))
    if (active) active.times--
    track(answer(target, incoming, reply, active?.fault).catch(() => void reply.destroy()))
  })
  // A connection that ends just as it is used again would be a fault that nobody asked for.
  server.keepAliveTimeout = 0
  server.listen(port, host)
  await once(server, 'listening')
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    writes,
    headers,
    interrupt: (nth, around, act) => {
      interruption = { nth, around, act }
    },
    fail: (verb, fault, { times = Number.POSITIVE_INFINITY, key = /^/ } = {}) => {
      switches.push({ verb, key, fault, times })
    },
    async settled() {
      while (underway.size > 0) await Promise.all(underway)
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
  let sent: Iterable<Buffer> | undefined
  const stands = fault && standsInTheWay(fault, incoming.headers)
  if (stands) {
    await buffer(incoming)
    refuse(reply, incoming, stands)
    return
  }
  switch (fault?.kind) {
    case 'reset':
      await once(incoming, 'readable')
      resetConnection(incoming.socket)
      return
    case 'silence':
      incoming.resume()
      return
    case 'refuse':
      await buffer(incoming)
      refuse(reply, incoming, fault)
      return
    case 'answer':
      await buffer(incoming)
      reply.writeHead(fault.status, fault.type === undefined ? {} : { 'content-type': fault.type }).end(fault.body)
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
    case 'no-page':
      await buffer(incoming)
      reply.writeHead(404, { 'content-type': 'text/html' }).end('<!doctype html><title>404 Not Found</title>')
      return
    case 'given-up':
      sent = [await buffer(incoming)]
      reply.writeHead(fault.status).end()
      await delay(fault.ms)
      await forward(target, incoming, sent)
      fault.onObeyed?.()
      return
    case 'slow':
      sent = [await buffer(incoming)]
      await delay(fault.ms)
      break
    case 'meanwhile':
      sent = [await buffer(incoming)]
      await fault.act()
      break
    case 'ignore-condition':
    case 'lose-reply':
    case 'cut-reply':
    case 'stall-reply':
    case 'flip-bit':
    case 'other-range':
    case 'demand-digest':
    case 'refuse-header':
    case 'expire-token':
    case 'clock':
    case 'archived':
    case undefined:
      break
  }
  const { answered, ...obeyed } = await forward(target, incoming, sent)
  const body = fault?.kind === 'archived' ? archive(incoming, answered, obeyed.body, fault.objects) : obeyed.body
  if (fault?.kind === 'slow') fault.onObeyed?.()
  if (fault?.kind === 'lose-reply') {
    resetConnection(incoming.socket)
    return
  }
  if (fault?.kind === 'ignore-condition' && answered.statusCode === 412) {
    reply.writeHead(200, { etag: '"0"' }).end()
    return
  }
  if (fault?.kind === 'clock') {
    answered.headers.date = new Date(Date.parse(answered.headers.date ?? '') + fault.aheadMs).toUTCString()
    // Of an answer with an age the SDK does not take the time: it would sign by it, and the store behind takes no such signature.
    answered.headers.age = '0'
  }
  if (fault?.kind === 'other-range') {
    answered.statusCode = fault.contentRange === undefined ? 200 : 206
    if (fault.contentRange === undefined) delete answered.headers['content-range']
    else answered.headers['content-range'] = fault.contentRange
  }
  if (fault?.kind === 'flip-bit') body[body.length >> 1] = (body[body.length >> 1] ?? 0) ^ 1
  reply.writeHead(answered.statusCode ?? 502, answered.headers)
  if (fault?.kind === 'stall-reply') {
    reply.flushHeaders()
    reply.write(body.subarray(0, Math.floor(body.length / 2)))
    return
  }
  if (fault?.kind === 'cut-reply') {
    reply.flushHeaders()
    reply.write(body.subarray(0, Math.floor(body.length / 2)), () => resetConnection(incoming.socket))
    return
  }
  reply.end(body)
}

async function interrupt(
  target: string,
  incoming: IncomingMessage,
  reply: ServerResponse,
  { around, act }: Interruption,
) {
  if (around === 'after') await forward(target, incoming)
  else incoming.resume()
  await act()
  reply.destroy()
}

async function forward(target: string, incoming: IncomingMessage, sent: Iterable<Buffer> | IncomingMessage = incoming) {
  const { hostname, port } = new URL(target)
  const { method, url: path, headers } = incoming
  const forwarded = request({ hostname, port, method, path, headers })
  const [[answered]] = (await Promise.all([once(forwarded, 'response'), pipeline(sent, forwarded)])) as [
    [IncomingMessage],
    void,
  ]
  return { answered, body: await buffer(answered) }
}

/** The body of a list, or the headers of a head, with the class of what is archived. */
function archive(incoming: IncomingMessage, answered: IncomingMessage, body: Buffer, objects: RegExp): Buffer {
  const { verb, key } = read(incoming)
  if (verb === 'head' && objects.test(key)) answered.headers['x-amz-storage-class'] = 'GLACIER'
  if (verb !== 'list') return body
  const list = body.toString().replaceAll(/<Contents>.*?<\/Contents>/gs, entry => {
    const listed = decodeURIComponent(/<Key>(.*?)<\/Key>/s.exec(entry)?.[1] ?? '')
    if (!objects.test(listed)) return entry
    return entry
      .replace(/<StorageClass>.*?<\/StorageClass>/s, '')
      .replace('</Contents>', '<StorageClass>GLACIER</StorageClass></Contents>')
  })
  answered.headers['content-length'] = String(Buffer.byteLength(list))
  return Buffer.from(list)
}

type Refusal = Extract<Fault, { kind: 'refuse' }>

/** What a store says that looks at the headers first. */
function standsInTheWay(fault: Fault, headers: IncomingHttpHeaders): Refusal | undefined {
  const refused = { kind: 'refuse', status: 400 } as const
  if (fault.kind === 'demand-digest' && !fault.headers.some(header => header in headers)) {
    const message =
      'Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters'
    return { ...refused, code: 'InvalidRequest', message }
  }
  if (fault.kind === 'refuse-header' && fault.header in headers) {
    const message = `A header you provided implies functionality that is not implemented: ${fault.header}`
    return { ...refused, status: 501, code: 'NotImplemented', message }
  }
  if (fault.kind === 'expire-token' && headers['x-amz-security-token'] === fault.token)
    return { ...refused, code: 'ExpiredToken', message: 'The provided token has expired.' }
  return undefined
}

/** A reply to HEAD has no body, and so no code. */
function refuse(reply: ServerResponse, { method }: IncomingMessage, { status, code, message, region }: Refusal) {
  reply.writeHead(status, { 'content-type': 'application/xml' })
  reply.end(method === 'HEAD' ? undefined : errorBody(code, message, region))
}

function errorBody(code: string, message = 'injected', region?: string): string {
  const where = region === undefined ? '' : `<Region>${region}</Region>`
  return `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>${message}</Message>${where}<RequestId>1</RequestId></Error>`
}
