// The bucket as a client sees it that is not ours: the AWS SDK, through kubectl port-forward, so that it works on any cluster.
import assert from 'node:assert/strict'
import {
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import { eventually } from '../dev/eventually.ts'
import { forwardPort } from '../dev/port-forward.ts'
import type { BackupPolicy } from '../src/api/kinds/backup-policy.ts'
import type { BackupStatus } from '../src/api/kinds/backup.ts'
import * as resources from '../src/controllers/shared/resources.ts'
import { cluster, execInPod, patience } from './cluster.ts'
import { api } from './objects.ts'
import { store as minio } from './stack.ts'

const Bucket = minio.bucket

export type ForeignStore = {
  /** Its URL here. */
  readonly endpoint: string
  /** Keys below a prefix, sorted. */
  keys(prefix: string): Promise<readonly string[]>
  get(key: string): Promise<Buffer>
  put(key: string, body: string | Buffer): Promise<void>
  removeAll(prefix: string): Promise<void>
  close(): Promise<void>
}

/** `close` it, or the process does not end. */
export async function openStore(): Promise<ForeignStore> {
  const forwarded = await forwardPort(cluster, minio.namespace, 'minio', 9000)
  const endpoint = `http://127.0.0.1:${forwarded.port}`
  const s3 = new S3Client({
    endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId: minio.user, secretAccessKey: minio.password },
  })

  async function keys(prefix: string): Promise<readonly string[]> {
    const found: string[] = []
    let ContinuationToken: string | undefined
    do {
      const page = await s3.send(new ListObjectsV2Command({ Bucket, Prefix: prefix, ContinuationToken }))
      found.push(...(page.Contents ?? []).flatMap(({ Key }) => (Key === undefined ? [] : [Key])))
      ContinuationToken = page.NextContinuationToken
    } while (ContinuationToken)
    return found.toSorted()
  }

  return {
    endpoint,
    keys,
    async get(key) {
      const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key: key }))
      if (!Body) throw new Error(`${key} has no body`)
      return Buffer.from(await Body.transformToByteArray())
    },
    async put(key, body) {
      await s3.send(new PutObjectCommand({ Bucket, Key: key, Body: body }))
    },
    async removeAll(prefix) {
      for (const Key of await keys(prefix)) await s3.send(new DeleteObjectCommand({ Bucket, Key }))
    },
    async close() {
      s3.destroy()
      await forwarded.close()
    },
  }
}

/**
 * Open multipart uploads of a run, as files of MinIO: it lists uploads only for a key that one knows exactly. Ours carry the key of
 * the manifest, which holds the run's name.
 */
export async function openUploads(run: string): Promise<readonly string[]> {
  // strings, because the grep of busybox ends a line at a zero byte.
  const script = `cd /data/.minio.sys/multipart
    for file in */*/xl.meta; do if [ -e "$file" ] && strings "$file" | grep -qF -- "$1"; then echo "$file"; fi; done`
  const found = await execInPod(minio.namespace, minio.pod, ['sh', '-c', script, 'sh', run])
  return found.split('\n').filter(line => line !== '')
}

/** Nothing of a run that failed is in the bucket, and no upload of it is open. */
export async function assertNothingIsLeft(
  store: ForeignStore,
  namespace: string,
  policy: string,
  { run: job = '' }: BackupStatus,
): Promise<void> {
  const known = async () => (await api.get<BackupPolicy>(resources.backupPolicies, namespace, policy))?.status?.store
  // The probe tries the store with an object of its own, at the same time.
  await eventually('the probe to be over', async () => (await known())?.result === 'Usable', { seconds: patience })
  const folder = `${namespace}/${policy}/`
  assert.deepEqual(await store.keys(folder).then(keys => keys.filter(key => key !== `${folder}owner.json`)), [])
  assert.match(job, /^backup-/)
  assert.deepEqual(await openUploads(job), [])
}
