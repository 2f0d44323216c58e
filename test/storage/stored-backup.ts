// A whole backup in a store, as the mover that writes independent frames leaves it: segments, parts, digests and manifest.
import { hash } from 'node:crypto'
import {
  encodeBackupRecord,
  type ArtifactFacts,
  type BackupArtifact,
  type BackupRecord,
  type BackupSegment,
} from '../../src/api/record.ts'
import { manifestKey, segmentKey, type Layout } from '../../src/storage/bucket/layout.ts'
import type { ObjectStore } from '../../src/storage/object-store.ts'
import { seekable } from './seekable.ts'

export type StoredArtifact = {
  readonly name: string
  readonly plain: Buffer
  readonly codecs?: readonly ('zstd' | 'age')[]
  /** Default: one frame. */
  readonly frameBytes?: number
  /** In the place of what follows from `plain`. */
  readonly stored?: Buffer
  readonly partBytes?: number
  /** A new segment begins after so many. */
  readonly maxParts?: number
  readonly facts?: ArtifactFacts
}

export type StoredBackup = {
  readonly run: string
  readonly slot: Date
  readonly target?: string
  readonly attempt?: string
  readonly artifacts: readonly StoredArtifact[]
  readonly change?: Partial<BackupRecord>
}

export async function storeBackup(
  store: Pick<ObjectStore, 'put'>,
  layout: Layout,
  backup: StoredBackup,
): Promise<{ readonly key: string; readonly record: BackupRecord }> {
  const { run, slot, target = 'command', attempt = `attempt-of-${run}` } = backup
  const artifacts: BackupArtifact[] = []
  for (const artifact of backup.artifacts)
    artifacts.push(await storeArtifact(store, layout, { run, attempt }, artifact))
  const time = slot.toISOString()
  const record: BackupRecord = {
    version: 2,
    trigger: 'scheduled',
    sizeCheck: 'compared',
    run,
    jobUid: `job-uid-of-${run}`,
    attempt,
    owner: { clusterId: 'cluster-1', namespace: 'shop', policy: 'orders', policyUid: 'uid-1' },
    target,
    slot: time,
    startedAt: time,
    finishedAt: time,
    artifacts,
    commit: 'conditional',
    suspect: false,
    tools: {},
    ...backup.change,
  }
  const key = manifestKey(layout, target, slot, run)
  await store.put(key, Buffer.from(encodeBackupRecord(record)))
  return { key, record }
}

async function storeArtifact(
  store: Pick<ObjectStore, 'put'>,
  layout: Layout,
  place: { readonly run: string; readonly attempt: string },
  artifact: StoredArtifact,
): Promise<BackupArtifact> {
  const { name, plain, codecs = ['zstd'], frameBytes, partBytes = 8 << 20, maxParts = 9000, facts } = artifact
  const stored = artifact.stored ?? (codecs.includes('zstd') ? seekable(plain, frameBytes ?? 4 << 20) : plain)
  const segments: BackupSegment[] = []
  for (let at = 0; at < stored.length; at += partBytes * maxParts) {
    const body = stored.subarray(at, at + partBytes * maxParts)
    const parts: string[] = []
    for (let part = 0; part < body.length; part += partBytes)
      parts.push(hash('sha256', body.subarray(part, part + partBytes)))
    const key = segmentKey(layout, place, name, segments.length)
    await store.put(key, body)
    segments.push({ key: key.slice(layout.root.length), bytes: body.length, parts })
  }
  return {
    kind: 'stream',
    name,
    codecs: [...codecs],
    partBytes,
    segments,
    storedBytes: stored.length,
    bytes: plain.length,
    sha256: hash('sha256', plain),
    ...(facts === undefined ? {} : { facts: { ...facts } }),
  }
}
