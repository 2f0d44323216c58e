// One question each about a running operator.
import { Agent, get } from 'node:http'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import * as resources from '../../src/controllers/shared/resources.ts'
import type { Backup } from '../../src/api/kinds/backup.ts'
import type { Client } from '../../src/runtime/client/client.ts'
import type { ControlPlane } from '../../test/api/control-plane/control-plane.ts'
import { applyAll, namespaceObjects, onDemand, policyObject } from '../../test/api/operator/stage.ts'
import { auditMark, callCounts, lateness, operatorCalls } from './audit.ts'
import { cpuOf, descriptorsOf, mainThreadMs, memoryOf, type MeasuredOperator } from './operator-in-image.ts'
import { indexes, inParallel, namespaceOf, never, policyOf } from './worlds.ts'

/** Memory so many minutes after the first sync, and what was asked of the API server in the last of them. */
export async function settle(plane: ControlPlane, operator: MeasuredOperator, minutes: number) {
  const started = performance.now()
  await operator.synced()
  const syncSeconds = (performance.now() - started) / 1000
  const early = memoryOf(operator.pid)
  await delay((minutes - 1) * 60_000)
  const mark = await auditMark(plane)
  const cpu = cpuOf(operator.pid)
  await delay(60_000)
  return {
    syncSeconds: Number(syncSeconds.toFixed(1)),
    atSync: early,
    settled: memoryOf(operator.pid),
    cpuSeconds: cpuOf(operator.pid),
    lastMinute: {
      cpuSeconds: Number((cpuOf(operator.pid) - cpu).toFixed(2)),
      calls: callCounts(await operatorCalls(plane, mark)),
    },
  }
}

/** One scrape: its size, what the main thread computed for it, and the longest time that nothing else was answered. */
export async function scrape({ pid, metricsPort, healthPort }: MeasuredOperator, times = 9) {
  const agent = new Agent({ keepAlive: true })
  const fetchText = async (port: number, path: string) =>
    await new Promise<string>((resolve, reject) => {
      get({ host: '127.0.0.1', port, path, agent }, response => void text(response).then(resolve, reject)).on(
        'error',
        reject,
      )
    })
  const samples: {
    readonly computedMs: number
    readonly blockedMs: number
    readonly tookMs: number
    readonly body: string
  }[] = []
  for (const _ of indexes(times)) {
    await fetchText(healthPort, '/healthz')
    const scraped = new AbortController()
    let blockedMs = 0
    const pinging = (async () => {
      while (!scraped.signal.aborted) {
        const sent = performance.now()
        await fetchText(healthPort, '/healthz')
        blockedMs = Math.max(blockedMs, performance.now() - sent)
      }
    })()
    const computed = mainThreadMs(pid)
    const sent = performance.now()
    const body = await fetchText(metricsPort, '/metrics')
    const tookMs = performance.now() - sent
    scraped.abort()
    await pinging
    samples.push({ computedMs: mainThreadMs(pid) - computed, blockedMs, tookMs, body })
    await delay(500)
  }
  agent.destroy()
  const middle = (read: (sample: (typeof samples)[number]) => number) =>
    Math.round(samples.map(read).toSorted((a, b) => a - b)[samples.length >> 1] ?? 0)
  const body = samples.at(-1)?.body ?? ''
  return {
    lines: body.split('\n').length,
    kib: body.length >> 10,
    computedMs: middle(({ computedMs }) => computedMs),
    blockedMs: middle(({ blockedMs }) => blockedMs),
    tookMs: middle(({ tookMs }) => tookMs),
  }
}

/** Every policy becomes due in one minute. */
export async function burst(plane: ControlPlane, admin: Client, operator: MeasuredOperator, policies: number) {
  const due = new Date(Math.ceil((Date.now() + 90_000) / 60_000) * 60_000)
  const schedule = `${due.getUTCMinutes()} ${due.getUTCHours()} * * *`
  await setSchedules(admin, policies, schedule)
  if (Date.now() > due.getTime() - 5000) throw new Error('the policies were not all edited before they were due')
  await delay(due.getTime() - Date.now() - 2000)
  const mark = await auditMark(plane)
  await delay(due.getTime() - Date.now() + 60_000)
  const calls = await operatorCalls(plane, mark)
  const counts = callCounts(calls)
  const writes = Object.entries(counts).filter(([name]) => /^(create|update|patch) /.test(name))
  await setSchedules(admin, policies, never)
  return {
    due: policies,
    backups: lateness(calls, 'backups', due),
    snapshots: lateness(calls, 'volumesnapshots', due),
    writesEach: Number((writes.reduce((sum, [, count]) => sum + count, 0) / policies).toFixed(2)),
    calls: counts,
    ...memoryOf(operator.pid),
  }
}

