// What can go wrong with a command, on a real cluster: each with its own reason within a minute, nothing of it left in the bucket,
// and no policy beside it disturbed.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { kubectl } from '../dev/cluster-access.ts'
import type { BackupStatus } from '../src/api/kinds/backup.ts'
import type { KubernetesObject } from '../src/api/kubernetes.ts'
import * as resources from '../src/controllers/shared/resources.ts'
import { listed } from '../test/runner/long-list.ts'
import { cluster, waitFor } from './cluster.ts'
import { installMinio, installOperator } from './install.ts'
import { api, put } from './objects.ts'
import { program } from './program.ts'
import { jobPolicy, operatorLogs, postgres, run, secret, shell, storeNamespace } from './stack.ts'
import { assertNothingIsLeft, openStore } from './store.ts'

const canary = 'canary-9f31c7'

type Failure = {
  readonly name: string
  readonly what: string
  readonly job: Readonly<Record<string, unknown>>
  readonly spec?: Readonly<Record<string, unknown>>
  readonly reason: string
  readonly message: RegExp
  readonly exitCode?: number | 'depends'
  /** How many are made; `backoffLimit` (2, where `spec` says nothing else) allows more. */
  readonly attempts?: number
  /** The last line of what the command said on its standard error. */
  readonly lastWords?: RegExp
}

/**
 * Commands that start, and end without a backup. Of those marked `long` most are told without a cluster too (test/mover/source-faults.test.ts);
 * the others are told in much the same way by one that is not marked: want of memory, and PostgreSQL's own last words.
 */
const failures = listed<Failure>([
  {
    name: 'exits',
    what: 'exits with 3 after 9 bytes, and is tried again (F68)',
    job: shell(
      `printf 123456789; echo "PGPASSWORD=${canary}" >&2; echo "cannot reach postgres://shop:${canary}@db/shop" >&2; exit 3`,
    ),
    spec: { backoffLimit: 1 },
    reason: 'SourceExit',
    message: /status 3 after 9 bytes/,
    exitCode: 3,
    attempts: 2,
  },
  {
    name: 'killed',
    long: true,
    what: 'is killed',
    job: shell('echo beginning; kill -KILL $$$$'),
    spec: { backoffLimit: 0 },
    reason: 'SourceSignalled',
    message: /killed by signal 9 after 10 bytes/,
    exitCode: 137,
    attempts: 1,
  },
  {
    name: 'memory',
    long: true,
    what: 'needs more memory than its limit',
    job: { ...shell('echo beginning; tail /dev/zero'), resources: { limits: { memory: '32Mi' } } },
    // Where the kernel kills the whole container (cgroup v2), nobody tells a status; where it kills one process (v1), its parent tells 137.
    spec: { backoffLimit: 0 },
    reason: 'OOMKilled',
    message: /raise strategy\.job\.resources\.limits\.memory/,
    exitCode: 'depends',
  },
  {
    name: 'pipe-memory',
    what: 'needs more memory than its limit in the first half of a pipe, whose status is that of the second (F54)',
    job: { ...shell('{ echo beginning; tail /dev/zero; } | cat'), resources: { limits: { memory: '32Mi' } } },
    spec: { backoffLimit: 0 },
    reason: 'OOMKilled',
    message: /raise strategy\.job\.resources\.limits\.memory/,
    exitCode: 'depends',
  },
  {
    name: 'silent',
    what: 'writes nothing and exits with 0',
    job: shell('true'),
    spec: { backoffLimit: 1 },
    reason: 'EmptyOutput',
    message: /status 0, but wrote nothing/,
    attempts: 2,
  },
  {
    name: 'pipe',
    long: true,
    what: 'fails in the first half of a pipe (F56)',
    job: shell('pg_dump nosuch | gzip'),
    spec: { backoffLimit: 0 },
    reason: 'EmptyOutput',
    message: /set -o pipefail.*its 20 bytes are a gzip stream of nothing/,
    attempts: 1,
  },
  {
    name: 'typo',
    what: 'does not exist in the image',
    job: { args: ['pg_dmup', 'shop'] },
    reason: 'CommandNotFound',
    message: /was not found in the image \(status 127\)/,
    exitCode: 127,
    attempts: 1,
  },
  {
    name: 'hangs',
    what: 'hangs until activeDeadlineSeconds',
    job: shell('echo beginning; sleep 86400'),
    spec: { activeDeadlineSeconds: 30, backoffLimit: 0 },
    reason: 'DeadlineExceeded',
    message: /within activeDeadlineSeconds \(30 s\)/,
  },
  {
    name: 'unexplained',
    long: true,
    what: 'dies together with the one that would tell its status, and is tried again',
    job: shell('echo beginning; kill -KILL $PPID'),
    spec: { backoffLimit: 1 },
    reason: 'SourceKilled',
    message: /died after 10 bytes without giving a status/,
    attempts: 2,
  },
  // What PostgreSQL's own client says. `sh -x` shows the command line, as people's scripts do.
  {
    name: 'password',
    spec: { backoffLimit: 0 },
    what: 'has a wrong password (F05)',
    job: { args: ['sh', '-xc', `PGPASSWORD=${canary} pg_dump --host=postgres --username=postgres shop`] },
    reason: 'SourceExit',
    message: /status 1 after 0 bytes/,
    exitCode: 1,
    attempts: 1,
    lastWords:
      /^pg_dump: error: connection to server at "postgres" .*password authentication failed for user "postgres"$/,
  },
  {
    name: 'host',
    long: true,
    spec: { backoffLimit: 0 },
    what: 'looks for a host that does not exist (F05)',
    job: { args: ['pg_dump', `postgres://shop:${canary}@no-such-database/shop`] },
    reason: 'SourceExit',
    message: /status 1 after 0 bytes/,
    exitCode: 1,
    attempts: 1,
    lastWords: /^pg_dump: error: could not translate host name "no-such-database" to address: /,
  },
  {
    name: 'version',
    long: true,
    spec: { backoffLimit: 0 },
    what: 'is older than its server (F05)',
    job: { args: ['pg_dump', '--host=newer-postgres', '--username=postgres', 'shop'] },
    reason: 'SourceExit',
    message: /status 1 after 0 bytes/,
    exitCode: 1,
    attempts: 1,
    lastWords: /^pg_dump: (error|detail): .*server version: 99\.0; pg_dump version: \d+/,
  },
])

