/**
 * Stored bytes → multipart uploads, in part buffers of a bounded number. An artifact becomes one object, or several segments where it has
 * more parts than a store allows; one upload is open at a time, and it is known by name (message, record in the bucket) from its first
 * moment on.
 */
import type { BackupSegment } from '../../api/record.ts'
import type { CompletedPart, ObjectStore } from '../../storage/object-store.ts'
import { firstWindow, windowAfter, type UploadWindow } from './upload-window.ts'

export interface UploadOptions {
  readonly store: ObjectStore
  /** Key of segment 0, 1, … from the root of the bucket. */
  readonly keyOf: (segment: number) => string
  readonly metadata: Readonly<Record<string, string>>
  /** Of one size, that of a part. At most so many parts are under way at once. */
  readonly buffers: readonly Buffer[]
  readonly maxParts: number
  /** sha256 of a part, hex. */
  readonly digestOf: (body: Buffer) => Promise<string>
  readonly signal: AbortSignal
  /** Of opening an upload. Aborted later: what is given up without an answer may be obeyed when the clean-up has been and found nothing. */
  readonly openingSignal: AbortSignal
  /** Around the opening of an upload: writes its record, without and then with its id. */
  readonly opening: (key: string, segment: number) => Promise<void>
  readonly opened: (upload: OpenUpload & { readonly isDoubtful: boolean }, segment: number) => Promise<void>
  /** After its completion or abort: removes its record. */
  readonly closed: (segment: number, signal?: AbortSignal) => Promise<void>
  /** In its place where the store may have opened others that nobody has found: the record stays for a later run. */
  readonly left: () => void
  /** Told the sum of bytes that the store has taken. */
  readonly onStored: (bytes: number) => void
  /** A part failed for good; `write` may not be called for a long while. */
  readonly onFailure: (error: unknown) => void
}

export interface OpenUpload {
  readonly key: string
  readonly uploadId: string
}

interface Segment extends OpenUpload {
  readonly number: number
  /** Its key may have more uploads than this one. */
  readonly isDoubtful: boolean
  readonly parts: CompletedPart[]
  /** Of the parts in their order. */
  readonly digests: string[]
  bytes: number
  sentParts: number
}

export class SegmentedUpload {
  readonly #options: UploadOptions
  readonly #free: Buffer[]
  readonly #sending = new Set<Promise<void>>()
  readonly #completed: BackupSegment[] = []
  #window: UploadWindow = firstWindow
  #part: Buffer | undefined
  #filled = 0
  #segment: Segment | undefined
  #segments = 0
  /** Being opened: the store may know an upload that we do not. */
  #opening: { readonly key: string; readonly number: number; doubtful: number } | undefined
  #stored = 0
  #failure: { readonly error: unknown } | undefined

  constructor(options: UploadOptions) {
    this.#options = options
    this.#free = [...options.buffers]
  }

  /** Opens the first segment: a store that will not take the bytes says so before there are any. */
  async open(): Promise<void> {
    await this.#openSegment()
  }

