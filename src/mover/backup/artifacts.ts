/**
 * The artifacts of one attempt, one after the other: each its own objects in the bucket, complete once its own command has ended with 0.
 * None of them is a backup before the manifest names them all, and all are removed when the attempt fails.
 */
import type { BackupArtifact, BackupSegment, Codec } from '../../api/record.ts'
import type { BackupTask } from '../../api/mover/task.ts'
import { segmentKey, uploadRecordKey, type Layout } from '../../storage/bucket/layout.ts'
import { dataMetadata, encodeUploadRecord } from '../../storage/bucket/upload-record.ts'
import type { ObjectStore } from '../../storage/object-store.ts'
import { MoverFailure } from '../failure.ts'
import type { MoverIdentity } from '../identity.ts'
import type { Report } from '../protocol/report.ts'
import { AsItIs } from './as-it-is.ts'
import type { Digests } from './digests.ts'
import { frameBytes, type Encoder, type WriteStored } from './encoder.ts'
import { Frames } from './frames.ts'
import type { MemoryPlan } from './memory.ts'
import type { Notes } from './notes.ts'
import { withoutFailing } from './retention.ts'
import type { ArtifactSink } from './source.ts'
import { SegmentedUpload } from './upload.ts'

/** Stored, and not yet judged by its size. Keys of segments are from the root of the bucket. */
export type StoredArtifact = Omit<BackupArtifact, 'suspect' | 'name' | 'bytes' | 'sha256'> & {
  readonly name: string
  readonly bytes: number
  readonly sha256: string
}

export interface ArtifactsOptions {
  readonly task: Pick<BackupTask, 'compression' | 'maxParts'>
  readonly identity: MoverIdentity
  readonly layout: Layout
  /** Key of the manifest, from the root of the bucket. */
  readonly manifest: string
  /** When the Job is certainly over, ms since the epoch. */
  readonly expiresAt: number
  readonly stores: { readonly quick: ObjectStore; readonly patient: ObjectStore }
  readonly report: Report
  readonly plan: MemoryPlan
  readonly digests: Digests
  readonly notes: Notes
  readonly signal: AbortSignal
  /** Of opening an upload: `UploadOptions.openingSignal`. */
  readonly openingSignal: AbortSignal
  /** As `UploadOptions.onFailure`. */
  readonly onFailure: (error: unknown) => void
}

/** Of a manifest. */
const mostArtifacts = 1000
const longestName = 255
const cleanupMs = 20_000

/** Bytes of memory that the buffers of a plan need. */
export function bufferBytes({ plainBuffers, partBytes, parts }: MemoryPlan): number {
  return plainBuffers * frameBytes + parts * partBytes
}

export class Artifacts {
  readonly #options: ArtifactsOptions
  readonly #codecs: readonly Codec[]
  /** What the command's bytes are read into. */
  readonly plainBuffers: readonly Buffer[]
  readonly #partBuffers: readonly Buffer[]
  readonly #uploads: SegmentedUpload[] = []
  readonly #stored: StoredArtifact[] = []
  readonly #names = new Set<string>()
  #encoder: Encoder | undefined
  /** Of the uploads before the present one. */
  #segments = 0
  #storedBytes = 0

  constructor(options: ArtifactsOptions) {
    const { plan, digests, task } = options
    this.#options = options
    this.#codecs = task.compression === 'none' ? [] : ['zstd']
    const buffers = (count: number, bytes: number, start: number) =>
      Array.from({ length: count }, (_, index) => Buffer.from(digests.memory, start + index * bytes, bytes))
    this.plainBuffers = buffers(plan.plainBuffers, frameBytes, 0)
    this.#partBuffers = buffers(plan.parts, plan.partBytes, plan.plainBuffers * frameBytes)
  }

  /** Complete ones, in their order. */
  get stored(): readonly StoredArtifact[] {
    return this.#stored
  }

