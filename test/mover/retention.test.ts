// Retention where it deletes: the real mover against real S3 servers, with more to delete than one pass may, with what must stay
// although it is old, and with stores that do not tell the truth about it.
import assert from 'node:assert/strict'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { messageLimit } from '../../src/api/mover/message.ts'
import { runsDigest } from '../../src/api/mover/runs-digest.ts'
import { slotOfJobName } from '../../src/api/names.ts'
import { readCatalog } from '../../src/storage/bucket/catalog.ts'
import { holdKey, layoutOf, manifestKey, segmentKey } from '../../src/storage/bucket/layout.ts'
import type { ObjectStore } from '../../src/storage/object-store.ts'
import { openS3 } from '../../src/storage/s3/s3.ts'
import { jobOf, runPod, startPod, taskFor, type BackupTaskInput, type PodOptions } from './backup-pod.ts'
import { putBackup, putData } from '../storage/made-up-backup.ts'
import { startFaultProxy, type FaultProxy } from '../storage/s3-fault-proxy.ts'
import { s3ServerKinds, settingsOf, startS3Server, type S3Server } from '../storage/s3-servers.ts'

const secret = { 'root-user': 'minioadmin', 'root-password': 'minioadmin' }
const layout = layoutOf({ namespace: 'shop', policy: 'orders' })
/** The attempt of every backup that no mover made. */
const madeUp = 'attempt'
const hourMs = 3_600_000
const dayMs = 24 * hourMs
const manifests = /\/manifests\//

