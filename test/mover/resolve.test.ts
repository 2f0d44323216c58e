// A restore looks its backup up once, in a folder that may be of another cluster, and pins it there.
import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { after, before, describe, test } from 'node:test'
import type { BackupRecord } from '../../src/api/record.ts'
import { deleteBackup } from '../../src/storage/bucket/catalog.ts'
import { pinKey } from '../../src/storage/bucket/layout.ts'
import type { ObjectStore } from '../../src/storage/object-store.ts'
import { s3ServerKinds, startS3Server, type S3Server } from '../storage/s3-servers.ts'
import { runPod } from './backup-pod.ts'
import { layout, restoreStage, secret, type RestoreStage } from './restore-stage.ts'

const hour = 3_600_000
const first = Date.UTC(2026, 10, 22, 2)
const dump = { name: 'dump', plain: Buffer.from('of a database') }

/** The backup of the n-th hour. */
function put(stage: RestoreStage, nth: number, change: Partial<BackupRecord> = {}, target = 'command') {
  const run = `run-${nth}${target === 'command' ? '' : `-${target}`}`
  return stage.put([dump], { run, slot: new Date(first + nth * hour), target, change })
}

async function resolve(stage: RestoreStage, change: Parameters<RestoreStage['resolveTask']>[0] = {}) {
  return (await runPod({ task: stage.resolveTask(change), secret, run: 'resolve-1' })).message
}

for (const kind of s3ServerKinds)
  describe(`a backup to restore from ${kind}`, () => {
    let server: S3Server
    before(async () => {
      server = await startS3Server(kind)
    })
    after(() => server?.stop())

    test('is the newest, or the newest at a time, or the one that is named, and is pinned', async t => {
      const stage = await restoreStage(t, server)
      const engine = { preset: 'postgres', serverVersion: '15.14', clientVersion: '15.14' }
      for (const nth of [0, 1, 2]) await put(stage, nth, nth === 2 ? { engine } : {})
      const newest = await resolve(stage)
      assert.deepEqual(
        newest.resolved,
        {
          run: 'run-2',
          target: 'command',
          slot: first + 2 * hour,
          storedBytes: newest.resolved?.storedBytes,
          artifacts: 1,
          bytes: dump.plain.length,
          preset: 'postgres',
          serverVersion: '15.14',
          pinned: true,
        },
        JSON.stringify(newest),
      )
      const pin = JSON.parse(String(await stage.store.get(pinKey(layout, 'restore-uid-1'), 10_000))) as object
      assert.deepEqual(Object.keys(pin), ['version', 'run', 'manifest', 'expiresAt', 'restore'])
      const at = await resolve(stage, { pick: { before: first + hour } })
      const before = await resolve(stage, { pick: { before: first + hour - 1 } })
      const named = await resolve(stage, { pick: { run: 'run-1' } })
      const alone = await resolve(stage, { pick: 'newest', target: undefined })
      assert.deepEqual(
        [at, before, named, alone].map(({ resolved }) => resolved?.run),
        ['run-1', 'run-0', 'run-1', 'run-2'],
      )
      // Nothing but the pin was written into a folder that nobody here owns.
      const { keys } = await server.contents(stage.bucket)
      assert.deepEqual(
        keys.filter(key => !key.startsWith(layout.manifests) && !key.startsWith(layout.data)),
        [pinKey(layout, 'restore-uid-1')],
      )
    })

    test('that nobody named is told with the others, the newest first, and with their targets', async t => {
      const stage = await restoreStage(t, server)
      for (let nth = 0; nth < 23; nth++) await put(stage, nth)
      const nothing = await resolve(stage, { pick: 'nothing' })
      assert.equal(nothing.reason, 'RunNotNamed')
      assert.match(nothing.message ?? '', /23 backups/)
      assert.equal(nothing.found?.length, 20)
      assert.deepEqual(nothing.found?.[0]?.run, 'run-22')
      await put(stage, 23, {}, 'shop-db')
      const two = await resolve(stage, { pick: 'newest', target: undefined })
      assert.equal(two.reason, 'RunNotNamed')
      assert.deepEqual(
        two.found?.slice(0, 2).map(({ run, target }) => [run, target]),
        [
          ['run-23-shop-db', 'shop-db'],
          ['run-22', 'command'],
        ],
      )
      const named = await resolve(stage, { pick: { run: 'run-23-shop-db' }, target: undefined })
      assert.equal(named.resolved?.target, 'shop-db')
    })
  })

