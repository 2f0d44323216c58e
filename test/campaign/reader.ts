// What a stranger finds in the bucket, with nothing of ours but the manifest: plain requests of an S3 client and Debian's zstd.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { buffer } from 'node:stream/consumers'
import type { Readable } from 'node:stream'
import { GetObjectCommand, S3Client } from '@aws-sdk/client-s3'
import type { S3Server } from '../storage/s3-servers.ts'

/** The parts of a manifest that its documentation tells a reader to use (docs/storage-format.md). */
type Manifest = {
  readonly run: string
  readonly artifacts: readonly { readonly segments: readonly { readonly key: string }[] }[]
}

export type Found = {
  readonly run: string
  /** Of the manifest, and of the segments that it names. */
  readonly keys: readonly string[]
  /** Undefined when they cannot be had whole; `problem` says why. */
  readonly bytes?: Buffer
  readonly problem?: string
}

export class Reader {
  readonly #server: S3Server
  readonly #bucket: string
  readonly #client: S3Client

  constructor(server: S3Server, bucket: string) {
    this.#server = server
    this.#bucket = bucket
    const { endpoint, credentials } = server
    this.#client = new S3Client({ endpoint, credentials, region: 'us-east-1', forcePathStyle: true })
  }

  /** Every backup below the folder, and everything that is in the bucket. `folder` ends with a slash. */
  async look(folder: string): Promise<{
    readonly backups: readonly Found[]
    readonly keys: readonly string[]
    readonly uploads: readonly string[]
  }> {
    const { keys, uploads } = await this.#server.contents(this.#bucket)
    const manifests = keys.filter(key => key.startsWith(`${folder}manifests/`))
    const backups = await Promise.all(manifests.map(key => this.#read(folder, key)))
    return { backups, keys, uploads }
  }

  close(): void {
    this.#client.destroy()
  }

  async #read(folder: string, manifestKey: string): Promise<Found> {
    const manifest = JSON.parse((await this.#get(manifestKey)).toString()) as Manifest
    const segments = manifest.artifacts.flatMap(({ segments }) => segments.map(({ key }) => `${folder}${key}`))
    const found = { run: manifest.run, keys: [manifestKey, ...segments] }
    try {
      const stored = await Promise.all(segments.map(key => this.#get(key)))
      return { ...found, bytes: await unzstd(Buffer.concat(stored)) }
    } catch (error) {
      return { ...found, problem: (error as Error).message }
    }
  }

  async #get(Key: string): Promise<Buffer> {
    try {
      const { Body } = await this.#client.send(new GetObjectCommand({ Bucket: this.#bucket, Key }))
      return await buffer(Body as Readable)
    } catch (cause) {
      throw new Error(`${Key}: ${(cause as Error).name}`, { cause })
    }
  }
}

/** @throws Error with the program's own words */
async function unzstd(stored: Buffer): Promise<Buffer> {
  const child = spawn('zstd', ['-d', '-q', '-c'], { stdio: 'pipe' })
  // A program that refuses what it has read does not read the rest.
  child.stdin.on('error', () => {})
  child.stdin.end(stored)
  const [plain, words, [status]] = await Promise.all([
    buffer(child.stdout),
    buffer(child.stderr),
    once(child, 'exit') as Promise<[number | null]>,
  ])
  if (status !== 0) throw new Error(words.toString().trim())
  return plain
}