for (const kind of s3ServerKinds) {
  describe(`retention in ${kind}`, { timeout: 600_000 }, () => {
    let server: S3Server
    let proxy: FaultProxy
    before(async () => {
      server = await startS3Server(kind)
    })
    after(() => server?.stop())

    /** A bucket that has been this policy's for long, with a proxy before it. */
    async function setUp(t: { after: (work: () => unknown) => void }) {
      const bucket = await server.makeBucket()
      const store = openS3(settingsOf(server, bucket))
      proxy = await startFaultProxy(server.endpoint)
      t.after(async () => {
        store.close()
        await proxy.stop()
      })
      await putMark(store)
      const through = { backend: { bucket, endpoint: proxy.endpoint }, storeRetrySeconds: 1 }
      const runs = async () => (await readCatalog(store, layout, 'command')).map(({ run }) => run)
      return { bucket, store, through, runs, task: taskFor(server, bucket, { retention: 1 }) }
    }

    test('a retention that was lowered deletes the 20 oldest backups in one pass, and the rest in the next (F41)', async t => {
      const { bucket, store, task } = await setUp(t)
      const earlier = Array.from({ length: 25 }, (_, slot) => jobOf(slot))
      await Promise.all(earlier.map(run => put(store, run)))

      const first = await backUp(task, jobOf(25))
      const left = earlier.slice(20)
      assert.equal(first.message.deleted?.length, 20)
      assert.deepEqual(first.message.deleted, earlier.slice(0, 20))
      assert.deepEqual(first.message.kept, {
        count: 6,
        newest: jobOf(25),
        oldest: jobOf(20),
        digest: runsDigest([...left, jobOf(25)]),
      })
      assert.ok(first.messageBytes <= messageLimit, `${first.messageBytes} bytes`)
      assert.deepEqual(await server.contents(bucket), {
        keys: [layout.owner, ...left.flatMap(run => keysOf(run)), ...keysOf(jobOf(25), first.attempt)].sort(),
        uploads: [],
      })

      const second = await backUp(task, jobOf(26))
      assert.deepEqual(second.message.deleted, [...left, jobOf(25)])
      assert.equal(second.message.kept?.count, 1)
      assert.deepEqual(await server.contents(bucket), {
        keys: [layout.owner, ...keysOf(jobOf(26), second.attempt)].sort(),
        uploads: [],
      })
    })

    test('F57: a ruin that was made while the store listed nothing does not count, and the next one is compared with the real backup', async t => {
      const { store, task, through, runs } = await setUp(t)
      await run({ task, command: ['seq', '1', '100000'], run: jobOf(0) })
      proxy.fail('list', { kind: 'refuse', status: 503, code: 'SlowDown' })
      const blind = await run({ task: { ...task, ...through }, command: ['echo', 'ruin'], run: jobOf(1) })
      assert.deepEqual([blind.suspect, blind.sizeCheck], [false, 'unchecked'])
      assert.ok(blind.warnings?.some(({ message }) => message.includes('sizes are not compared')))
      const next = await run({ task, command: ['echo', 'ruin'], run: jobOf(2) })
      assert.deepEqual([next.suspect, next.sizeCheck, next.deleted], [true, 'compared', []])
      // Neither ruin is one of the two that retention keeps.
      const mended = await run({ task: { ...task, retention: 2 }, command: ['seq', '1', '100000'], run: jobOf(3) })
      assert.deepEqual(mended.deleted, [])
      assert.deepEqual(await runs(), [jobOf(0), jobOf(1), jobOf(2), jobOf(3)])
      const [, second] = await readCatalog(store, layout, 'command')
      assert.equal(second?.record?.sizeCheck, 'unchecked')
    })

    test('F57: where nothing may be listed, the first run is unchecked, and the hint of the operator finds a ruin', async t => {
      const { task, through } = await setUp(t)
      proxy.fail('list', { kind: 'refuse', status: 403, code: 'AccessDenied' })
      const blind = { ...task, ...through }
      assert.equal((await run({ task: blind, command: ['echo', 'x'], run: jobOf(0) })).sizeCheck, 'unchecked')
      const hinted = await run({ task: { ...blind, sizeHint: 1 << 20 }, command: ['echo', 'x'], run: jobOf(1) })
      assert.deepEqual([hinted.suspect, hinted.sizeCheck], [true, 'compared'])
      assert.ok(hinted.warnings?.some(({ reason }) => reason === 'RetentionBlocked'))
    })

    test('F57: an empty list checks the first run', async t => {
      const { task } = await setUp(t)
      assert.equal((await run({ task, command: ['echo', 'x'], run: jobOf(0) })).sizeCheck, 'compared')
    })

    test('F59: a 404 for the manifest of a good backup costs none of its data', async t => {
      const { store, task, through, bucket } = await setUp(t)
      const good = await put(store, jobOf(0))
      const expiresAt = Date.now() + hourMs
      const lost = await putData(store, layout, { run: jobOf(0), slot: slotOf(jobOf(0)), attempt: 'loser', expiresAt })
      proxy.fail('get', { kind: 'refuse', status: 404, code: 'NoSuchKey' }, { key: new RegExp(jobOf(0)) })
      const nineDays = { laterMs: 9 * dayMs }
      await run({ task: { ...task, ...through, retention: 3 }, command: ['seq', '9'], run: jobOf(1), ...nineDays })
      const { keys } = await server.contents(bucket)
      for (const key of [good.key, ...good.data]) assert.ok(keys.includes(key), key)
      // With the truth the sweep knows which attempt lost.
      await run({ task: { ...task, retention: 3 }, command: ['seq', '9'], run: jobOf(2), ...nineDays })
      const later = await server.contents(bucket)
      assert.deepEqual(
        [good.key, ...good.data, ...lost].map(key => later.keys.includes(key)),
        [true, true, false],
      )
    })

    test('F60: while data of a backup to be kept are lost, nothing is pruned, and it is said', async t => {
      const { store, task, runs } = await setUp(t)
      for (const slot of [0, 1, 2]) await put(store, jobOf(slot))
      await store.delete([keysOf(jobOf(2))[1]])
      const stopped = await run({ task: { ...task, retention: 2 }, command: ['seq', '9'], run: jobOf(3) })
      assert.deepEqual(stopped.deleted, [])
      const told = stopped.warnings?.find(({ reason }) => reason === 'RetentionPaused')?.message
      assert.match(told ?? '', new RegExp(`of ${jobOf(2)}, its data are not all in the store`))
      const later = await run({ task: { ...task, retention: 2 }, command: ['seq', '9'], run: jobOf(4) })
      assert.deepEqual(later.deleted, [jobOf(0), jobOf(1), jobOf(2)])
      assert.deepEqual(await runs(), [jobOf(3), jobOf(4)])
    })

    test('F60: backups in an archive count and go, but the newest that can be read at once stays, and all that is newer', async t => {
      const { store, task, through, runs } = await setUp(t)
      for (const slot of [0, 1, 2]) await put(store, jobOf(slot))
      // Also what a run has just written, as where a rule of the bucket takes all at once.
      const objects = new RegExp(`/data/(?!.*${jobOf(1)})`)
      for (const verb of ['list', 'head'] as const) proxy.fail(verb, { kind: 'archived', objects })
      proxy.fail('get', { kind: 'refuse', status: 403, code: 'InvalidObjectState' }, { key: objects })
      const cold = await run({ task: { ...task, ...through }, command: ['seq', '1', '1000'], run: jobOf(3) })
      assert.deepEqual([cold.deleted, cold.suspect, cold.sizeCheck], [[jobOf(0)], false, 'compared'])
      assert.deepEqual(await runs(), [jobOf(1), jobOf(2), jobOf(3)])
      const restored = await run({ task, command: ['seq', '1', '1000'], run: jobOf(4) })
      assert.deepEqual(restored.deleted, [jobOf(1), jobOf(2), jobOf(3)])
      assert.deepEqual(await runs(), [jobOf(4)])
    })

    test('F65: one backup that cannot be deleted stands in the way of no other', async t => {
      const { store, task, through, runs } = await setUp(t)
      for (const slot of [0, 1, 2]) await put(store, jobOf(slot))
      proxy.fail('delete', { kind: 'refuse', status: 403, code: 'AccessDenied' }, { key: new RegExp(jobOf(0)) })
      const { message } = await backUp({ ...task, ...through }, jobOf(3), ['RetentionBlocked'])
      assert.deepEqual(message.deleted, [jobOf(1), jobOf(2)])
      assert.match(message.warnings?.[0]?.message ?? '', new RegExp(jobOf(0)))
      assert.deepEqual([await runs(), message.kept?.count], [[jobOf(0), jobOf(3)], 2])
    })

    test('F63: a hold that was set in the bucket during a run keeps its backup, and the catalog tells it, until it is released', async t => {
      const { store, task, runs, bucket } = await setUp(t)
      await put(store, jobOf(0))
      const storeTask = { version: 1 as const, owner: task.owner, backend: task.backend, secretName: 'minio-creds' }
      const hold = (slot: number, held: boolean, told: 'its slot' | 'its run alone' = 'its slot') =>
        runPod({
          task: {
            ...storeTask,
            kind: 'hold',
            target: 'command',
            run: jobOf(slot),
            ...(told === 'its slot' ? { slot: slotOf(jobOf(slot)).getTime() } : {}),
            held,
          },
          secret,
          run: 'hold-1',
        })
      const held = await hold(0, true)
      assert.deepEqual([held.code, held.message.phase, held.message.hold], [0, 'done', { run: jobOf(0), held: true }])

      // Its task knows nothing of it.
      const kept = await backUp(task, jobOf(1))
      assert.deepEqual([kept.message.deleted, await runs()], [[], [jobOf(0), jobOf(1)]])
      const catalog = await runPod({
        task: { ...storeTask, kind: 'catalog', target: 'command' },
        secret,
        run: 'catalog-1',
      })
      assert.deepEqual(
        catalog.message.catalog?.entries.map(entry => [entry.run, entry.held]),
        [
          [jobOf(0), true],
          [jobOf(1), undefined],
        ],
      )

      const released = await hold(0, false)
      assert.deepEqual(released.message.hold, { run: jobOf(0), held: false })
      assert.deepEqual((await backUp(task, jobOf(2))).message.deleted, [jobOf(0), jobOf(1)])

      const found = await hold(2, true, 'its run alone')
      assert.deepEqual(found.message.hold, { run: jobOf(2), held: true })
      for (const told of ['its slot', 'its run alone'] as const) {
        const late = await hold(0, true, told)
        assert.deepEqual([late.code, late.message.reason], [25, 'BackupNotFound'])
      }
      assert.ok(!(await server.contents(bucket)).keys.includes(holdKey(layout, jobOf(0))))
    })

    test('F43: backups of another cluster in the folder are compared with nothing, stay, and are no entries of the catalog', async t => {
      const { store, task, runs } = await setUp(t)
      const owner = { ...task.owner, clusterId: 'cluster-2' }
      await put(store, jobOf(0))
      const [artifact] = (await put(store, jobOf(1))).record.artifacts
      assert.ok(artifact)
      await put(store, jobOf(1), { owner, artifacts: [{ ...artifact, bytes: 1 << 30 }] })
      const made = await backUp(task, jobOf(2), ['ForeignBackups'])
      assert.deepEqual([made.message.deleted, made.message.suspect, made.message.kept?.count], [[jobOf(0)], false, 1])
      assert.deepEqual(await runs(), [jobOf(1), jobOf(2)])
      const storeTask = { version: 1 as const, owner: task.owner, backend: task.backend, secretName: 'minio-creds' }
      const { message } = await runPod({
        task: { ...storeTask, kind: 'catalog', target: 'command' },
        secret,
        run: 'catalog-1',
      })
      assert.deepEqual(
        [message.catalog?.entries.map(entry => entry.run), message.warnings?.map(({ reason }) => reason)],
        [[jobOf(2)], ['ForeignBackups']],
      )
    })

    test('F59: the catalog tells of a manifest whose data nobody finds that it proves no backup, also where they may not be listed', async t => {
      const { store, task, through } = await setUp(t)
      for (const slot of [0, 1, 2]) await put(store, jobOf(slot))
      await store.delete([keysOf(jobOf(1))[1]])
      const read = async (run: string) => {
        const backend = { ...task.backend, ...through.backend }
        const of = { version: 1 as const, owner: task.owner, backend, secretName: 'minio-creds', target: 'command' }
        const { message } = await runPod({ task: { ...of, kind: 'catalog' }, secret, run })
        return message.catalog?.entries.map(({ run: each, unproven }) => [each, unproven])
      }
      const truth = [
        [jobOf(0), undefined],
        [jobOf(1), true],
        [jobOf(2), undefined],
      ]
      assert.deepEqual(await read('catalog-1'), truth)
      proxy.fail('list', { kind: 'refuse', status: 403, code: 'AccessDenied' }, { key: /\/data\//, times: 1 })
      assert.deepEqual(await read('catalog-2'), truth)
      proxy.fail('list', { kind: 'refuse', status: 503, code: 'SlowDown' }, { key: /\/data\// })
      assert.equal(await read('catalog-3'), undefined, 'the page is asked for again')
    })

    test('F63: a hold of which the store does not tell protects', async t => {
      const { store, task, through, runs } = await setUp(t)
      await put(store, jobOf(0))
      proxy.fail('get', { kind: 'refuse', status: 403, code: 'AccessDenied' }, { key: /\/holds\// })
      await backUp({ ...task, ...through }, jobOf(1), ['RetentionBlocked'])
      assert.deepEqual(await runs(), [jobOf(0), jobOf(1)])
    })

    test('F64: a lowered retention waits an hour, and a policy that has just come to a folder waits for its second backup', async t => {
      const { store, task, runs } = await setUp(t)
      for (const slot of [0, 1, 2]) await put(store, jobOf(slot))
      const since = (hours: number) => ({ retentionChanged: { previous: 70, since: Date.now() - hours * hourMs } })
      assert.deepEqual((await backUp({ ...task, ...since(0.9) }, jobOf(3))).message.deleted, [])
      assert.equal((await runs()).length, 4)

      const heir = { ...task, owner: { ...task.owner, policyUid: 'uid-2' } }
      const first = await backUp(heir, jobOf(4), ['RetentionPaused'])
      assert.match(first.message.warnings?.[0]?.message ?? '', /nothing is pruned before its second backup/)
      assert.equal((await runs()).length, 5)
      const second = await backUp(heir, jobOf(5))
      assert.deepEqual(second.message.deleted, [0, 1, 2, 3, 4].map(jobOf))
    })

    test('F64: of what only the number before had kept, the first pass of an hour deletes, and the next one of that hour does not', async t => {
      const { store, task } = await setUp(t)
      // The mover's clock is half past something, whenever the test runs.
      const clockAheadMs = 1.5 * hourMs - (Date.now() % hourMs)
      const finishedAt = new Date(Date.now() + clockAheadMs).toISOString()
      for (const slot of [0, 1]) await put(store, jobOf(slot), { finishedAt })
      const lowered = { ...task, retentionChanged: { previous: 70, since: Date.now() - 2 * hourMs } }
      const pass = (slot: number, ahead: number) =>
        run({ task: lowered, command: ['seq', '1', '1000'], run: jobOf(slot), clockAheadMs: ahead })
      assert.deepEqual((await pass(2, clockAheadMs)).deleted, [])
      assert.deepEqual((await pass(3, clockAheadMs + hourMs)).deleted, [0, 1, 2].map(jobOf))
    })

    test('F66: seven runs on demand push none of the scheduled ones out', async t => {
      const { store, task, runs } = await setUp(t)
      for (const slot of [0, 1]) await put(store, jobOf(slot))
      const asked = (index: number) => `backup-orders-k3v9x2m0q${index}`
      for (const index of [0, 1, 2, 3, 4, 5, 6])
        await put(store, asked(index), {}, new Date(slotOf(jobOf(1)).getTime() + (index + 1) * 1000))
      const { cronJob: _, ...base } = task
      const onDemand = { ...base, retention: 2, slot: slotOf(jobOf(2)).getTime() }
      const last = await backUp(onDemand, asked(7))
      assert.deepEqual(last.message.deleted, [0, 1, 2, 3, 4, 5].map(asked))
      assert.deepEqual(await runs(), [jobOf(0), jobOf(1), asked(6), asked(7)])
      const [, , , made] = await readCatalog(store, layout, 'command')
      assert.equal(made?.record?.trigger, 'on-demand')
      const fewer = await backUp({ ...task, retention: 2, onDemandRetention: 1 }, jobOf(3))
      assert.deepEqual(fewer.message.deleted, [jobOf(0), asked(6)])
    })

    test('F87: what is kept is told although one manifest cannot be read, and that it cannot', async t => {
      const { store, task, through, runs } = await setUp(t)
      for (const slot of [0, 1]) await put(store, jobOf(slot))
      proxy.fail(
        'get',
        { kind: 'refuse', status: 403, code: 'InvalidObjectState' },
        { key: new RegExp(`manifests.*${jobOf(0)}`) },
      )
      const { message } = await backUp({ ...task, ...through }, jobOf(2), ['ManifestUnreadable'])
      assert.equal(message.kept?.count, 2)
      assert.deepEqual(message.deleted, [jobOf(1)])
      assert.deepEqual(await runs(), [jobOf(0), jobOf(2)])
    })

    test('F87: a list that is refused is told, and what is left over is swept all the same', async t => {
      const { store, task, through, bucket } = await setUp(t)
      const expiresAt = Date.now() + hourMs
      const lost = await putData(store, layout, { run: jobOf(0), slot: slotOf(jobOf(0)), expiresAt })
      proxy.fail('list', { kind: 'refuse', status: 403, code: 'AccessDenied' }, { key: /\/manifests\/command/ })
      const options = { run: jobOf(1), laterMs: 9 * dayMs }
      const message = await run({ task: { ...task, ...through }, command: ['seq', '9'], ...options })
      assert.deepEqual(
        message.warnings?.map(({ reason }) => reason),
        ['RetentionBlocked'],
      )
      const { keys } = await server.contents(bucket)
      assert.deepEqual(
        lost.filter(key => keys.includes(key)),
        [],
      )
      assert.ok(keys.some(key => manifests.test(key)))
    })
  })
}

function slotOf(run: string): Date {
  return slotOfJobName(run, 'backup-orders') ?? assert.fail(`${run} has no slot`)
}

/** Manifest and data of a backup. */
function keysOf(run: string, attempt = madeUp): readonly [string, string] {
  return [manifestKey(layout, 'command', slotOf(run), run), segmentKey(layout, { run, attempt }, 'dump', 0)]
}

/** The mark of a policy that has had the folder for long. */
async function putMark(store: ObjectStore): Promise<void> {
  const owner = { clusterId: 'cluster-1', namespace: 'shop', policy: 'orders', policyUid: 'uid-1' }
  const mark = { version: 1, ...owner, adoptedAt: new Date(0).toISOString() }
  await store.put(layout.owner, Buffer.from(JSON.stringify(mark)))
}

async function put(store: ObjectStore, run: string, change = {}, slot = slotOf(run)) {
  return putBackup(store, layout, { run, slot, attempt: madeUp, change })
}

/** A run that commits, whatever it warns of. */
async function run(options: Omit<PodOptions, 'secret'>) {
  const { code, message } = await runPod({ ...options, secret })
  assert.deepEqual([code, message.phase], [0, 'committed'], JSON.stringify(message))
  return message
}

/** One good run with these warnings, and how long its termination message is. */
async function backUp(task: BackupTaskInput, run: string, warnings: readonly string[] = []) {
  const pod = await startPod({ task, secret, command: ['seq', '1', '1000'], run })
  await pod.mover.ended
  const messageBytes = statSync(join(pod.directory, 'termination-log')).size
  const result = await pod.result()
  const told = (result.message.warnings ?? []).map(({ reason }) => reason)
  assert.deepEqual(
    [result.code, result.message.phase, told],
    [0, 'committed', warnings],
    JSON.stringify(result.message),
  )
  return { ...result, messageBytes }
}
