// Backups that an earlier run has left, put into the bucket without one.
import { createHash } from 'node:crypto'
import { zstdCompressSync } from 'node:zlib'
import { DeleteObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { slotOfJobName } from '../../src/api/names.ts'
import { encodeBackupRecord } from '../../src/api/record.ts'
import { layoutOf, manifestKey, segmentKey } from '../../src/storage/bucket/layout.ts'
import { dataMetadata } from '../../src/storage/bucket/upload-record.ts'
import { taskFor } from '../mover/backup-pod.ts'
import type { S3Server } from '../storage/s3-servers.ts'

const layout = layoutOf({ namespace: 'shop', policy: 'orders' })
const target = 'command'
const attempt = 'earlier'
const hourMs = 3_600_000

/** `lost`: somebody has deleted its data. */
export type EarlierBackup = { readonly run: string; readonly bytes: Buffer; readonly lost: boolean }

export async function putEarlier(server: S3Server, Bucket: string, backups: readonly EarlierBackup[]): Promise<void> {
  if (backups.length === 0) return
  const { endpoint, credentials } = server
  const client = new S3Client({ endpoint, credentials, region: 'us-east-1', forcePathStyle: true })
  for (const { run, bytes, lost } of backups) {
    const slot = slotOfJobName(run, 'backup-orders') ?? new Date(0)
    const Key = segmentKey(layout, { run, attempt }, 'dump', 0)
    const manifest = manifestKey(layout, target, slot, run)
    const stored = zstdCompressSync(bytes)
    const Metadata = {
      [dataMetadata.manifest]: relative(manifest),
      [dataMetadata.expiresAt]: String(Date.now() + hourMs),
    }
    const record = recordOf({ run, bytes, time: slot.toISOString(), key: relative(Key), stored })
    await client.send(new PutObjectCommand({ Bucket, Key, Body: stored, Metadata }))
    await client.send(new PutObjectCommand({ Bucket, Key: manifest, Body: record }))
    if (lost) await client.send(new DeleteObjectCommand({ Bucket, Key }))
  }
  client.destroy()
}

type Whole = {
  readonly run: string
  readonly time: string
  readonly key: string
  readonly bytes: Buffer
  readonly stored: Buffer
}

function recordOf({ run, time, key, bytes, stored }: Whole): string {
  const segments = [{ key, bytes: stored.length, parts: [sha256(stored)] }]
  const plain = { bytes: bytes.length, sha256: sha256(bytes) }
  return encodeBackupRecord({
    version: 2,
    trigger: 'scheduled',
    sizeCheck: 'compared',
    run,
    jobUid: `job-uid-of-${run}`,
    attempt,
    owner: taskFor({ endpoint: 'none' }, 'none').owner,
    target,
    slot: time,
    startedAt: time,
    finishedAt: time,
    artifacts: [
      {
        kind: 'stream',
        name: 'dump',
        codecs: ['zstd'],
        partBytes: 8 << 20,
        segments,
        ...plain,
        storedBytes: stored.length,
      },
    ],
    commit: 'conditional',
    suspect: false,
    tools: {},
  })
}

function relative(key: string): string {
  return key.slice(layout.root.length)
}

function sha256(body: Buffer): string {
  return createHash('sha256').update(body).digest('hex')
}
