// The reads of VolumeSnapshotContents, which are for words only, in the look before a plan.
import { silentLog } from '../../runtime/log.ts'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ToyApiServer, toyClient } from '../../../test/histories/toy/api-server.ts'
import { fillCaches, toyCaches } from '../../../test/histories/toy/caches.ts'
import { at, backup, namespace, settings, snapshotOf, snapshotPolicy } from '../../../test/plan/world.ts'
import type { Backup } from '../../api/kinds/backup.ts'
import { ApiError, ConnectionError } from '../../runtime/client/errors.ts'
import { FakeClock } from '../../runtime/fake-clock.ts'
import { createObserver } from './observe.ts'

const now = at('12:00')

/** A policy whose snapshots became ready all at once, and a GET that does as it is told. */
function cluster(count: number, answer: (clock: FakeClock, signal: AbortSignal | undefined) => Promise<void>) {
  const server = new ToyApiServer(now)
  const clock = new FakeClock(now)
  let gets = 0
  const client = Object.assign(toyClient(server), {
    async get(_: unknown, __: unknown, ___: string, { signal }: { signal?: AbortSignal } = {}) {
      gets++
      await answer(clock, signal)
      return { spec: { deletionPolicy: 'Retain' } }
    },
  })
  const caches = toyCaches(client)
  fillCaches(caches, server, true)
  caches.policies.replace([snapshotPolicy()])
  const open = Array.from({ length: count }, (_, n) =>
    backup(`run-${n}`, { spec: { target: `data-${n}` }, metadata: { uid: `run-${n}` } }),
  )
  const write = (backups: readonly Backup[]) => caches.backups.replace(backups)
  write(open)
  const status = (n: number) => ({ readyToUse: true, boundVolumeSnapshotContentName: `content-${n}` })
  caches.snapshots.replace(open.map((each, n) => snapshotOf(each, { status: status(n) })))
  const observe = createObserver(caches, client, settings, clock, silentLog)
  const look = async () => (await observe(namespace, 'nightly', new AbortController().signal)).deletionPolicies
  return { clock, look, gets: () => gets, open, write }
}

test(
  'F71: a pass reads contents for a few seconds, however slow the API server is, and goes on without the rest',
  { timeout: 20_000 },
  async () => {
    const { clock, look } = cluster(250, (time, signal) => time.wait(1000, signal))
    const first = look()
    await clock.advance(6000)
    const told = (await first).size
    assert.ok(told > 20 && told < 250, `${told}`)
    const second = look()
    await clock.advance(6000)
    assert.equal((await second).size, 2 * told, 'what was read is known, and the next are read')
  },
)

test('F71: a content is read once, and forgotten when nobody asks about its snapshot any more', async () => {
  const { look, gets, open, write } = cluster(3, async () => {})
  for (let n = 0; n < 3; n++) assert.equal((await look()).get('content-2'), 'Retain')
  assert.equal(gets(), 3)
  write([])
  assert.equal((await look()).size, 0)
  write(open)
  await look()
  assert.equal(gets(), 6)
})

for (const [what, error] of [
  ['not reached', new ConnectionError('GET', { cause: new Error('reset'), unsent: true })],
  ['refused', new ApiError({ request: 'GET', status: 403, reason: 'Forbidden' })],
] as const)
  test(`F71: where contents are ${what}, few are tried, and the policy is planned without them`, async () => {
    const { look, gets } = cluster(100, async () => {
      throw error
    })
    assert.equal((await look()).size, 0)
    assert.ok(gets() <= 10, `${gets()}`)
  })
