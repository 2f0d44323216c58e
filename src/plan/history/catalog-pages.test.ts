import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { only, planCatalog, planPolicy } from '../../../test/plan/planned.ts'
import {
  at,
  complete,
  completed,
  job,
  jobOfSlot,
  pod,
  policy,
  saying,
  scheduled,
  world,
} from '../../../test/plan/world.ts'
import type { Job, Pod } from '../../api/kubernetes.ts'
import { annotation } from '../../api/labels.ts'
import type { CatalogEntry } from '../../api/mover/message.ts'
import { runsDigest } from '../../api/mover/runs-digest.ts'
import { catalogJobName } from '../../api/names.ts'
import { storeLocation } from '../../resources/desired-state.ts'

const backend = policy().spec.backend
assert.ok(backend)
const store = storeLocation(backend)
const now = at('12:00')
const last = at('03:00')
const run = jobOfSlot(last).metadata.name

type Objects = { readonly job: Job; readonly pod: Pod }

/** The run that tells of a bucket which our objects do not agree with. */
function teller(): Objects {
  const of = jobOfSlot(last, {
    metadata: { annotations: { [annotation.store]: store, [annotation.cronJobSlot]: '2026-01-05T03:00:00Z' } },
    status: complete(last, at('03:10')),
  })
  const kept = { count: 9, digest: runsDigest(['others']) }
  const message = { phase: 'committed', run, finishedAt: at('03:10').getTime(), kept } as const
  return { job: of, pod: pod(of, 1, { status: { phase: 'Succeeded', containerStatuses: [saying(message)] } }) }
}

function page(cursor: string, catalog: unknown): Objects {
  const of = job(catalogJobName('nightly', run, cursor), 'catalog', { status: complete(at('11:55'), at('11:56')) })
  const message = { phase: 'done', catalog } as Parameters<typeof saying>[0]
  return { job: of, pod: pod(of, 1, { status: { phase: 'Succeeded', containerStatuses: [saying(message)] } }) }
}

const known = scheduled(last, { status: completed(run, at('03:10'), { store }) })

function seen(pages: readonly Objects[], status: Parameters<typeof policy>[1] = {}) {
  const all = [teller(), ...pages]
  return world(policy({}, status), {
    backups: [known],
    jobs: all.map(each => each.job),
    pods: all.map(each => each.pod),
  })
}

const entry = (name: string, more: Partial<CatalogEntry> = {}): CatalogEntry => ({
  run: name,
  slot: at('01:00').getTime(),
  startedAt: at('01:00').getTime(),
  finishedAt: at('01:10').getTime(),
  bytes: 10,
  storedBytes: 5,
  ...more,
})
const own = entry(run, { slot: last.getTime() })

const incomplete = (pages: readonly Objects[]) =>
  only(planPolicy(seen(pages), now).actions, 'status BackupPolicy')[0]?.status.conditions?.find(
    ({ type }) => type === 'CatalogIncomplete',
  )?.reason

test('F74: a page whose next one is itself ends the reading, which is told, and is tried again ten minutes after it began', () => {
  for (const pages of [
    [page('', { entries: [own], next: '' })],
    [page('', { entries: [own], next: 'k2' }), page('k2', { entries: [own], next: 'k2' })],
    [page('', { entries: [own], next: 'k2' }), page('k2', { entries: [own], next: 'k1' })],
  ]) {
    const { actions, open, entries, wakeAt } = planCatalog(seen(pages), now)
    assert.deepEqual([actions, open, entries, wakeAt], [[], true, undefined, at('12:05')])
    assert.equal(incomplete(pages), 'CatalogRepeats')
    const again = only(planCatalog(seen(pages), at('12:05')).actions, 'delete Job')
    assert.deepEqual(
      again.map(({ name }) => name),
      [pages.at(-1)?.job.metadata.name],
    )
  }
})

test('F74: a list that does not end is read up to a number of pages, and no further', () => {
  const cursors = ['', ...Array.from({ length: 600 }, (_, n) => `k${String(n).padStart(4, '0')}`)]
  const pages = cursors.slice(0, -1).map((cursor, n) => page(cursor, { entries: [], next: cursors[n + 1] }))
  const { actions, entries } = planCatalog(seen(pages), now)
  assert.deepEqual(only(actions, 'create catalog Job'), [])
  assert.deepEqual(only(actions, 'delete Backup'), [])
  assert.equal(entries, undefined)
  assert.equal(incomplete(pages), 'CatalogTooLong')
})

