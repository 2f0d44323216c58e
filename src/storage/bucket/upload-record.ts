/**
 * A note in the bucket about a multipart upload, so that a later run can abort it when its mover was killed: stores list uploads
 * unreliably (MinIO only by whole key), and a lost mover's message may be lost with its pod. It is written before the upload is
 * opened, and again with the upload's id: at no instant is there an upload without a note.
 */
import { z } from 'zod'

const schema = z.object({
  version: z.literal(1),
  /** From the policy's folder. */
  key: z.string().regex(/^data\/[^/]+\/[^/]+\/[^/]+$/),
  /** Absent: the upload was about to be opened, and may be open. */
  uploadId: z.string().min(1).optional(),
  /** The store may have opened others of this key, too: a try to open one was given up without an answer. */
  others: z.literal(true).optional(),
  /** When the Job that opened it is certainly over, ms since the epoch. */
  expiresAt: z.int(),
})
export type UploadRecord = Readonly<z.infer<typeof schema>>

export function encodeUploadRecord(record: Omit<UploadRecord, 'version'>): Buffer {
  return Buffer.from(`${JSON.stringify({ version: 1, ...record })}\n`)
}

/** Undefined for anything else: it is left alone. */
export function parseUploadRecord(text: string): UploadRecord | undefined {
  try {
    return schema.parse(JSON.parse(text))
  } catch {
    return undefined
  }
}

/** Metadata of data objects: by them the sweep decides about an object without any other record. */
export const dataMetadata = {
  /** Key of the manifest that will name this object, from the policy's folder. */
  manifest: 'manifest',
  /** As `UploadRecord.expiresAt`. */
  expiresAt: 'expires-at',
} as const
