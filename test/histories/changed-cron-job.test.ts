// Whoever changes the CronJob whenever it is written, refuses that, or deletes it, told on the toy cluster (F77).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { BackupPolicySpec } from '../../src/api/kinds/backup-policy.ts'
import type { CronJob, KubernetesObject } from '../../src/api/kubernetes.ts'
import { ApiError, ConnectionError } from '../../src/runtime/client/errors.ts'
import { addSeconds } from '../../src/schedule/times.ts'
import { at, policy, startable, stamp, usableStore } from '../plan/world.ts'
import { ToyApiServer } from './toy/api-server.ts'
import { ToyCronController } from './toy/cron-controller.ts'
import { ToyOperator } from './toy/operator.ts'

/** Makes everything of this kind so; undefined: without a deadline. */
function mutating(startingDeadlineSeconds: number | undefined) {
  return <T extends KubernetesObject>(object: T): T => {
    if (object.kind !== 'CronJob') return object
    const { spec } = object as unknown as CronJob
    return { ...object, spec: { ...spec, startingDeadlineSeconds } }
  }
}

/**
 * The runs that started between 01:30 and 04:00 of an hourly policy, by their times: that of 02:00 goes on until 03:10, and Forbid delays that of 03:00 until then.
 * @param operatorNow who runs in that minute
 */
async function startsBesideLongRun(
  server: ToyApiServer,
  operatorNow: (minute: number) => ToyOperator,
  startingDeadlineSeconds = 3600,
): Promise<ReadonlyMap<string, string>> {
  const { resourceVersion: _, ...metadata } = policy().metadata
  const hourly = policy({ schedule: '0 * * * *', startingDeadlineSeconds })
  server.create('backuppolicies', { ...hourly, metadata })
  const cron = new ToyCronController(server)
  const started = new Map<string, string>()
  for (let minute = 0; minute < 150; minute++) {
    server.now = addSeconds(at('01:30'), minute * 60)
    const operator = operatorNow(minute)
    cron.sync()
    for (let n = 0; n < 3; n++) await operator.pass()
    const runs = server
      .all('jobs')
      .filter(each => each.metadata.ownerReferences?.some(({ kind }) => kind === 'CronJob'))
    for (const { metadata, status } of runs) {
      const { name, creationTimestamp = '' } = metadata
      started.set(creationTimestamp, name)
      const end = addSeconds(new Date(creationTimestamp), creationTimestamp === stamp(at('02:00')) ? 4200 : 300)
      if (status?.completionTime || server.now < end) continue
      const time = stamp(server.now)
      const conditions = [{ type: 'Complete', status: 'True', lastTransitionTime: time }] as const
      const ended = { startTime: creationTimestamp, completionTime: time, conditions }
      server.update('jobs', name, each => ({ ...each, status: ended }))
    }
  }
  return started
}

test('F77: a slot that waits for a long run is run, though a webhook changes startingDeadlineSeconds at each try', async () => {
  const server = new ToyApiServer(at('01:30'))
  server.webhook = mutating(1800)
  const operator = new ToyOperator(server, 'nightly', { onWrite: () => {} })
  const started = await startsBesideLongRun(server, () => operator)
  assert.deepEqual([...started.keys()], [stamp(at('02:00')), stamp(at('03:11'))])
})

const denial = 'admission webhook "images.example.com" denied the request: images must be signed'
const denied = new ApiError({ request: 'PUT', status: 403, reason: 'Forbidden', message: denial })
const dead = new ApiError({ request: 'PUT', status: 500, reason: 'InternalError', message: 'failed calling webhook' })
const unanswered = new ConnectionError('PUT', { cause: new Error('reset'), unsent: false })

