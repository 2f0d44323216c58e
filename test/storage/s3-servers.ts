// Real S3 servers as local processes on loopback: what the tests of storage and mover talk to.
import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import {
  CreateBucketCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutBucketLifecycleConfigurationCommand,
  PutBucketVersioningCommand,
  PutObjectLockConfigurationCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import { goToolDirectory } from '../../dev/go-tools.ts'
import { openS3, type S3Settings } from '../../src/storage/s3/s3.ts'
import { freePort } from '../runner/free-port.ts'
import {
  kill,
  makeRunDirectory,
  removeRunDirectory,
  spawnRecorded,
  sweepRunDirectories,
} from '../api/control-plane/run-directory.ts'

export const s3ServerKinds = ['minio', 'versitygw'] as const
export type S3ServerKind = (typeof s3ServerKinds)[number]

export type S3Server = {
  readonly kind: S3ServerKind
  readonly endpoint: string
  readonly pid: number
  /** MinIO's page for people. */
  readonly console: string | undefined
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string }
  /** Makes a bucket with a name of its own. */
  readonly makeBucket: (options?: BucketOptions) => Promise<string>
  /** Keys in the bucket, and keys with an open multipart upload. */
  readonly contents: (
    bucket: string,
  ) => Promise<{ readonly keys: readonly string[]; readonly uploads: readonly string[] }>
  readonly stop: () => Promise<void>
}

/** Only MinIO has all of them as it is started here. */
export type BucketOptions = {
  /** Keeps each version of an object for a day: Object Lock with a default retention. */
  readonly locked?: true
  readonly versioned?: true
  /** A lifecycle rule that removes older versions of what is below this prefix after a day. */
  readonly expiresVersions?: string
}

export type S3ServerOptions = {
  /** PEM texts: serve https with them. */
  readonly tls?: { readonly certificate: string; readonly key: string; readonly authority: string }
  /** The bucket's name may be in the host, below this domain. */
  readonly domain?: string
  /** Default: any that is asked for, or `us-east-1`. */
  readonly region?: string
}

const startWithinMs = 30_000

/** Starts a server and waits until it answers. It dies with this process. */
export async function startS3Server(kind: S3ServerKind, options: S3ServerOptions = {}): Promise<S3Server> {
  await sweepRunDirectories()
  const binary = join(goToolDirectory(kind), kind)
  if (!existsSync(binary)) throw new Error(`${kind} is not built yet; \`make test\` builds it into ${binary}`)
  const directory = await makeRunDirectory()
  const data = join(directory, 'data')
  await mkdir(data)
  const credentials = { accessKeyId: 'minioadmin', secretAccessKey: 'minioadmin' }
  const port = await freePort()
  const consolePort = await freePort()
  const args = await argumentsOf(kind, directory, data, port, consolePort, options)
  const environment = {
    ...(options.domain === undefined ? {} : { MINIO_DOMAIN: options.domain }),
    ...(options.region === undefined ? {} : { MINIO_SITE_REGION: options.region }),
  }
  const process = await spawnRecorded(directory, binary, args, environment)
  const endpoint = `${options.tls ? 'https' : 'http'}://127.0.0.1:${port}`
  const client = new S3Client({
    endpoint,
    credentials,
    region: options.region ?? 'us-east-1',
    forcePathStyle: true,
    maxAttempts: 1,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    ...(options.tls ? { requestHandler: { httpsAgent: { ca: options.tls.authority } } } : {}),
  })
  const stop = async () => {
    client.destroy()
    await kill(process)
    await removeRunDirectory(directory)
  }
  try {
    await answers(client, process)
  } catch (error) {
    const log = await readFile(process.log, 'utf8')
    await stop()
    throw new Error(`${kind} did not start; its log:\n${log}`, { cause: error })
  }
  let buckets = 0
  return {
    kind,
    endpoint,
    pid: process.pid,
    console: kind === 'minio' ? `http://127.0.0.1:${consolePort}` : undefined,
    credentials,
    stop,
    async makeBucket({ locked, versioned, expiresVersions } = {}) {
      const Bucket = `bucket-${++buckets}`
      await client.send(new CreateBucketCommand({ Bucket, ObjectLockEnabledForBucket: locked }))
      if (locked) {
        const Rule = { DefaultRetention: { Mode: 'GOVERNANCE' as const, Days: 1 } }
        const ObjectLockConfiguration = { ObjectLockEnabled: 'Enabled' as const, Rule }
        await client.send(new PutObjectLockConfigurationCommand({ Bucket, ObjectLockConfiguration }))
      }
      if (versioned) {
        const VersioningConfiguration = { Status: 'Enabled' as const }
        await client.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration }))
      }
      if (expiresVersions !== undefined) {
        const rule = {
          Status: 'Enabled' as const,
          Filter: { Prefix: expiresVersions },
          NoncurrentVersionExpiration: { NoncurrentDays: 1 },
        }
        const LifecycleConfiguration = { Rules: [rule] }
        await client.send(new PutBucketLifecycleConfigurationCommand({ Bucket, LifecycleConfiguration }))
      }
      return Bucket
    },
    async contents(Bucket) {
      const objects = await client.send(new ListObjectsV2Command({ Bucket }))
      const keys = (objects.Contents ?? []).map(object => object.Key ?? '')
      return { keys, uploads: await openUploads(client, Bucket) }
    },
  }
}

/** Settings for a client of the server, for tests of the S3 store itself. */
export function settingsOf(server: S3Server, bucket: string): S3Settings {
  return { bucket, endpoint: server.endpoint, credentials: server.credentials, idleTimeoutMs: 10_000 }
}

/** Contract suites ask for a store: one bucket each. */
export async function openBucket(server: S3Server) {
  return openS3(settingsOf(server, await server.makeBucket()))
}

async function argumentsOf(
  kind: S3ServerKind,
  directory: string,
  data: string,
  port: number,
  consolePort: number,
  options: S3ServerOptions,
) {
  const address = `127.0.0.1:${port}`
  const certificates = join(directory, 'certificates')
  await mkdir(certificates)
  const certificate = join(certificates, 'public.crt')
  const key = join(certificates, 'private.key')
  if (options.tls) {
    await writeFile(certificate, options.tls.certificate)
    await writeFile(key, options.tls.key)
  }
  if (kind === 'minio') {
    const console = `127.0.0.1:${consolePort}`
    return ['server', '--address', address, '--console-address', console, '--certs-dir', certificates, data]
  }
  const tls = options.tls ? ['--cert', certificate, '--key', key] : []
  const domain = options.domain === undefined ? [] : ['--virtual-domain', options.domain]
  const region = options.region === undefined ? [] : ['--region', options.region]
  const own = [...tls, ...domain, ...region]
  return ['--access', 'minioadmin', '--secret', 'minioadmin', '--port', address, '--keep-alive', ...own, 'posix', data]
}

/** MinIO lists uploads only by whole key or without any prefix; both servers answer the latter. */
async function openUploads(client: S3Client, Bucket: string) {
  const page = await client.send(new ListMultipartUploadsCommand({ Bucket }))
  return (page.Uploads ?? []).map(upload => upload.Key ?? '')
}

async function answers(client: S3Client, process: { readonly running: () => boolean }) {
  const deadline = performance.now() + startWithinMs
  for (;;) {
    try {
      await client.send(new CreateBucketCommand({ Bucket: 'started' }))
      return
    } catch (error) {
      if (!process.running() || performance.now() > deadline) throw error
      await delay(50)
    }
  }
}