test("F74: an entry that is no run of the policy's, or whose times are none, becomes no Backup, and then no other is taken for lost", () => {
  const ofOthers = ['backup-other-29456703', 'nightly', '../up', 'backup-nightly-x', '', 'backup-nightly-99999999999']
  const strange = [
    ...ofOthers.map(name => entry(name)),
    entry('backup-nightly-29456700', { slot: 8.64e15 + 1 }),
    entry('backup-nightly-29456701', { startedAt: -1 }),
    entry('backup-nightly-29456702', { finishedAt: 253_402_300_800_000 }),
  ]
  for (const each of strange) {
    const pages = [page('', { entries: [each] })]
    assert.deepEqual(planCatalog(seen(pages), now).actions, [], JSON.stringify(each))
    assert.equal(incomplete(pages), 'CatalogForeign', JSON.stringify(each))
  }
  const runs = ['backup-nightly-29456700', 'backup-nightly-0123456789'].map(name => entry(name))
  const { actions } = planCatalog(seen([page('', { entries: [own, ...runs] })]), now)
  assert.deepEqual(
    only(actions, 'create Backup').map(({ name }) => name),
    runs.map(each => each.run),
  )
  assert.equal(incomplete([page('', { entries: [own, ...runs] })]), undefined)
})

test('F74: what a list was found to be is told until another one is read', () => {
  const first = planPolicy(seen([page('', { entries: [own, entry('stranger')] })]), now)
  const [told] = only(first.actions, 'status BackupPolicy')
  assert.ok(told)
  const [after] = only(
    planPolicy(seen([], { status: { ...told.status, lastRun: undefined } }), now).actions,
    'status BackupPolicy',
  )
  assert.equal(after?.status.conditions?.find(({ type }) => type === 'CatalogIncomplete')?.reason, 'CatalogForeign')
})

test('F74: whatever pages and messages hold, a policy is planned in bounded time, and what is planned are objects that can exist', () => {
  const number = fc.oneof(fc.maxSafeInteger(), fc.constantFrom(-1, 0, 8.64e15, 8.64e15 + 1), fc.double(), fc.string())
  const text = fc.oneof(fc.string(), fc.constantFrom('', 'k1', 'k2', run, 'backup-nightly-29456700'))
  const anyEntry = fc.record(
    { run: text, slot: number, startedAt: number, finishedAt: number, bytes: number, storedBytes: number },
    { requiredKeys: ['run'] },
  )
  const catalog = fc.oneof(
    fc.record(
      { entries: fc.array(fc.oneof(anyEntry, fc.constant(own)), { maxLength: 5 }), next: text },
      { requiredKeys: [] },
    ),
    fc.jsonValue(),
  )
  const words = fc.oneof(
    fc.record(
      {
        phase: fc.constantFrom('committed', 'done', 'failed'),
        run: text,
        finishedAt: number,
        slot: number,
        bytes: number,
        storedBytes: number,
        manifest: text,
        kept: fc.oneof(fc.record({ count: number, digest: text }), fc.jsonValue()),
        deleted: fc.oneof(fc.array(text), fc.jsonValue()),
        warnings: fc.oneof(fc.array(fc.record({ reason: text, message: text })), fc.jsonValue()),
      },
      { requiredKeys: ['phase'] },
    ),
    fc.jsonValue(),
  )
  fc.assert(
    fc.property(fc.array(fc.tuple(text, catalog), { maxLength: 6 }), words, (some, message) => {
      const pages = new Map(some.map(([cursor, each]) => [cursor, page(cursor, each)]))
      const of = jobOfSlot(at('04:00'), { status: complete(at('04:00'), at('04:10')) })
      const last = { ...saying({ phase: 'done' }), name: 'mover' }
      const containerStatuses = [{ ...last, state: { terminated: { exitCode: 0, message: JSON.stringify(message) } } }]
      const teller = { job: of, pod: pod(of, 1, { status: { phase: 'Succeeded', containerStatuses } }) }
      const begin = performance.now()
      const { actions } = planPolicy(seen([...pages.values(), teller]), now)
      assert.ok(performance.now() - begin < 2000)
      for (const { name, slot } of only(actions, 'create Backup')) {
        assert.match(name, /^backup-nightly-[0-9a-z]{7,10}$/)
        assert.ok(!Number.isNaN(slot.getTime()))
      }
    }),
    { numRuns: 300 },
  )
})