test('commands that fail', { concurrency: 8 }, async t => {
  await Promise.all([installOperator(), installMinio()])
  const store = await openStore()
  t.after(() => store.close())
  const namespace = 'e2e-failing'
  await Promise.all([store.removeAll(namespace), storeNamespace(t, namespace)])
  await put(secret(namespace, 'postgres-credentials', { password: 'right' }), ...postgres(namespace))
  await put(...program(namespace, 'newer-postgres', { file: 'e2e/newer-postgres.ts', port: 5432 }))
  for (const pod of ['postgres', 'newer-postgres']) await waitFor(namespace, `pod/${pod}`, 'condition=Ready')

  const beside = [
    t.test('a policy beside them is not disturbed', async () => {
      await put(jobPolicy(namespace, 'sound', shell('echo data')))
      assert.equal((await run(namespace, 'sound')).phase, 'Completed')
    }),
  ]

  const again = t.test('F68: a command that fails once, for seconds, is tried again: Completed', async () => {
    const env = [{ name: 'PGPASSWORD', value: 'right' }]
    // It fails where the table is not there yet.
    const first = `psql --host=postgres --username=postgres shop -c 'create table tried ()' >&2 && exit 1`
    const command = shell(`${first}; pg_dump --host=postgres --username=postgres -Fc -Z0 shop`)
    await put(jobPolicy(namespace, 'again', { ...command, env }, { backoffLimit: 2 }))
    const status = await run(namespace, 'again')
    assert.deepEqual([status.phase, status.attempts], ['Completed', 2], JSON.stringify(status))
  })

  const failing = failures.map(failure => {
    const { name, what, job, spec, reason, message, exitCode, attempts, lastWords } = failure
    return t.test(`a command that ${what}: ${reason}`, async () => {
      await put(jobPolicy(namespace, name, job, { backoffLimit: 2, ...spec }))
      const status = await run(namespace, name)
      assert.equal(status.phase, 'Failed')
      assert.equal(status.reason, reason)
      assert.match(status.message ?? '', message)
      if (exitCode !== 'depends') assert.equal(status.exitCode, exitCode)
      if (attempts !== undefined) assert.equal(status.attempts, attempts)
      if (lastWords) assert.match(status.stderr?.trimEnd().split('\n').at(-1) ?? '', lastWords)
      await assertNothingIsLeft(store, namespace, name, status)
      await assertNoSecretIsShown(namespace, name, status)
      if (name === 'exits') assert.match(status.stderr ?? '', /cannot reach postgres:\/\/shop:\S+@db\/shop/)
      if (name === 'exits' || name === 'password') assert.match(status.stderr ?? '', /PGPASSWORD=\[redacted\]/)
    })
  })

  await Promise.all([...beside, again, ...failing])
})

/** What a command says on its standard error is kept, without what looks like a secret, and goes nowhere else. */
async function assertNoSecretIsShown(namespace: string, name: string, { stderr = '' }: BackupStatus) {
  const { items: events } = await api.list<KubernetesObject>(resources.events, { namespace })
  const objects = await kubectl(cluster, [
    '-n',
    namespace,
    'get',
    `backup/${name}`,
    `backuppolicy/${name}`,
    '-o',
    'json',
  ])
  const status = (JSON.parse(objects) as { readonly items: readonly { readonly status?: object }[] }).items
  const log = await operatorLogs()
  assert.match(log, new RegExp(`"backup":"${name}"`))
  for (const text of [stderr, JSON.stringify(events), JSON.stringify(status.map(each => each.status)), log])
    assert.ok(!text.includes(canary), 'a password of the standard error is shown somewhere')
}
