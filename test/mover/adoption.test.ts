// A cluster is lost, another one takes its folder over, and movers of the lost one are not as dead as was thought: two clusters on one
// bucket, with the real mover. What was backed up stays whole whatever the order.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { after, before, describe, test } from 'node:test'
import { zstdDecompressSync } from 'node:zlib'
import { moverReasons } from '../../src/api/mover/reasons.ts'
import { runsDigest } from '../../src/api/mover/runs-digest.ts'
import { readCatalog } from '../../src/storage/bucket/catalog.ts'
import { layoutOf } from '../../src/storage/bucket/layout.ts'
import { openS3 } from '../../src/storage/s3/s3.ts'
import { startFaultProxy } from '../storage/s3-fault-proxy.ts'
import { s3ServerKinds, settingsOf, startS3Server, type S3Server } from '../storage/s3-servers.ts'
import { jobOf, runPod, startPod, taskFor, type BackupTaskInput, type PodResult } from './backup-pod.ts'

const secret = { accessKey: 'minioadmin', secretKey: 'minioadmin' }
const layout = layoutOf({ namespace: 'shop', policy: 'orders' })
const rebuilt = { clusterId: 'cluster-2', namespace: 'shop', policy: 'orders', policyUid: 'uid-2' }
const adopt = 'cluster-1'
const refusal = moverReasons.PrefixOwnedByOther

for (const kind of s3ServerKinds)
  describe(`a folder that is adopted in ${kind}`, { timeout: 600_000 }, () => {
    let server: S3Server
    before(async () => {
      server = await startS3Server(kind)
    })
    after(() => server?.stop())

    /** A bucket in which the cluster that will be lost has made these runs. */
    async function setUp(t: { after: (work: () => unknown) => void }, slots: readonly number[]) {
      const bucket = await server.makeBucket()
      const store = openS3(settingsOf(server, bucket))
      t.after(() => store.close())
      const backUp = (slot: number, change: Partial<BackupTaskInput> = {}) =>
        runPod({
          task: taskFor(server, bucket, change),
          secret,
          command: ['seq', '1', String(1000 + slot)],
          run: jobOf(slot),
        })
      for (const slot of slots) assert.equal((await backUp(slot)).message.phase, 'committed')
      const take = (word: { readonly adopt?: string }) => {
        const { backend, secretName } = taskFor(server, bucket)
        const task = { version: 1, kind: 'probe', owner: rebuilt, backend, secretName, ...word } as const
        return runPod({ task, secret, run: 'probe-1' })
      }
      /** What the run of each slot wrote is there, byte for byte, and of no other. */
      const assertWhole = async (whole: readonly number[]) => {
        const runs = await readCatalog(store, layout, 'command')
        assert.deepEqual(runs.map(({ run }) => run).toSorted(), whole.map(jobOf).toSorted())
        for (const slot of whole) {
          const { record } = runs.find(({ run }) => run === jobOf(slot)) ?? {}
          const { segments = [] } = record?.artifacts[0] ?? {}
          const bodies = []
          for (const { key } of segments) bodies.push(await buffer(await store.read(`${layout.root}${key}`)))
          const lines = zstdDecompressSync(Buffer.concat(bodies)).toString().trim().split('\n')
          assert.deepEqual([lines.length, lines.at(-1)], [1000 + slot, String(1000 + slot)])
        }
      }
      return { bucket, store, backUp, take, assertWhole }
    }

    function assertRefused({ code, message }: PodResult, owner: string) {
      assert.deepEqual([code, message.phase, message.reason], [refusal, 'failed', 'PrefixOwnedByOther'])
      assert.match(message.message ?? '', new RegExp(`policy shop/orders of cluster ${owner}\\b.*backend\\.adopt`, 's'))
    }

    test('is refused until its cluster is named, then tells what it has, and nothing is pruned in the first pass', async t => {
      const { backUp, take, assertWhole } = await setUp(t, [0, 1, 2])
      assertRefused(await take({}), adopt)
      assertRefused(await take({ adopt: 'some-other' }), adopt)
      assertRefused(await backUp(3, { owner: rebuilt }), adopt)
      await assertWhole([0, 1, 2])

      const { message } = await take({ adopt })
      const digest = runsDigest([0, 1, 2].map(jobOf))
      assert.deepEqual([message.phase, message.folder], ['done', [{ target: 'command', count: 3, digest }]])

      // The first run there may have a smaller number by mistake.
      const change = { owner: rebuilt, adopt, retention: 1 }
      const first = (await backUp(3, change)).message
      assert.deepEqual([first.phase, first.kept?.count, first.deleted ?? []], ['committed', 4, []])
      assert.ok(first.warnings?.some(({ reason }) => reason === 'RetentionPaused'))
      await assertWhole([0, 1, 2, 3])
      const second = (await backUp(4, change)).message
      assert.deepEqual([second.phase, second.deleted], ['committed', [0, 1, 2, 3].map(jobOf)])
      await assertWhole([4])
    })

    test('is refused to a run of the lost cluster that starts later', async t => {
      const { backUp, take, assertWhole } = await setUp(t, [0, 1])
      await take({ adopt })
      assertRefused(await backUp(2), rebuilt.clusterId)
      await assertWhole([0, 1])
    })

    test('is refused to a run of the lost cluster that has not written its manifest', async t => {
      const { bucket, take, assertWhole } = await setUp(t, [0, 1])
      const command = ['sh', '-c', 'seq 1 1002; until [ -e go ]; do sleep 0.05; done']
      const late = await startPod({ task: taskFor(server, bucket, { retention: 1 }), secret, command, run: jobOf(2) })
      await late.reached(({ phase }) => phase === 'receiving')
      await take({ adopt })
      await writeFile(join(late.directory, 'go'), '')
      assertRefused(await late.result(), rebuilt.clusterId)
      await assertWhole([0, 1])
    })

    test('loses nothing to a run of the lost cluster that was about to prune', async t => {
      const { bucket, take, assertWhole } = await setUp(t, [0, 1, 2])
      const proxy = await startFaultProxy(server.endpoint)
      t.after(() => proxy.stop())
      // The mark was looked at, and then the folder changes hands: of that manifest an instant is left.
      proxy.fail('put', { kind: 'meanwhile', act: async () => void (await take({ adopt })) }, { key: /\/manifests\// })
      const backend = { bucket, endpoint: proxy.endpoint }
      const task = taskFor(server, bucket, { backend, retention: 1 })
      const { message } = await runPod({ task, secret, command: ['seq', '1', '1003'], run: jobOf(3) })
      assert.deepEqual([message.phase, message.deleted ?? []], ['committed', []], JSON.stringify(message))
      const [warning] = message.warnings ?? []
      assert.equal(warning?.reason, 'RetentionIncomplete')
      assert.match(warning.message, /cannot prune: shop\/orders\/ belongs to policy shop\/orders of cluster cluster-2/)
      await assertWhole([0, 1, 2, 3])
    })
  })
