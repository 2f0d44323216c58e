// A server with a backup in it, and a command that does what `psql --single-transaction` does: it commits at the end of its input.
import { randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { MoverTaskInput } from '../../src/api/mover/task.ts'
import { layoutOf } from '../../src/storage/bucket/layout.ts'
import { openS3 } from '../../src/storage/s3/s3.ts'
import { startFaultProxy } from '../storage/s3-fault-proxy.ts'
import { settingsOf, type S3Server } from '../storage/s3-servers.ts'
import { storeBackup, type StoredArtifact, type StoredBackup } from '../storage/stored-backup.ts'

export const secret = { 'root-user': 'minioadmin', 'root-password': 'minioadmin' }
export const layout = layoutOf({ namespace: 'shop', policy: 'orders' })
export const slot = new Date('2026-11-22T02:00:00Z')
export const run = 'backup-orders-29921880'

/** Half of it compresses. */
export function someBytes(megabytes: number): Buffer {
  const block = Buffer.concat([randomBytes(500_000), Buffer.alloc(500_000, 'orders;')])
  return Buffer.concat(Array.from({ length: megabytes }, () => block))
}

type Cleaning = { after: (work: () => unknown) => void }
type RestoreChange = Partial<Extract<MoverTaskInput, { kind: 'restore' }>>
type ResolveChange = Partial<Extract<MoverTaskInput, { kind: 'resolve' }>>

export async function restoreStage(t: Cleaning, server: S3Server) {
  const bucket = await server.makeBucket()
  const store = openS3(settingsOf(server, bucket))
  const proxy = await startFaultProxy(server.endpoint)
  const directory = mkdtempSync(join(tmpdir(), 'backup-operator-restore-'))
  t.after(async () => {
    store.close()
    await proxy.stop()
    rmSync(directory, { recursive: true, force: true })
  })
  const common = {
    version: 1,
    owner: { clusterId: 'cluster-1', namespace: 'shop', policy: 'orders' },
    backend: { bucket, endpoint: proxy.endpoint },
    secretName: 'minio-creds',
    storeIdleSeconds: 5,
    restore: { uid: 'restore-uid-1', namespace: 'shop', name: 'back' },
    expiresAt: Date.now() + 3_600_000,
  } as const
  const got = join(directory, 'got')
  const committed = join(directory, 'committed')
  return {
    bucket,
    store,
    proxy,
    directory,
    /** Stores this backup; `run` at `slot` unless it says otherwise. */
    put: (artifacts: readonly StoredArtifact[], change: Partial<StoredBackup> = {}) =>
      storeBackup(store, layout, { run, slot, artifacts, ...change }),
    restoreTask: (change: RestoreChange = {}): MoverTaskInput => ({
      ...common,
      kind: 'restore',
      target: 'command',
      run,
      slot: slot.getTime(),
      startTimeoutSeconds: 20,
      stallTimeoutSeconds: 20,
      storeRetrySeconds: 5,
      ...change,
    }),
    resolveTask: (change: Partial<ResolveChange> = {}): MoverTaskInput => ({
      ...common,
      kind: 'resolve',
      target: 'command',
      pick: 'newest',
      ...change,
    }),
    /** A shell command with the folder of this stage as `$1`. */
    sh: (script: string) => ['/bin/sh', '-c', script, 'sh', directory],
    /** Reads all, and commits at the end of its input. */
    commits: ['/bin/sh', '-c', 'cat >"$1/got"; cp "$1/got" "$1/committed"', 'sh', directory],
    isCommitted: () => existsSync(committed),
    committed: () => readFileSync(committed),
    has: (file: string) => existsSync(join(directory, file)),
    read: (file: string) => readFileSync(join(directory, file)).toString(),
    path: (file: string) => join(directory, file),
    got: () => readFileSync(got),
  }
}

export type RestoreStage = Awaited<ReturnType<typeof restoreStage>>
