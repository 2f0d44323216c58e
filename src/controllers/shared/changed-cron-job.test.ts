// F77: a webhook changes the CronJob whenever it is written.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { CronJob } from '../../api/kubernetes.ts'
import { planPolicy } from '../../plan/policy/policy.ts'
import type { Client } from '../../runtime/client/client.ts'
import { ApiError } from '../../runtime/client/errors.ts'
import type { WriteOptions } from '../../runtime/client/requests.ts'
import type { Resource } from '../../runtime/client/resource.ts'
import type { EventNote } from '../../runtime/events.ts'
import { FakeClock } from '../../runtime/fake-clock.ts'
import { silentLog } from '../../runtime/log.ts'
import { applyContext } from '../../../test/histories/toy/apply-context.ts'
import { at, policy, stamp, world } from '../../../test/plan/world.ts'
import { applyPlan } from './apply.ts'
import { RefusalMemory } from './refusals.ts'

/** One policy and its CronJob, which a webhook changes as it is written, or denies, and perhaps refuses to be asked by a dry run. */
function cluster(webhook: { mutate: (cronJob: CronJob) => CronJob; refusesDryRun?: boolean; denies?: boolean }) {
  const clock = new FakeClock(at('12:00'))
  const clockSet: string[] = []
  let standing = policy()
  let cronJob = world(standing).cronJob ?? assert.fail()
  let writes = 0
  const notes: EventNote[] = []
  const client = {
    async replace(resource: Resource, object: CronJob | BackupPolicy, { dryRun }: WriteOptions) {
      if (resource.kind === 'BackupPolicy') return (standing = object as BackupPolicy)
      const message = 'admission webhook "x" does not support dry run'
      if (dryRun && webhook.refusesDryRun)
        throw new ApiError({ request: 'PUT', status: 400, reason: 'BadRequest', message })
      const denial = 'admission webhook "images.example.com" denied the request: images must be signed'
      if (webhook.denies) throw new ApiError({ request: 'PUT', status: 403, reason: 'Forbidden', message: denial })
      if (dryRun) return webhook.mutate(object as CronJob)
      writes++
      return (cronJob = webhook.mutate(object as CronJob))
    },
    create: async (_: Resource, object: object) => object,
    list: async () => ({ items: [] }),
    async patch(_: Resource, __: string, ___: string, { body }: { body: { status: { lastScheduleTime: string } } }) {
      clockSet.push(body.status.lastScheduleTime)
      return undefined
    },
  } as unknown as Client
  const context = applyContext(client, clock, { record: (_, note) => void notes.push(note) })
  const memory = new RefusalMemory()
  async function pass() {
    const seen = world(standing, { cronJob })
    for (const told of [[], [cronJob]]) context.caches.cronJobs.replace(told)
    const plan = planPolicy(seen, clock.now())
    const { wakeAt } = await applyPlan(context, seen, plan, memory, silentLog, new AbortController().signal)
    const ready = standing.status?.conditions?.find(({ type }) => type === 'Ready')
    return { writes, ready, wakeAt }
  }
  const edit = (change: Partial<CronJob['spec']>) => (cronJob = { ...cronJob, spec: { ...cronJob.spec, ...change } })
  return { clock, clockSet, pass, edit, notes, standing: () => cronJob }
}

test('F77: a CronJob that somebody edited is written once, and nobody is told', async () => {
  const { pass, edit, notes, standing } = cluster({ mutate: each => each })
  edit({ concurrencyPolicy: 'Allow' })
  for (let n = 0; n < 3; n++) assert.equal((await pass()).writes, 1)
  assert.equal(standing().spec.concurrencyPolicy, 'Forbid')
  assert.deepEqual(
    notes.filter(({ reason }) => reason === 'CronJobChanged'),
    [],
  )
})

test('F77: a webhook that changes the CronJob whenever it is written makes the policy not Ready, and is not fought', async () => {
  const webhook = {
    mutate: (each: CronJob): CronJob => ({ ...each, spec: { ...each.spec, concurrencyPolicy: 'Allow' } }),
  }
  const { clock, pass, edit, notes } = cluster(webhook)
  edit({ concurrencyPolicy: 'Allow' })
  for (let n = 0; n < 10; n++) {
    const { writes, ready } = await pass()
    assert.deepEqual([writes, ready?.status, ready?.reason], [1, 'False', 'CronJobChanged'])
    assert.match(ready?.message ?? '', /CronJob backup-nightly .*changes concurrencyPolicy whenever it is written/)
    await clock.advance(1000)
  }
  assert.deepEqual(
    notes.filter(({ reason }) => reason === 'CronJobChanged').map(({ type }) => type),
    ['Warning', 'Warning'],
    'when it is found, and when Ready changes',
  )
  webhook.mutate = each => each
  await clock.advance(60_000)
  const { writes, ready } = await pass()
  assert.equal(writes, 2)
  assert.notEqual(ready?.reason, 'CronJobChanged')
})

