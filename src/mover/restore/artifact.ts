/** The plain bytes of an artifact, which end only when all of it was verified. */
import { createHash } from 'node:crypto'
import type { BackupArtifact } from '../../api/record.ts'
import { MoverFailure } from '../failure.ts'
import { decompressed } from './decompress.ts'
import { readParts, type PartsOptions } from './parts.ts'

/**
 * Every byte comes verified: by the digest of its part, and where it was compressed by the checksum of its frame. The last bytes come only
 * after the size and the digest of the whole were right, so that whoever sees an end has seen all of it.
 * @throws MoverFailure DataTampered, DataLost, FormatUnsupported; StoreError where the store does not give it.
 */
export async function* readArtifact(artifact: BackupArtifact, options: PartsOptions): AsyncGenerator<Buffer> {
  const sha256 = createHash('sha256')
  let bytes = 0
  let held: Buffer | undefined
  for await (const chunk of decoderOf(artifact)(readParts(artifact, options))) {
    sha256.update(chunk)
    bytes += chunk.length
    if (held) yield held
    held = chunk
  }
  const name = artifact.name ?? 'an artifact'
  if (bytes !== artifact.bytes)
    throw new MoverFailure('DataTampered', `${name} has ${bytes} plain bytes, and the manifest says ${artifact.bytes}`)
  if (sha256.digest('hex') !== artifact.sha256)
    throw new MoverFailure('DataTampered', `the sha256 of ${name} is another than that of the manifest`)
  if (held) yield held
}

/** By the codecs of writing, in their order. What is sealed with age goes between the two: `stored` is then a payload to be opened. */
const decoders: Readonly<Record<string, (stored: AsyncGenerator<Buffer>) => AsyncGenerator<Buffer>>> = {
  '': stored => stored,
  zstd: decompressed,
}

/** @throws MoverFailure FormatUnsupported for what this program does not read: before anybody is given anything. */
export function decoderOf({ codecs, name = 'an artifact' }: BackupArtifact) {
  const decoder = Object.hasOwn(decoders, codecs.join(' ')) ? decoders[codecs.join(' ')] : undefined
  if (decoder) return decoder
  const what = `${name} was written with ${codecs.join(', ')}`
  throw new MoverFailure('FormatUnsupported', `${what}, which this version does not read`)
}
