// The alerts that the chart ships, run by Prometheus' own tool, and the metrics behind them.
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { Registry } from 'prom-client'
import { parse } from 'yaml'
import { capture } from '../../dev/command.ts'
import { promtool } from '../../dev/debian-tools.ts'
import { repository } from '../../dev/paths.ts'
import type { Backup } from '../../src/api/kinds/backup.ts'
import type { BackupPolicy } from '../../src/api/kinds/backup-policy.ts'
import { restoreSpec, type Restore } from '../../src/api/kinds/restore.ts'
import { BackupMetrics } from '../../src/controllers/metrics/metrics.ts'
import { createRuntimeMetrics } from '../../src/runtime/metrics.ts'
import { keyFrom, type KubeObject } from '../../src/runtime/client/resource.ts'
import { Store } from '../../src/runtime/cache/store.ts'
import { chartDirectory } from './chart.ts'

const alertsFile = join(chartDirectory, 'files/alerts.yaml')

/** Everything that the operator's /metrics shows, with a policy whose values are all known. */
async function everything() {
  const registry = new Registry()
  const runtime = createRuntimeMetrics(registry)
  runtime.controllerHooks('policies')
  runtime.onRestart('pods')
  runtime.onLeader('backup-operator')(true)
  const cache = new Store<KubeObject>()
  cache.replace([])
  cache.markSeen(0)
  runtime.watchCache('pods', cache)
  runtime.onRequest({ verb: 'get', resource: 'pods', code: '200', seconds: 0.01 })
  const policies = new Store<BackupPolicy>()
  const backups = new Store<Backup>({
    indexes: { policy: ({ metadata, spec }) => [keyFrom(metadata.namespace, spec.policy)] },
  })
  const restores = new Store<Restore>()
  policies.replace([])
  backups.replace([])
  const metrics = new BackupMetrics({
    policies,
    backups,
    restores,
    isLeader: () => true,
    now: () => new Date('2026-01-01T03:00:00Z'),
    serverTime: () => undefined,
  })
  const sample = parse(await readFile(join(repository, 'examples/sample-backuppolicy.yaml'), 'utf8')) as BackupPolicy
  const { metadata, spec } = sample
  const creationTimestamp = '2026-01-01T00:00:00Z'
  const [lastSuccess, nextRun] = ['2026-01-01T02:00:07Z', '2026-01-02T02:00:00Z']
  policies.set({
    ...sample,
    metadata: { ...metadata, namespace: 'shop', creationTimestamp },
    status: { lastSuccess, nextRun, targets: [{ name: 'data', ready: true, reason: 'Ready', message: '', kept: 1 }] },
  })
  backups.set({
    ...sample,
    kind: 'Backup',
    metadata: { name: 'one', namespace: 'shop' },
    spec: { policy: metadata.name },
    status: { phase: 'Completed', target: 'data', storedBytes: 1, completionTime: lastSuccess },
  })
  restores.set({
    ...sample,
    kind: 'Restore',
    metadata: { name: 'back', namespace: 'shop' },
    spec: restoreSpec.parse({ source: { policy: { name: metadata.name } }, into: {} }),
    status: { phase: 'Completed', policy: metadata.name, startTime: creationTimestamp, completionTime: lastSuccess },
  })
  const strategy = spec.strategy.type
  metrics.observe({ namespace: 'shop', policy: metadata.name, strategy, outcome: 'success', seconds: 7 })
  const described = registry.getMetricsAsArray() as unknown as readonly {
    readonly name: string
    readonly labelNames: readonly string[]
  }[]
  const types = new Map((await registry.getMetricsAsJSON()).map(({ name, type }) => [name, String(type)]))
  return {
    text: [await registry.metrics(), ...(await Array.fromAsync(metrics.text()))].join(''),
    families: [
      ...described.map(({ name, labelNames }) => ({ name, type: types.get(name), labels: labelNames })),
      ...BackupMetrics.families,
    ],
  }
}

test('promtool finds nothing to improve in what the operator exports', async () => {
  const { text: input } = await everything()
  assert.equal(await capture([await promtool(), 'check', 'metrics'], { input }), '')
})

