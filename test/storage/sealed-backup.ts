// Encrypted artifacts as the mover writes them, of frames as small as a test wants them.
import { hash } from 'node:crypto'
import type { BackupArtifact, BackupRecord } from '../../src/api/record.ts'
import { encodeSealedArtifact, sealedMagic, type SealedArtifact } from '../../src/api/sealed-artifact.ts'
import type { Recipients } from '../../src/mover/age/recipients.ts'
import { sealedFile, segmentKey, type Layout } from '../../src/storage/bucket/layout.ts'
import type { ObjectStore } from '../../src/storage/object-store.ts'
import { sealFile } from '../mover/age-file.ts'
import { entryOf, frameOf, seekTable, skippable } from './seekable.ts'

export type SealedContent = Pick<SealedArtifact, 'name' | 'facts' | 'engine'> & { readonly plain: Buffer }
export type Place = Pick<BackupRecord, 'run' | 'attempt' | 'owner' | 'target' | 'slot'>

export async function sealArtifact(
  { plain, ...told }: SealedContent,
  place: Place,
  index: number,
  recipients: Recipients,
  frameBytes = 50_000,
): Promise<Buffer> {
  const slices = Array.from({ length: Math.ceil(plain.length / frameBytes) }, (_, nth) =>
    plain.subarray(nth * frameBytes, (nth + 1) * frameBytes),
  )
  const frames = slices.map(frameOf)
  const entries = frames.map((frame, nth) => entryOf(frame, slices[nth] ?? Buffer.alloc(0)))
  const { run, attempt, owner, target, slot } = place
  const sealed = {
    run,
    attempt,
    owner,
    target,
    slot,
    index,
    bytes: plain.length,
    sha256: hash('sha256', plain),
    ...told,
  }
  const last = skippable(encodeSealedArtifact(sealed), sealedMagic)
  const table = seekTable([...entries, { stored: last.length, plain: 0, checksum: 0 }], false)
  return sealFile(Buffer.concat([...frames, last, table]), recipients)
}

/** Puts the bytes as one object, and tells the manifest's entry of them: as whoever may write in the bucket can. */
export async function putSealed(
  store: Pick<ObjectStore, 'put'>,
  layout: Layout,
  place: Place,
  index: number,
  bytes: Buffer,
  partBytes = 40_000,
): Promise<BackupArtifact> {
  const key = segmentKey(layout, place, sealedFile(index), 0, ['zstd', 'age'])
  const parts: string[] = []
  for (let at = 0; at < bytes.length; at += partBytes) parts.push(hash('sha256', bytes.subarray(at, at + partBytes)))
  await store.put(key, bytes)
  return {
    kind: 'stream',
    codecs: ['zstd', 'age'],
    partBytes,
    segments: [{ key: key.slice(layout.root.length), bytes: bytes.length, parts }],
    storedBytes: bytes.length,
  }
}