for (const [what, error, saysInDryRuns, minute, restarts] of [
  ['is denied', denied, true, 10, false],
  ['is denied to each of many operators that are killed', denied, true, 10, true],
  ['is denied from when it waits on', denied, true, 95, false],
  ['is denied, and no dry run is', denied, false, 10, false],
  ['fails with a dead webhook', dead, true, 10, false],
  ['fails with a dead webhook, and no dry run does', dead, false, 10, false],
  ['has no answer', unanswered, true, 10, false],
  ['has no answer, and dry runs have one', unanswered, false, 10, false],
] as const)
  test(`F77: a slot that waits for a long run is run, though each change of the CronJob ${what}`, async () => {
    const server = new ToyApiServer(at('01:30'))
    let refuses = false
    server.webhook = <T extends KubernetesObject>(object: T): T => {
      if (refuses && saysInDryRuns && object.kind === 'CronJob') throw error
      return object
    }
    function started() {
      return new ToyOperator(server, 'nightly', {
        onWrite: ({ verb, plural }, _before, body) => {
          if (refuses && verb === 'update' && plural === 'cronjobs' && 'spec' in (body ?? {})) throw error
        },
      })
    }
    let operator = started()
    const starts = await startsBesideLongRun(server, now => {
      if (restarts && now % 5 === 0) operator = started()
      if (now !== minute) return operator
      refuses = true
      server.update('backuppolicies', 'nightly', each => ({
        ...each,
        metadata: { ...each.metadata, generation: 2 },
        spec: { ...each.spec, startingDeadlineSeconds: 7200 },
      }))
      return operator
    })
    assert.deepEqual([...starts.keys()], [stamp(at('02:00')), stamp(at('03:11'))])
  })

/** Of the policy, in a cluster that refuses each change of its CronJob from now on. */
function changeThatIsRefused(server: ToyApiServer, spec: Partial<BackupPolicySpec>): void {
  server.webhook = <T extends KubernetesObject>(object: T): T => {
    if (object.kind === 'CronJob') throw denied
    return object
  }
  server.update('backuppolicies', 'nightly', each => ({
    ...each,
    metadata: { ...each.metadata, generation: 2 },
    spec: { ...each.spec, ...spec },
  }))
}

for (const [what, deadline, webhook, change] of [
  ['a webhook makes its deadline longer', 300, mutating(3600), undefined],
  ['a webhook takes its deadline away', 300, mutating(undefined), undefined],
  ['a shorter deadline is refused', 3600, undefined, { startingDeadlineSeconds: 300 }],
  ['another schedule is refused', 300, mutating(3600), { schedule: '1/2 * * * *' }],
] as const)
  test(`F77: a run that the CronJob starts later than the policy says has its Backup, and is not skipped: ${what}`, async () => {
    const server = new ToyApiServer(at('01:30'))
    if (webhook) server.webhook = webhook
    const operator = new ToyOperator(server, 'nightly', { onWrite: () => {} })
    function operatorNow(minute: number) {
      if (minute === 60 && change) changeThatIsRefused(server, change)
      return operator
    }
    const started = await startsBesideLongRun(server, operatorNow, deadline)
    assert.deepEqual([...started.keys()], [stamp(at('02:00')), stamp(at('03:11'))])
    const told = new Set(server.all('backups').map(({ metadata }) => metadata.name))
    assert.deepEqual(
      [...started.values()].filter(name => !told.has(name)),
      [],
    )
    if (change && 'schedule' in change) return
    assert.deepEqual(server.get('backuppolicies', 'nightly')?.status?.slots, { missed: 0, skipped: 0 })
  })

/** Somebody deletes the CronJob so often; seconds. How long it is away, and what is told then. */
async function deletedEvery(seconds: number, change: (server: ToyApiServer) => void = () => {}) {
  const server = new ToyApiServer(at('01:00'))
  const { resourceVersion: _, ...metadata } = policy().metadata
  server.create('backuppolicies', { ...policy(), metadata })
  let made = 0
  const operator = new ToyOperator(server, 'nightly', {
    onWrite: ({ verb, plural }) => void (made += verb === 'create' && plural === 'cronjobs' ? 1 : 0),
  })
  const away: number[] = []
  const told = new Set<string | undefined>()
  for (let second = 0; second < 3600; second += 10) {
    server.now = addSeconds(at('01:00'), second)
    change(server)
    if (second % seconds === 0)
      for (const { metadata } of server.all('cronjobs')) server.delete('cronjobs', metadata.name)
    for (let n = 0; n < 3; n++) await operator.pass()
    if (server.all('cronjobs').length > 0) continue
    away.push(second)
    const { conditions = [] } = server.get('backuppolicies', 'nightly')?.status ?? {}
    const ready = conditions.find(({ type }) => type === 'Ready')
    told.add(ready && `${ready.status} ${ready.reason} ${ready.message}`)
  }
  return { made, away, told: [...told] }
}

