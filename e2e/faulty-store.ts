// Backups into a store on its bad days (F09–F12): a proxy in front of MinIO is slow, flaky, lying or full for the runs of one
// policy each. What survives it is a whole backup, what does not is Failed with its reason; nothing in between, and nothing left.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import type { TestContext } from 'node:test'
import { zstdDecompressSync } from 'node:zlib'
import { kubectl } from '../dev/cluster-access.ts'
import type { BackupStatus } from '../src/api/kinds/backup.ts'
import { parseBackupRecord } from '../src/api/record.ts'
import { listed } from '../test/runner/long-list.ts'
import type { Fault, S3Verb } from '../test/storage/s3-fault-proxy.ts'
import { cluster, waitFor } from './cluster.ts'
import { type Manifest, put } from './objects.ts'
import { program } from './program.ts'
import { backend, jobPolicy, run, shell, store as minio } from './stack.ts'
import { openUploads, type ForeignStore } from './store.ts'

/** A switch of the proxy as it is handed to its program. Without `times`: for ever. */
export type PlannedFault = {
  readonly verb: S3Verb
  readonly fault: Fault
  /** Source of a regular expression. */
  readonly key: string
  readonly times?: number
}

type Story = {
  readonly name: string
  readonly what: string
  readonly faults: readonly Omit<PlannedFault, 'key'>[]
  /** Undefined: the backup is made all the same. */
  readonly reason?: string
  readonly message?: RegExp
  /** How often these are asked for in all; at least so often, where a minimum is all that is certain. */
  readonly requests: Partial<Record<S3Verb, number | { readonly atLeast: number }>>
  readonly spec?: Readonly<Record<string, unknown>>
}

/** Two parts that do not compress. */
const bytes = 9_000_000
const parts = 2

/** Those marked `long` are told without a cluster too: test/mover/store-faults.test.ts. */
const stories = listed<Story>([
  {
    name: 'lying',
    long: true,
    what: 'a store that answers 200 with an error in it for as long as the run may take',
    faults: [{ verb: 'completeUpload', fault: { kind: 'error-in-200', code: 'InternalError' } }],
    // A part is tried again for longer than a test can wait.
    spec: { backoffLimit: 0, activeDeadlineSeconds: 100 },
    reason: 'DeadlineExceeded',
    requests: { uploadPart: parts, completeUpload: { atLeast: 3 } },
  },
  {
    name: 'slow',
    long: true,
    what: 'a store that takes three seconds for each part',
    faults: [{ verb: 'uploadPart', fault: { kind: 'slow', ms: 3000 } }],
    requests: { uploadPart: parts, completeUpload: 1 },
  },
  {
    name: 'flaky',
    what: 'a store that is busy, resets connections, answers 200 with an error in it, and loses its last reply',
    faults: [
      { verb: 'uploadPart', fault: { kind: 'refuse', status: 503, code: 'SlowDown' }, times: 2 },
      { verb: 'uploadPart', fault: { kind: 'reset' }, times: 2 },
      { verb: 'completeUpload', fault: { kind: 'error-in-200', code: 'InternalError' }, times: 1 },
      { verb: 'completeUpload', fault: { kind: 'lose-reply' }, times: 1 },
    ],
    requests: { uploadPart: parts + 4, completeUpload: 2 },
  },
  {
    name: 'full',
    long: true,
    what: 'a store that becomes full',
    faults: [{ verb: 'uploadPart', fault: { kind: 'refuse', status: 507, code: 'XMinioStorageFull' } }],
    spec: { backoffLimit: 0 },
    reason: 'StoreFull',
    message: /XMinioStorageFull/,
    requests: { completeUpload: 0 },
  },
])

const name = 'faulty-store'
const port = 9000

/** The proxy, which the stories wait for. */
export function faultyStore(namespace: string): readonly Manifest[] {
  const planned = stories.flatMap(story =>
    story.faults.map(fault => ({ ...fault, key: dataOf(namespace, story.name) }) satisfies PlannedFault),
  )
  const args = [minio.endpoint, String(port), JSON.stringify(planned)]
  return program(namespace, name, { file: 'e2e/faulty-store-program.ts', args, port })
}

/** Keys of a policy's data, but not of what its probe writes. */
function dataOf(namespace: string, policy: string): string {
  return `^${namespace}/${policy}/data/.*/dump\\.zst`
}

/** A test for each story, beside the others of `t`. */
export function faultyStoreStories(t: TestContext, namespace: string, store: ForeignStore): readonly Promise<void>[] {
  const faulty = { ...backend, endpoint: `http://${name}.${namespace}.svc:${port}` }

  return stories.map(({ name: policy, what, reason, message, requests, spec }) =>
    t.test(`${what}: ${reason ?? 'Completed all the same'}`, async () => {
      await waitFor(namespace, `pod/${name}`, 'condition=Ready')
      const command = shell(`head -c ${bytes} /dev/urandom`)
      await put(jobPolicy(namespace, policy, command, { backend: faulty, ...spec }))
      const status = await run(namespace, policy, policy, 200)
      assert.deepEqual(
        [status.phase, status.reason],
        reason ? ['Failed', reason] : ['Completed', 'Completed'],
        status.message ?? '',
      )
      if (message) assert.match(status.message ?? '', message)
      await assertAsked(policy, requests)
      assert.deepEqual(await openUploads(status.run ?? ''), [])
      if (reason) await assertNothingIsThere(policy)
      else await assertWhole(policy, status)
    }),
  )

  async function assertAsked(policy: string, wanted: Story['requests']) {
    const log = (await kubectl(cluster, ['-n', namespace, 'logs', name, '--tail=-1'])).split('\n')
    for (const [verb, times] of Object.entries(wanted)) {
      const asked = log.filter(line => new RegExp(`^${verb} ${dataOf(namespace, policy).slice(1)}`).test(line)).length
      if (typeof times === 'number') assert.equal(asked, times, `${verb} was asked for ${asked} times`)
      else assert.ok(asked >= times.atLeast, `${verb} was asked for only ${asked} times`)
    }
  }

  async function assertNothingIsThere(policy: string) {
    const folder = `${namespace}/${policy}/`
    assert.deepEqual(await store.keys(folder), [`${folder}owner.json`])
  }

  async function assertWhole(policy: string, { manifest = '', bytes: told }: BackupStatus) {
    const folder = `${namespace}/${policy}/`
    const [artifact, ...others] = parseBackupRecord((await store.get(manifest)).toString()).artifacts
    assert.ok(artifact && others.length === 0)
    const keys = artifact.segments.map(({ key }) => `${folder}${key}`)
    assert.deepEqual(await store.keys(folder), [...keys, manifest, `${folder}owner.json`].toSorted())
    const stored = Buffer.concat(await Promise.all(keys.map(key => store.get(key))))
    const data = zstdDecompressSync(stored)
    const digest = createHash('sha256').update(data).digest('hex')
    assert.deepEqual([told, data.length, digest], [bytes, bytes, artifact.sha256])
  }
}