test('the alerts fire when they should and are silent when they should be', async () => {
  await capture([await promtool(), 'check', 'rules', '--lint-fatal', alertsFile])
  const said = await capture([await promtool(), 'test', 'rules', join(chartDirectory, 'files/alerts.test.yaml')])
  assert.match(said, /SUCCESS/)
})

test('F85: the alerts fire where the Prometheus operator enforces the namespace label, and say of which policy', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'alerts-'))
  try {
    const rules = await readFile(alertsFile, 'utf8')
    // As prom-label-proxy and the Prometheus operator do it: a matcher in each selector, and the label on each alert.
    const enforced = rules
      .replaceAll(/(?<=[( ])((?:backup|reflector)_\w+)(?=[)[])/g, '$1{namespace="backup-system"}')
      .replaceAll(/(?<=[( ])(reflector_\w+\{)(?=resource)/g, '$1namespace="backup-system", ')
      .replaceAll(/^( *)severity: \w+$/gm, '$&\n$1namespace: backup-system')
    assert.equal(enforced.match(/\{namespace="backup-system"/g)?.length, 13)
    await writeFile(join(folder, 'alerts.yaml'), enforced)
    const tests = await readFile(join(repository, 'test/chart/alerts-enforced.test.yaml'), 'utf8')
    await writeFile(join(folder, 'alerts.test.yaml'), tests)
    assert.match(await capture([await promtool(), 'test', 'rules', join(folder, 'alerts.test.yaml')]), /SUCCESS/)
  } finally {
    await rm(folder, { recursive: true })
  }
})

test('every alert asks for metrics and labels that the operator exports, and has a runbook', async () => {
  const exported = new Map((await everything()).families.map(({ name, labels }) => [name, labels]))
  const { groups } = parse(await readFile(alertsFile, 'utf8')) as {
    readonly groups: readonly {
      readonly rules: readonly {
        readonly alert: string
        readonly expr: string
        readonly annotations: Record<string, string>
      }[]
    }[]
  }
  const rules = groups.flatMap(group => group.rules)
  assert.deepEqual(
    rules.map(({ alert }) => alert),
    [
      'BackupFailed',
      'BackupOverdue',
      'BackupPolicyNotReady',
      'BackupTargetsNotReady',
      'BackupSuspect',
      'BackupRetentionBlocked',
      'BackupOperatorBlind',
      'BackupOperatorDown',
    ],
  )
  for (const { alert, expr, annotations } of rules) {
    const names = expr.match(/\b(backup|reflector)_\w+/g) ?? []
    assert.ok(names.length > 0, alert)
    for (const name of names) assert.ok(exported.has(name), `${alert} asks for ${name}, which nobody exports`)
    assert.ok(annotations.summary && annotations.description && annotations.runbook, alert)
    const labels = names.map(name => new Set(exported.get(name)))
    for (const [, label = ''] of Object.values(annotations)
      .join('\n')
      .matchAll(/\$labels\.(\w+)/g))
      for (const each of labels)
        assert.ok(each.has(label), `${alert} says ${label}, which is no label of ${names.join(', ')}`)
  }
})

test('docs/metrics.md lists every metric with its type and labels, and no others', async () => {
  const { families, text } = await everything()
  for (const { name } of BackupMetrics.families)
    assert.match(text, new RegExp(`^${name}[{ _]`, 'm'), `${name} is exported`)
  const metrics = families.map(({ name, type, labels }) => [name, type, labels.toSorted().join(', ')].join(' | '))
  const page = await readFile(join(repository, 'docs/metrics.md'), 'utf8')
  const documented = [...page.matchAll(/^\| `(\w+)` \| (\w+) \|([^|]*)\| \S[^|]*\|$/gm)].map(
    ([, name, type, labels = '']) =>
      [name, type, labels.replaceAll(/[` ]/g, '').split(',').sort().join(', ')].join(' | '),
  )
  assert.deepEqual(documented.toSorted(), metrics.toSorted())
})