test('F77: a CronJob that is deleted now and then is made at once, however often', async () => {
  assert.deepEqual((await deletedEvery(300)).away, [])
})

test('F77: one that is deleted whenever it is there is made again three times at once, then each minute, and it is told that somebody deletes it', async () => {
  const { made, away, told } = await deletedEvery(10)
  assert.ok(made > 50 && made < 70, `${made} times in an hour`)
  assert.equal(away[0], 40, 'made again at 10, 20 and 30')
  assert.equal(told.length, 1)
  assert.match(
    told[0] ?? '',
    /^False CronJobChanged CronJob backup-nightly does not stay, and while it is away no scheduled run starts: somebody, or another controller, deletes it again/,
  )
})

test('F77: one that is deleted while a change of it waits is made at once', async () => {
  const suspended = (server: ToyApiServer) =>
    void server.update('cronjobs', 'backup-nightly', each =>
      each.spec.suspend === true ? each : { ...each, spec: { ...each.spec, suspend: true } },
    )
  assert.deepEqual((await deletedEvery(300, suspended)).away, [])
})

/** What Ready says in so many hours, seen every 5 s, of a policy that is Ready but for what somebody does to its CronJob. */
async function readyWhile(hours: number, trouble: (server: ToyApiServer) => void) {
  const server = new ToyApiServer(at('01:00'))
  const { resourceVersion: _, ...metadata } = policy().metadata
  const tried = { store: usableStore(at('00:50')), start: startable(at('00:50')) }
  server.create('backuppolicies', { ...policy(), metadata })
  server.update('backuppolicies', 'nightly', each => ({ ...each, status: tried }))
  const operator = new ToyOperator(server, 'nightly', { onWrite: () => {} })
  const told: string[] = []
  let [notReady, longest] = [0, 0]
  for (let second = 0; second < hours * 3600; second += 5) {
    server.now = addSeconds(at('01:00'), second)
    for (let n = 0; n < 3; n++) {
      await operator.pass()
      const { conditions = [] } = server.get('backuppolicies', 'nightly')?.status ?? {}
      const ready = conditions.find(({ type }) => type === 'Ready')
      const words = `${ready?.status} ${ready?.reason}`
      if (told.at(-1) !== words) told.push(words)
      if (n === 0) notReady = ready?.status === 'True' ? 0 : notReady + 5
      longest = Math.max(longest, notReady)
      trouble(server)
    }
  }
  return { told, longest }
}

function deleteAll(server: ToyApiServer): void {
  for (const { metadata } of server.all('cronjobs')) server.delete('cronjobs', metadata.name)
}

for (const [what, hours, trouble] of [
  ['deletes it whenever it is there', 1, deleteAll],
  [
    'deletes it 20 s after each time that it is made',
    1,
    (server: ToyApiServer) => {
      for (const { metadata } of server.all('cronjobs'))
        if (addSeconds(new Date(metadata.creationTimestamp ?? ''), 20) <= server.now) deleteAll(server)
    },
  ],
  [
    'suspends it each time that it is put back',
    2,
    (server: ToyApiServer) => {
      for (const { metadata } of server.all('cronjobs'))
        server.update('cronjobs', metadata.name, each => ({ ...each, spec: { ...each.spec, suspend: true } }))
    },
  ],
] as const)
  test(`F77: Ready is False for long enough for an alert, and not True with each try, where somebody ${what}`, async () => {
    const { told, longest } = await readyWhile(hours, trouble)
    assert.ok(longest >= 1800, `not Ready for ${longest} s at most`)
    assert.deepEqual(told, ['True Ready', 'False CronJobChanged'])
  })

test('F77: Ready stays True where the CronJob is deleted once, and is again once nobody has for five minutes', async () => {
  const untilMinute = (minute: number) => (server: ToyApiServer) => {
    if (server.now < at(`01:${minute}`)) deleteAll(server)
  }
  const once = (server: ToyApiServer) => void (server.now.getTime() === at('01:20').getTime() && deleteAll(server))
  assert.deepEqual((await readyWhile(1, once)).told, ['True Ready'])
  const { told, longest } = await readyWhile(1, untilMinute(20))
  assert.deepEqual(told, ['True Ready', 'False CronJobChanged', 'True Ready'])
  assert.ok(longest > 1140 + 240 && longest < 1200 + 360, `${longest} s`)
})
