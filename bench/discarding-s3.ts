// An S3 server that keeps small objects and throws the bytes of parts away: what is measured against it is the mover, not a disk. By default
// with https, because TLS costs the sender memory, too; it costs this server, which shares the processors, as much time.
import { createHash, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { makeCertificates } from '../test/api/control-plane/certificates.ts'
import { makeRunDirectory, removeRunDirectory } from '../test/api/control-plane/run-directory.ts'

export type DiscardingS3 = {
  readonly endpoint: string
  /** PEM file of the authority that the server's certificate is from. */
  readonly caFile: string
  /** Keys and sizes; completed uploads count the bytes of their parts. */
  readonly objects: ReadonlyMap<string, number>
  /** The body of a small object. */
  readonly body: (key: string) => Buffer | undefined
  readonly openUploads: () => number
  readonly stop: () => Promise<void>
}

type Upload = { readonly key: string; readonly metadata: Record<string, string>; readonly parts: Map<number, number> }
type Stored = {
  readonly bytes: number
  readonly body?: Buffer
  readonly metadata: Record<string, string>
  readonly at: Date
}

/** `partMs`: so long the answer to a part is held back once its last byte has come, as by a store that is far away. */
export async function startDiscardingS3({ partMs = 0, tls = true } = {}): Promise<DiscardingS3> {
  const stored = new Map<string, Stored>()
  const uploads = new Map<string, Upload>()
  const objects = new Map<string, number>()

  function keep(key: string, object: Omit<Stored, 'at'>) {
    stored.set(key, { ...object, at: new Date() })
    objects.set(key, object.bytes)
  }

  async function handle(incoming: IncomingMessage, reply: ServerResponse): Promise<void> {
    const url = new URL(incoming.url ?? '/', 'http://store')
    const key = decodeURIComponent(url.pathname.split('/').slice(2).join('/'))
    const query = url.searchParams
    const uploadId = query.get('uploadId') ?? ''
    const upload = uploads.get(uploadId)
    switch (incoming.method) {
      case 'POST': {
        const body = await buffer(incoming)
        if (query.has('uploads')) {
          const id = randomUUID()
          uploads.set(id, { key, metadata: metadataOf(incoming), parts: new Map() })
          return xml(
            reply,
            200,
            `<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`,
          )
        }
        if (!upload) return error(reply, 404, 'NoSuchUpload')
        const numbers = [...body.toString().matchAll(/<PartNumber>(\d+)<\/PartNumber>/g)].map(match => Number(match[1]))
        const sizes = numbers.map(number => upload.parts.get(number))
        if (!sizes.every(size => size !== undefined)) return error(reply, 400, 'InvalidPart')
        uploads.delete(uploadId)
        keep(key, { bytes: sizes.reduce((sum, size) => sum + size, 0), metadata: upload.metadata })
        return xml(reply, 200, '<CompleteMultipartUploadResult><ETag>"0"</ETag></CompleteMultipartUploadResult>')
      }
      case 'PUT': {
        if (query.has('partNumber')) {
          const bytes = await discard(incoming)
          if (!upload) return error(reply, 404, 'NoSuchUpload')
          await delay(partMs)
          upload.parts.set(Number(query.get('partNumber')), bytes)
          reply.writeHead(200, { etag: `"${bytes}"` }).end()
          return
        }
        const body = await buffer(incoming)
        if (incoming.headers['if-none-match'] === '*' && stored.has(key)) return error(reply, 412, 'PreconditionFailed')
        keep(key, { bytes: body.length, body, metadata: {} })
        reply.writeHead(200, { etag: `"${createHash('md5').update(body).digest('hex')}"` }).end()
        return
      }
      case 'DELETE':
        if (query.has('uploadId')) uploads.delete(uploadId)
        else if (stored.delete(key)) objects.delete(key)
        reply.writeHead(204).end()
        return
      case 'HEAD': {
        const object = stored.get(key)
        const notes = Object.entries(object?.metadata ?? {}).map(([name, value]) => [`x-amz-meta-${name}`, value])
        const headers = {
          'content-length': object?.bytes ?? 0,
          ...(Object.fromEntries(notes) as Record<string, string>),
        }
        reply.writeHead(object ? 200 : 404, headers).end()
        return
      }
      case undefined:
      default: {
        if (query.has('list-type')) return list(reply, query.get('prefix') ?? '')
        const object = stored.get(key)
        if (!object?.body) return error(reply, 404, 'NoSuchKey')
        reply.writeHead(200, { 'content-length': object.bytes }).end(object.body)
      }
    }
  }

  function list(reply: ServerResponse, prefix: string) {
    const keys = [...stored.keys()].filter(key => key.startsWith(prefix)).sort()
    const contents = keys.map(key => {
      const { bytes, at } = stored.get(key) as Stored
      return `<Contents><Key>${key}</Key><LastModified>${at.toISOString()}</LastModified><Size>${bytes}</Size></Contents>`
    })
    xml(reply, 200, `<ListBucketResult><IsTruncated>false</IsTruncated>${contents.join('')}</ListBucketResult>`)
  }

  const directory = await makeRunDirectory()
  await makeCertificates(directory)
  const [cert, key] = await Promise.all(['crt', 'key'].map(kind => readFile(join(directory, `apiserver.${kind}`))))
  const answer = (incoming: IncomingMessage, reply: ServerResponse) => {
    handle(incoming, reply).catch(() => reply.destroy())
  }
  const server = tls ? createServer({ cert, key }, answer) : createHttpServer(answer)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    endpoint: `${tls ? 'https' : 'http'}://127.0.0.1:${(server.address() as AddressInfo).port}`,
    caFile: join(directory, 'ca.crt'),
    objects,
    body: key => stored.get(key)?.body,
    openUploads: () => uploads.size,
    async stop() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
      await removeRunDirectory(directory)
    },
  }
}

function metadataOf(incoming: IncomingMessage): Record<string, string> {
  const notes = Object.entries(incoming.headers).filter(([name]) => name.startsWith('x-amz-meta-'))
  return Object.fromEntries(notes.map(([name, value]) => [name.slice('x-amz-meta-'.length), String(value)]))
}

async function discard(incoming: IncomingMessage): Promise<number> {
  let bytes = 0
  for await (const chunk of incoming as AsyncIterable<Buffer>) bytes += chunk.length
  return bytes
}

function xml(reply: ServerResponse, status: number, body: string) {
  reply.writeHead(status, { 'content-type': 'application/xml' }).end(`<?xml version="1.0" encoding="UTF-8"?>\n${body}`)
}

function error(reply: ServerResponse, status: number, code: string) {
  xml(reply, status, `<Error><Code>${code}</Code><Message>${code}</Message></Error>`)
}