async function setSchedules(admin: Client, policies: number, schedule: string): Promise<void> {
  await inParallel(indexes(policies), async index => {
    const patch = { kind: 'merge', body: { spec: { schedule } } } as const
    await admin.patch(resources.backupPolicies, namespaceOf(index), policyOf(index), patch)
  })
}

/**
 * One tenant makes as many policies as it can, each due every minute and with nothing to back up; then the others are due (S19). The burst
 * before it is what their lateness is to be compared with.
 */
export async function hostile(
  plane: ControlPlane,
  admin: Client,
  operator: MeasuredOperator,
  policies: number,
  count = 10_000,
) {
  await applyAll(plane, namespaceObjects('hostile'))
  const spec = {
    selector: { matchLabels: { app: 'x'.repeat(63) } },
    schedule: '* * * * *',
    timeZone: 'America/Argentina/ComodRivadavia',
    retention: 1000,
    strategy: { type: 'snapshot' },
  }
  await inParallel(indexes(count), async index => {
    await admin.create(resources.backupPolicies, policyObject('hostile', `hostile-${index}-${'y'.repeat(30)}`, spec))
  })
  await delay(120_000)
  const [settled, cpu] = [memoryOf(operator.pid), cpuOf(operator.pid)]
  await delay(60_000)
  const cpuSecondsOfAMinute = Number((cpuOf(operator.pid) - cpu).toFixed(1))
  return { count, settled, cpuSecondsOfAMinute, others: await burst(plane, admin, operator, policies) }
}

/** People and clusters at work, for so many minutes: edits, on-demand Backups that come and go, watches that are cut. */
export async function soak(
  plane: ControlPlane,
  admin: Client,
  operator: MeasuredOperator,
  policies: number,
  minutes: number,
) {
  const minutely: { readonly rss: number; readonly descriptors: number; readonly cpuSeconds: number }[] = []
  let backups = 0
  for (const minute of indexes(minutes)) {
    const end = performance.now() + 60_000
    const [namespace, policy] = [namespaceOf(minute), policyOf(minute % policies)]
    for (const turn of indexes(20)) {
      const name = `churn-${minute}-${turn}`
      const patch = { kind: 'merge', body: { metadata: { annotations: { 'example.com/turn': name } } } } as const
      await inParallel(indexes(Math.min(policies, 25)), async offset => {
        const index = (minute * 500 + turn * 25 + offset) % policies
        await admin.patch(resources.backupPolicies, namespaceOf(index), policyOf(index), patch)
      })
      await admin.create<Backup>(resources.backups, onDemand(namespace, name, policy))
      backups++
      if (turn > 0) await admin.delete(resources.backups, namespace, `churn-${minute}-${turn - 1}`)
    }
    if (minute % 10 === 9) await plane.restartApiServer()
    await delay(Math.max(0, end - performance.now()))
    minutely.push({
      rss: memoryOf(operator.pid).rss,
      descriptors: await descriptorsOf(operator.pid),
      cpuSeconds: cpuOf(operator.pid),
    })
  }
  const third = Math.ceil(minutely.length / 3)
  const mean = (part: typeof minutely, read: (sample: (typeof minutely)[number]) => number) =>
    Math.round(part.reduce((sum, sample) => sum + read(sample), 0) / part.length)
  const middle = minutely.slice(third, 2 * third)
  const last = minutely.slice(2 * third)
  return {
    minutes,
    backups,
    rss: { middleThird: mean(middle, ({ rss }) => rss), lastThird: mean(last, ({ rss }) => rss) },
    descriptors: {
      middleThird: mean(middle, each => each.descriptors),
      lastThird: mean(last, each => each.descriptors),
    },
    peak: memoryOf(operator.pid).peak,
    minutely,
  }
}
