import { after, before } from 'node:test'
import { slotOfJobName } from '../../src/api/names.ts'
import { layoutOf, manifestKey, segmentKey } from '../../src/storage/bucket/layout.ts'
import type { ObjectStore } from '../../src/storage/object-store.ts'
import { openS3 } from '../../src/storage/s3/s3.ts'
import { taskFor } from './backup-pod.ts'
import { putBackup } from '../storage/made-up-backup.ts'
import { startFaultProxy } from '../storage/s3-fault-proxy.ts'
import { settingsOf, startS3Server, type S3Server } from '../storage/s3-servers.ts'

export const secret = { 'root-user': 'minioadmin', 'root-password': 'minioadmin' }
export const layout = layoutOf({ namespace: 'shop', policy: 'orders' })
export const hourMs = 3_600_000

export function minio() {
  let server: S3Server
  before(async () => {
    server = await startS3Server('minio')
  })
  after(() => server.stop())
  return async (t: { after: (work: () => unknown) => void }) => {
    const bucket = await server.makeBucket()
    const store = openS3(settingsOf(server, bucket))
    const proxy = await startFaultProxy(server.endpoint)
    t.after(async () => {
      store.close()
      await proxy.stop()
    })
    const owner = { clusterId: 'cluster-1', namespace: 'shop', policy: 'orders', policyUid: 'uid-1' }
    await store.put(layout.owner, Buffer.from(JSON.stringify({ version: 1, ...owner, adoptedAt: new Date(0) })))
    const through = { bucket, endpoint: proxy.endpoint }
    const task = taskFor(server, bucket)
    const storeTask = { version: 1 as const, owner: task.owner, backend: task.backend, secretName: 'minio-creds' }
    return { server, bucket, store, proxy, through, task, storeTask }
  }
}

export function slotOf(run: string): Date {
  const slot = slotOfJobName(run, 'backup-orders')
  if (!slot) throw new Error(run)
  return slot
}

export const put = (store: ObjectStore, run: string) => putBackup(store, layout, { run, slot: slotOf(run) })
export const manifestOf = (run: string) => manifestKey(layout, 'command', slotOf(run), run)
export const dataOf = (run: string) => segmentKey(layout, { run, attempt: 'attempt' }, 'dump', 0)

/** The Job of a time. */
export const jobAt = (ms: number) => `backup-orders-${Math.floor(ms / 60_000)}`
