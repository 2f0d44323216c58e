/** Large bodies of requests leave in slices. */
import { Readable } from 'node:stream'
import type { S3Client } from '@aws-sdk/client-s3'

const sliceBytes = 256 << 10

/**
 * Makes the client send each body of bytes in slices, the next one when the socket has taken the last. A body that is written at once
 * is encrypted at once: TLS then holds a second copy of it, and a third until that has left. It comes after the signature, which
 * covers the whole body; such a request cannot be sent a second time by the SDK (`maxAttempts: 1`).
 */
export function sendInSlices(client: S3Client) {
  client.middlewareStack.add(
    next => args => {
      const request = args.request as { body?: unknown }
      const { body } = request
      if (body instanceof Uint8Array && body.length > sliceBytes) request.body = Readable.from(slicesOf(body))
      return next(args)
    },
    { step: 'deserialize', name: 'sendInSlices' },
  )
}

function* slicesOf(body: Uint8Array): Generator<Uint8Array> {
  for (let offset = 0; offset < body.length; offset += sliceBytes) yield body.subarray(offset, offset + sliceBytes)
}
