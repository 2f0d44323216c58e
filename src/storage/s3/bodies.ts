/** Bodies of large requests, in less memory than the SDK's own way would take. Both come after or instead of what it makes of them. */
import { Readable } from 'node:stream'
import {
  CompleteMultipartUploadCommand,
  UploadPartCommand,
  type S3Client,
  type UploadPartCommandInput,
} from '@aws-sdk/client-s3'
import type { CompletedPart } from '../object-store.ts'

/** TLS holds so much of each part that is under way, encrypted. Half of it is no smaller memory, and twice the work. */
const sliceBytes = 128 << 10

/**
 * Makes the client send each body of bytes in slices, the next one when the socket has taken the last. A body that is written at once
 * is encrypted at once: TLS then holds a second copy of it until that has left. It comes after the signature, which covers the whole
 * body; such a request cannot be sent a second time by the SDK (`maxAttempts: 1`). After an answer that came early the old request may
 * still read a part's buffer that is being filled anew: no store takes those bytes, because their hash is not the signed one.
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

/**
 * The request that sends a part whose sha256 (hex) is known. The SDK signs what stands in this header, and computes it only where it does not:
 * a store that compares it with the body still refuses one that does not fit.
 */
export function partOf(part: UploadPartCommandInput, sha256: string | undefined): UploadPartCommand {
  const command = new UploadPartCommand(part)
  if (sha256 === undefined) return command
  command.middlewareStack.add(
    next => args => {
      ;(args.request as { headers: Record<string, string> }).headers['x-amz-content-sha256'] = sha256
      return next(args)
    },
    { step: 'build', name: 'knownDigest' },
  )
  return command
}

/** The request that completes an upload. The SDK would make a tree of nodes of 9,000 parts, 14 MiB at the peak of a backup's memory. */
export function completionOf(
  upload: { readonly Bucket: string; readonly Key: string; readonly UploadId: string },
  parts: readonly CompletedPart[],
): CompleteMultipartUploadCommand {
  const command = new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts: [] } })
  command.middlewareStack.add(
    next => args => {
      ;(args.request as { body?: unknown }).body = completionBody(parts)
      return next(args)
    },
    // After the SDK has made its request, and before it measures and signs it.
    { step: 'serialize', priority: 'low', name: 'completionBody' },
  )
  return command
}

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html */
function completionBody(parts: readonly CompletedPart[]): Buffer {
  const lines = parts.map(({ number, etag, crc32 }) => {
    const digest = crc32 === undefined ? '' : `<ChecksumCRC32>${escaped(crc32)}</ChecksumCRC32>`
    return `<Part><ETag>${escaped(etag)}</ETag>${digest}<PartNumber>${number}</PartNumber></Part>`
  })
  const namespace = 'http://s3.amazonaws.com/doc/2006-03-01/'
  return Buffer.from(`<CompleteMultipartUpload xmlns="${namespace}">${lines.join('')}</CompleteMultipartUpload>`)
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}