  /** Opens the upload of the next one. @throws MoverFailure ArtifactName; StoreError. */
  async begin(name: string): Promise<ArtifactSink> {
    const { report, notes } = this.#options
    checkName(name, this.#names, this.#codecs)
    this.#names.add(name)
    const facts = notes.factsOf(name)
    const before = this.#storedBytes
    const upload = this.#openUpload(name, stored => report.note({ storedBytes: before + stored }))
    this.#uploads.push(upload)
    await upload.open()
    const encoder = this.#encode(async chunk => {
      try {
        await upload.write(chunk)
      } catch (error) {
        // The reader waits for buffers, or for the command: it would not hear of it.
        this.#options.onFailure(error)
        throw error
      }
    })
    this.#encoder = encoder
    return {
      take: bytes => encoder.push(bytes),
      end: async lateWriters => {
        const { bytes, sha256 } = await encoder.end()
        encoder.close()
        const segments = await upload.finish()
        const storedBytes = segments.reduce((sum, segment) => sum + segment.bytes, 0)
        this.#storedBytes += storedBytes
        this.#segments += segments.length
        this.#stored.push({
          kind: 'stream',
          name,
          codecs: [...this.#codecs],
          partBytes: this.#options.plan.partBytes,
          segments: [...segments],
          storedBytes,
          bytes,
          sha256,
          ...(facts ? { facts } : {}),
          ...(lateWriters.length > 0 ? { lateWriters: [...lateWriters] } : {}),
        })
        report.note({ artifacts: this.#stored.length })
      },
    }
  }

  /** After a failure, with the signals aborted. @throws the first error, after having tried everything. */
  async discard(store: ObjectStore, signal: AbortSignal): Promise<void> {
    const failures: unknown[] = []
    for (const upload of this.#uploads.toReversed()) {
      await upload.discard(store, signal).catch((error: unknown) => failures.push(error))
    }
    if (failures.length > 0) throw failures[0]
  }

  close() {
    this.#encoder?.close()
  }

  #encode(write: WriteStored): Encoder {
    const { task, digests, plan } = this.#options
    if (task.compression === 'none') return new AsItIs(digests, write)
    return new Frames({ compression: task.compression, lanes: plan.lanes, digests, write })
  }

  #openUpload(name: string, onStored: (bytes: number) => void): SegmentedUpload {
    const { identity, layout, manifest, expiresAt, stores, report, signal, openingSignal } = this.#options
    const relative = (key: string) => key.slice(layout.root.length)
    const first = this.#segments
    const recordKey = (segment: number) => uploadRecordKey(layout, identity, first + segment)
    const note = (segment: number, record: Parameters<typeof encodeUploadRecord>[0]) =>
      stores.patient.put(recordKey(segment), encodeUploadRecord(record), openingSignal)
    return new SegmentedUpload({
      store: stores.patient,
      keyOf: segment => segmentKey(layout, identity, name, segment, this.#codecs),
      metadata: { [dataMetadata.manifest]: relative(manifest), [dataMetadata.expiresAt]: String(expiresAt) },
      buffers: this.#partBuffers,
      maxParts: this.#options.task.maxParts,
      digestOf: body => this.#options.digests.digestOf(body),
      signal,
      openingSignal,
      onFailure: this.#options.onFailure,
      onStored,
      opening: (key, segment) => note(segment, { key: relative(key), expiresAt }),
      async opened({ key, uploadId, isDoubtful }, segment) {
        report.update({ openUpload: { key, uploadId } })
        const others = isDoubtful ? ({ others: true } as const) : {}
        await note(segment, { key: relative(key), uploadId, ...others, expiresAt })
      },
      left: () => report.update({ openUpload: undefined }),
      async closed(segment, cleanup = AbortSignal.timeout(cleanupMs)) {
        report.update({ openUpload: undefined })
        const remove = () => stores.quick.delete([recordKey(segment)], cleanup)
        await withoutFailing(report, `cannot remove the note about a closed upload`, remove)
      },
    })
  }
}

function checkName(name: string, names: ReadonlySet<string>, codecs: readonly Codec[]) {
  const problem = problemOf(name, names, codecs)
  if (problem) throw new MoverFailure('ArtifactName', `the artifact ${JSON.stringify(name.slice(0, 100))} ${problem}`)
}

/** @returns what is wrong, for `the artifact "…" …`. */
function problemOf(name: string, names: ReadonlySet<string>, codecs: readonly Codec[]): string | undefined {
  if (name === '') return 'has no name'
  if (Buffer.byteLength(name) > longestName) return `has a name of more than ${longestName} bytes`
  if (name.includes('\u{fffd}')) return 'has a name that is no UTF-8'
  if (names.has(name)) return 'was announced twice: names of artifacts are unique in their run'
  if (names.size === mostArtifacts) return `is one more than ${mostArtifacts}`
  // Without a suffix in between it could be a later segment of another artifact.
  if (codecs.length === 0 && /\.\d{4,}$/.test(name))
    return 'has a name that ends like a segment, which only compressed ones may'
  return undefined
}

export function relativeSegments(layout: Layout, segments: readonly BackupSegment[]): BackupSegment[] {
  return segments.map(segment => ({ ...segment, key: segment.key.slice(layout.root.length) }))
}