describe('a backup to restore', () => {
  let server: S3Server
  before(async () => {
    server = await startS3Server('minio')
  })
  after(() => server?.stop())

  test('is not a newer one that is suspect, unreadable or not whole, and that is said', async t => {
    const stage = await restoreStage(t, server)
    await put(stage, 0)
    await put(stage, 1)
    await put(stage, 2, { suspect: true })
    const { record } = await put(stage, 3)
    const { key } = await put(stage, 4)
    await stage.store.delete(
      record.artifacts.flatMap(({ segments }) => segments.map(each => `${layout.root}${each.key}`)),
    )
    await stage.store.put(key, Buffer.from('{"version":3}'))
    const message = await resolve(stage)
    assert.equal(message.resolved?.run, 'run-1', JSON.stringify(message))
    const [warning] = message.warnings ?? []
    assert.equal(warning?.reason, 'NewerPassedOver')
    for (const run of ['run-2', 'run-3', 'run-4']) assert.ok(warning?.message.includes(run), warning?.message)
    const suspect = await resolve(stage, { pick: { run: 'run-2' } })
    assert.equal(suspect.resolved?.run, 'run-2')
    const lost = await resolve(stage, { pick: { run: 'run-3' } })
    const newer = await resolve(stage, { pick: { run: 'run-4' } })
    assert.deepEqual([lost.reason, newer.reason], ['DataLost', 'FormatUnsupported'])
  })

  test('is a suspect one where there is no other, and that is said', async t => {
    const stage = await restoreStage(t, server)
    await put(stage, 0, { suspect: true })
    const message = await resolve(stage)
    assert.equal(message.resolved?.run, 'run-0')
    assert.deepEqual(
      message.warnings?.map(({ reason }) => reason),
      ['Suspect'],
    )
  })

  test('is not one in an archive, which only somebody can bring back', async t => {
    const stage = await restoreStage(t, server)
    await put(stage, 0)
    await put(stage, 1)
    stage.proxy.fail('list', { kind: 'archived', objects: /\/run-1\// })
    assert.equal((await resolve(stage)).resolved?.run, 'run-0')
    assert.equal((await resolve(stage, { pick: { run: 'run-1' } })).reason, 'ObjectArchived')
  })

  test('that does not exist is said to be none, with what there is', async t => {
    const stage = await restoreStage(t, server)
    const none = await resolve(stage)
    await put(stage, 3)
    const early = await resolve(stage, { pick: { before: first } })
    const other = await resolve(stage, { pick: { run: 'run-9' } })
    assert.deepEqual([none.reason, early.reason, other.reason], ['BackupNotFound', 'BackupNotFound', 'BackupNotFound'])
    assert.match(early.message ?? '', /oldest is of 2026-11-22T05/)
  })

  test('is restored without a pin where nothing may be written', async t => {
    const stage = await restoreStage(t, server)
    await put(stage, 0)
    stage.proxy.fail('put', { kind: 'refuse', status: 403, code: 'AccessDenied' })
    const { resolved, phase } = await resolve(stage)
    assert.deepEqual([phase, resolved?.run, resolved?.pinned], ['done', 'run-0', false])
  })

  test('that is deleted at this moment is either kept because of the pin, or another one is chosen', async t => {
    const stage = await restoreStage(t, server)
    const { store, proxy } = stage
    await put(stage, 0)
    const { key, record } = await put(stage, 1)
    for (const instant of ['before the manifest goes', 'after it has gone'] as const) {
      let resolving: ReturnType<typeof resolve> | undefined
      const pruning: ObjectStore = {
        ...store,
        async delete(keys, signal) {
          if (instant === 'after it has gone') await store.delete(keys, signal)
          if (keys[0] === key) {
            const asked = proxy.requests.length
            resolving = resolve(stage)
            const hasPinned = () =>
              proxy.requests.slice(asked).some(each => each.startsWith('put ') && each.includes('/pins/'))
            while (!hasPinned()) await delay(20)
            await resolving
          }
          if (instant === 'before the manifest goes') await store.delete(keys, signal)
        },
      }
      const outcome = await deleteBackup(pruning, layout, { key, record }, Date.now())
      const chosen = (await resolving)?.resolved?.run
      const isThere = (await store.head(key)) !== undefined
      assert.ok(chosen === 'run-0' || (chosen === 'run-1' && isThere), `${instant}: ${chosen}, ${outcome}`)
      assert.equal(isThere, outcome === 'pinned')
      await stage.store.delete([pinKey(layout, 'restore-uid-1')])
      await put(stage, 1)
    }
  })
})