  /** Copies the chunks. The promise holds the caller back while all buffers are under way. */
  async write(...chunks: readonly Buffer[]): Promise<void> {
    for (const chunk of chunks)
      for (let offset = 0; offset < chunk.length;) {
        const part = (this.#part ??= await this.#freeBuffer())
        const count = Math.min(chunk.length - offset, part.length - this.#filled)
        chunk.copy(part, this.#filled, offset, offset + count)
        this.#filled += count
        offset += count
        if (this.#filled === part.length) await this.#send(part)
      }
  }

  /** Sends the rest and makes all segments visible. @returns them in order; keys from the root of the bucket. */
  async finish(): Promise<readonly BackupSegment[]> {
    if (this.#part && this.#filled > 0) await this.#send(this.#part)
    if (this.#segment) await this.#completeSegment(this.#segment)
    return this.#completed
  }

  /**
   * Aborts what is open and deletes what is complete, after a failure; `signal` of the options must be aborted by now.
   * @throws the first error, after having tried everything.
   */
  async discard(store: ObjectStore, signal: AbortSignal): Promise<void> {
    await Promise.allSettled(this.#sending)
    const failures: unknown[] = []
    const segment = this.#segment
    const opening = this.#opening
    try {
      if (opening) {
        const { key, number, doubtful } = opening
        const uploads = await store.listUploads(key, signal)
        for (const uploadId of uploads) await store.abortUpload(key, uploadId, signal)
        // What may yet come to be keeps its record, by which a later run finds it.
        const perhaps = doubtful + Number(this.#options.openingSignal.aborted)
        if (uploads.length >= perhaps) await this.#options.closed(number, signal)
      }
      if (segment) {
        await store.abortUpload(segment.key, segment.uploadId, signal)
        // A completion may have succeeded without our knowing: then there is an object instead of an upload.
        await store.delete([segment.key], signal)
        this.#segment = undefined
        await this.#close(segment, signal)
      }
    } catch (error) {
      failures.push(error)
    }
    try {
      await store.delete(
        this.#completed.map(({ key }) => key),
        signal,
      )
    } catch (error) {
      failures.push(error)
    }
    if (failures.length > 0) throw failures[0]
  }

  async #openSegment(): Promise<Segment> {
    const { store, keyOf, metadata, openingSignal: signal } = this.#options
    const number = this.#segments++
    const key = keyOf(number)
    const opening = { key, number, doubtful: 0 }
    this.#opening = opening
    await this.#options.opening(key, number)
    const onDoubt = (uploads: number) => void (opening.doubtful = uploads)
    const uploadId = await store.createUpload(key, { metadata, signal, onDoubt })
    this.#opening = undefined
    const isDoubtful = opening.doubtful > 0
    const segment = { key, number, isDoubtful, uploadId, parts: [], digests: [], bytes: 0, sentParts: 0 }
    this.#segment = segment
    await this.#options.opened(segment, number)
    return segment
  }

  async #close({ number, isDoubtful }: Segment, signal?: AbortSignal): Promise<void> {
    if (isDoubtful) this.#options.left()
    else await this.#options.closed(number, signal)
  }

  async #completeSegment(segment: Segment): Promise<void> {
    await Promise.all(this.#sending)
    if (this.#failure) throw this.#failure.error
    const { store, signal } = this.#options
    const parts = segment.parts.sort((a, b) => a.number - b.number)
    await store.completeUpload(segment.key, segment.uploadId, parts, segment.bytes, signal)
    this.#completed.push({ key: segment.key, bytes: segment.bytes, parts: segment.digests })
    this.#segment = undefined
    await this.#close(segment)
  }

  async #send(buffer: Buffer): Promise<void> {
    if (this.#segment && this.#segment.sentParts >= this.#options.maxParts) await this.#completeSegment(this.#segment)
    const segment = this.#segment ?? (await this.#openSegment())
    const body = buffer.subarray(0, this.#filled)
    segment.bytes += body.length
    const number = ++segment.sentParts
    this.#part = undefined
    this.#filled = 0
    const sending = this.#sendPart(segment, number, body).finally(() => {
      this.#free.push(buffer)
      this.#sending.delete(sending)
    })
    this.#sending.add(sending)
  }

  async #freeBuffer(): Promise<Buffer> {
    for (;;) {
      if (this.#failure) throw this.#failure.error
      const buffer = this.#sending.size < this.#window.parts ? this.#free.pop() : undefined
      if (buffer) return buffer
      await Promise.race(this.#sending)
    }
  }

  /** Never rejects: what goes wrong is kept, and told at the next call and by `onFailure`. */
  async #sendPart(segment: Segment, number: number, body: Buffer): Promise<void> {
    const { store, signal, digestOf, onFailure, onStored } = this.#options
    try {
      const digest = await digestOf(body)
      segment.digests[number - 1] = digest
      const started = performance.now()
      segment.parts.push(await store.uploadPart(segment.key, segment.uploadId, number, body, signal, digest))
      this.#learn(performance.now() - started)
      this.#stored += body.length
      onStored(this.#stored)
    } catch (error) {
      if (this.#failure) return
      this.#failure = { error }
      onFailure(error)
    }
  }

  /** What a part took while the window was not full says nothing about the window. */
  #learn(ms: number) {
    if (this.#sending.size < this.#window.parts) return
    this.#window = windowAfter(this.#window, ms, this.#options.buffers.length)
  }
}
