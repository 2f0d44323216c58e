/** The plain bytes of an artifact, which end only when all of it was verified. */
import { createHash } from 'node:crypto'
import type { BackupArtifact } from '../../api/record.ts'
import { MoverFailure } from '../failure.ts'
import { decompressed } from './decompress.ts'
import { readParts, type PartsOptions } from './parts.ts'
import type { OpenedArtifact } from './sealed.ts'

/**
 * Every byte comes verified: by the digest of its part, and where it was compressed by the checksum of its frame. The last bytes come only
 * after the size and the digest of the whole were right, so that whoever sees an end has seen all of it.
 * @throws MoverFailure DataTampered, DataLost, FormatUnsupported; StoreError where the store does not give it.
 */
export async function* readArtifact(
  artifact: BackupArtifact,
  options: PartsOptions,
  opened?: OpenedArtifact,
): AsyncGenerator<Buffer> {
  const truth = opened?.sealed ?? artifact
  const sha256 = createHash('sha256')
  let bytes = 0
  let held: Buffer | undefined
  for await (const chunk of decoderOf(artifact)(readParts(artifact, options), opened)) {
    sha256.update(chunk)
    bytes += chunk.length
    if (held) yield held
    held = chunk
  }
  const name = opened ? 'an encrypted artifact' : (artifact.name ?? 'an artifact')
  if (bytes !== truth.bytes) {
    const sizes = opened ? 'another number of' : `${bytes}`
    const said = opened ? 'it says of itself' : `the manifest says ${truth.bytes}`
    throw new MoverFailure('DataTampered', `${name} has ${sizes} plain bytes${opened ? ' than' : ', and'} ${said}`)
  }
  if (sha256.digest('hex') !== truth.sha256)
    throw new MoverFailure(
      'DataTampered',
      `the sha256 of ${name} is another than that of ${opened ? 'its own facts' : 'the manifest'}`,
    )
  if (held) yield held
}

type Decoder = (stored: AsyncGenerator<Buffer>, opened: OpenedArtifact | undefined) => AsyncGenerator<Buffer>

/** By the codecs of writing, in their order. */
const decoders: Readonly<Record<string, Decoder>> = {
  '': stored => stored,
  zstd: decompressed,
  'zstd age': unsealed,
}

/** What opened it has loaded what opens it. */
async function* unsealed(stored: AsyncGenerator<Buffer>, opened: OpenedArtifact | undefined): AsyncGenerator<Buffer> {
  if (!opened) throw new MoverFailure('Internal', 'an encrypted artifact is read that was not opened')
  const { openedPayload } = await import('./sealed.ts')
  yield* decompressed(openedPayload(stored, opened.payload))
}

/** @throws MoverFailure FormatUnsupported for what this program does not read: before anybody is given anything. */
export function decoderOf({ codecs, name = 'an artifact' }: BackupArtifact) {
  const decoder = Object.hasOwn(decoders, codecs.join(' ')) ? decoders[codecs.join(' ')] : undefined
  if (decoder) return decoder
  const what = `${name} was written with ${codecs.join(', ')}`
  throw new MoverFailure('FormatUnsupported', `${what}, which this version does not read`)
}