test('F77: another controller that puts the CronJob back after each write is not fought without a pause, and is told', async () => {
  const { clock, pass, edit, notes, standing } = cluster({ mutate: each => each })
  const written: number[] = []
  const minutes = 60
  for (let second = 0; second < minutes * 60; second++) {
    if (standing().spec.suspend !== true) {
      edit({ suspend: true })
      written.push(second)
    }
    const { writes, ready } = await pass()
    assert.ok(writes <= written.length)
    if (second === 30) assert.deepEqual([ready?.status, ready?.reason], ['False', 'CronJobChanged'])
    if (second === 30)
      assert.match(ready?.message ?? '', /CronJob backup-nightly .*changes suspend again after it is put back/)
    await clock.advance(1000)
  }
  const waits = written.map((second, n) => second - (written[n - 1] ?? 0)).slice(3)
  assert.deepEqual(
    waits.slice(0, 5).map(wait => Math.round(wait / 60)),
    [1, 2, 4, 8, 10],
  )
  assert.ok(written.length < 14, `${written.length} writes in an hour`)
  assert.ok(notes.some(({ reason, type }) => reason === 'CronJobChanged' && type === 'Warning'))
})

test('F77: one that had to wait is told as changed until it has stood for five minutes, and then looked at', async () => {
  const { clock, pass, edit } = cluster({ mutate: each => each })
  for (const reason of ['Probing', 'Probing', 'CronJobChanged']) {
    edit({ concurrencyPolicy: 'Allow' })
    assert.equal((await pass()).ready?.reason, reason)
  }
  await clock.advance(60_000)
  const { writes, ready, wakeAt } = await pass()
  assert.deepEqual([writes, ready?.reason], [3, 'CronJobChanged'])
  assert.deepEqual(wakeAt, new Date(clock.now().getTime() + 300_000))
  await clock.advance(300_000)
  assert.notEqual((await pass()).ready?.reason, 'CronJobChanged')
})

test('F77: edits of people are put back at once, each of them once the last is a while ago', async () => {
  const { clock, pass, edit, standing } = cluster({ mutate: each => each })
  await pass()
  for (let n = 0; n < 5; n++) {
    edit({ concurrencyPolicy: 'Allow' })
    await pass()
    assert.equal(standing().spec.concurrencyPolicy, 'Forbid')
    await clock.advance(1_800_000)
  }
})

for (const refusesDryRun of [false, true])
  test(`F77: a webhook that changes a time sets the clock of the CronJob back with no try${refusesDryRun ? ' but the first, where it refuses dry runs' : ''}`, async () => {
    const spec = { startingDeadlineSeconds: 200 }
    const webhook = {
      mutate: (each: CronJob): CronJob => ({ ...each, spec: { ...each.spec, ...spec } }),
      refusesDryRun,
    }
    const { clock, clockSet, pass, edit, standing } = cluster(webhook)
    edit(spec)
    let last = 0
    for (let minute = 0; minute < 180; minute++) {
      last = (await pass()).writes
      await clock.advance(60_000)
    }
    assert.ok(last > 10, `${last} tries`)
    assert.deepEqual(clockSet, refusesDryRun ? [stamp(at('12:00'))] : [])
    if (refusesDryRun) return
    webhook.mutate = each => each
    await clock.advance(600_000)
    await pass()
    assert.equal(standing().spec.startingDeadlineSeconds, 3600)
    assert.deepEqual(clockSet, [stamp(clock.now())], 'before the write that sticks')
  })

test('F77: the clock is set before times are put back that had to wait, also where a webhook that changes nothing takes part in no dry run', async () => {
  const { clock, clockSet, pass, edit, standing } = cluster({ mutate: each => each, refusesDryRun: true })
  const schedule = '0 * * * *'
  edit({ schedule })
  await pass()
  await clock.advance(10_000)
  for (let n = 0; n < 2; n++) {
    edit({ suspend: true, schedule })
    await pass()
  }
  assert.deepEqual([clockSet.length, standing().spec.suspend], [2, true], 'the second of a minute waits')
  await clock.advance(120_000)
  assert.equal((await pass()).writes, 3)
  assert.deepEqual([clockSet.length, standing().spec.suspend], [3, false])
})

for (const refusesDryRun of [false, true])
  test(`F77: a CronJob whose change is denied has its clock set once, right before it is changed${refusesDryRun ? ', or at the first try where the webhook refuses dry runs' : ''}`, async () => {
    const webhook = { mutate: (each: CronJob): CronJob => each, refusesDryRun, denies: true }
    const { clock, clockSet, pass, edit, standing } = cluster(webhook)
    const schedule = '0 * * * *'
    edit({ schedule })
    for (let minute = 0; minute < 180; minute++) {
      const { ready } = await pass()
      assert.deepEqual([ready?.status, ready?.reason], ['False', 'CronJobRefused'])
      assert.match(ready?.message ?? '', /refuses CronJob backup-nightly, .*images must be signed/)
      await clock.advance(60_000)
    }
    assert.deepEqual(clockSet, refusesDryRun ? [stamp(at('12:00'))] : [])
    webhook.denies = false
    await clock.advance(600_000)
    await pass()
    assert.equal(standing().spec.schedule, '0 2 * * *')
    assert.deepEqual(clockSet, [stamp(refusesDryRun ? at('12:00') : clock.now())])
    await pass()
    edit({ schedule })
    await clock.advance(600_000)
    await pass()
    assert.equal(clockSet.length, 2, 'the next change is another one')
  })

test('F77: a clock that was set for a change that somebody else made is set again for the next one', async () => {
  const webhook = { mutate: (each: CronJob): CronJob => each, refusesDryRun: true, denies: true }
  const { clock, clockSet, pass, edit } = cluster(webhook)
  edit({ schedule: '0 * * * *' })
  await pass()
  edit({ schedule: '0 2 * * *' })
  await pass()
  await clock.advance(600_000)
  edit({ schedule: '0 * * * *' })
  await pass()
  assert.equal(clockSet.length, 2)
})
