// The CRDs on a real API server: what they refuse and how they say so, what they accept and make of it, and how they look in kubectl.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { parse } from 'yaml'
import { CommandError } from '../../../dev/command.ts'
import { eventually } from '../../../dev/eventually.ts'
import { repository } from '../../../dev/paths.ts'
import { customResourceDefinition, kinds } from '../../../src/api/schema/crd.ts'
import { answer } from '../control-plane/account.ts'
import { startControlPlane, type ControlPlane } from '../control-plane/control-plane.ts'
import { backup, policy, refusals, restore, type Refusal } from './crd-rules.ts'

type Json = { [key: string]: unknown }

const sampleFile = join(repository, 'examples/sample-backuppolicy.yaml')
const jobExample = await readExample('job-postgres.yaml')
const aBackup = {
  apiVersion: 'backup.dev/v1alpha1',
  kind: backup,
  metadata: { name: 'now' },
  spec: { policy: 'sample' },
}
const aRestore = {
  apiVersion: 'backup.dev/v1alpha1',
  kind: restore,
  metadata: { name: 'back' },
  spec: {
    source: { policy: { name: 'sample' } },
    into: { args: ['pg_restore', '--exit-on-error', '-d', 'shop'] },
  },
}
const valid: Readonly<Record<Refusal['kind'], Json>> = { [policy]: jobExample, [backup]: aBackup, [restore]: aRestore }

let plane: ControlPlane
before(async () => {
  plane = await startControlPlane()
  for (const kind of kinds)
    await plane.kubectl(['create', '-f', '-'], { input: JSON.stringify(customResourceDefinition(kind)) })
  const names = kinds.map(({ plural }) => `crd/${plural}.backup.dev`)
  await plane.kubectl(['wait', '--for=condition=Established', '--timeout=30s', ...names])
  for (const object of [aBackup, aRestore])
    await plane.kubectl(['create', '-f', '-'], { input: JSON.stringify(object) })
})
after(() => plane.stop())

/** Every CEL rule of a schema: `<field> #<n>` → its message. */
function rulesOf(schema: Json, field = ''): ReadonlyMap<string, string> {
  const found = new Map<string, string>()
  const rules = (schema['x-kubernetes-validations'] ?? []) as readonly { readonly message: string }[]
  for (const [index, { message }] of rules.entries()) found.set(`${field} #${index}`, message)
  const children = Object.entries((schema.properties ?? {}) as Json).map(
    ([name, child]) => [field ? `${field}.${name}` : name, child] as const,
  )
  if (schema.items) children.push([`${field}[]`, schema.items])
  if (typeof schema.additionalProperties === 'object') children.push([`${field}{}`, schema.additionalProperties])
  for (const [name, child] of children) for (const entry of rulesOf(child as Json, name)) found.set(...entry)
  return found
}

const rules: ReadonlyMap<string, string> = new Map(
  kinds.flatMap(kind => {
    const schema = customResourceDefinition(kind).spec.versions[0]?.schema.openAPIV3Schema
    return [...rulesOf(schema as unknown as Json)].map(([at, message]) => [`${kind.kind} ${at}`, message] as const)
  }),
)
const keyOf = ({ kind, field, rule = 0 }: Refusal) => `${kind} ${field} #${rule}`

test('every rule of the schemas has its row in the table, and every row its rule', () => {
  assert.deepEqual(refusals.map(keyOf).toSorted(), [...rules.keys()].toSorted())
})

for (const row of refusals)
  test(`${keyOf(row)} refuses ${JSON.stringify(row.change)} with its own message and nothing else`, async () => {
    const object = changed(valid[row.kind], row.change)
    const verb = rules.get(keyOf(row))?.includes('cannot be changed') ? 'replace' : 'create'
    const said = await refusal([verb, '--dry-run=server', '-f', '-'], object)
    const { name } = object.metadata as { name: string }
    const field = row.field.replaceAll('[]', '[0]').replaceAll('{}', '[app]')
    const head = `The ${row.kind} "${name}" is invalid: ${field}: Invalid value: `
    assert.ok(said.startsWith(head), said)
    assert.ok(said.endsWith(`: ${rules.get(keyOf(row))}\n`), said)
    assert.equal(said.trim().split('\n').length, 1, said)
  })

const job = 'spec.strategy.job'

/** The rows of the bad-input table (docs/design.md, section 4) that are refused at admission, with the words that say what to do. */
const badInput: readonly (readonly [input: string, change: Json, advice: RegExp])[] = [
  ['an invalid cron', { 'spec.schedule': 'every night' }, /for example '0 2 \* \* \*' \(every day at 02:00\)/],
  [
    'a six-field cron',
    { 'spec.schedule': '0 0 2 * * *' },
    /write five fields, minute hour day-of-month month day-of-week/,
  ],
  ['@every', { 'spec.schedule': '@every 1h' }, /@every, L, W and # are not known/],
  ['a night of two days', { 'spec.schedule': '0 22-4 * * *' }, /for example 22-23,0-4 for the hours 22-4/],
  [
    'a span of H that runs backward',
    { 'spec.schedule': 'H(40-10) 2 * * *' },
    /from the smaller value to the larger one/,
  ],
  [
    'months over the end of the year',
    { 'spec.schedule': '0 2 1 nov-feb *' },
    /write one that goes over the end as two/,
  ],
  [
    'F91: a day by name to a smaller number',
    { 'spec.schedule': '0 0 * * fri-1' },
    /write one that goes over the end as two/,
  ],
  ['F91: a number to an earlier month by name', { 'spec.schedule': '0 0 1 11-feb *' }, /over the end as two/],
  ['Sunday as 7', { 'spec.schedule': '0 2 * * 7' }, /Sunday is 0, not 7/],
  ['a time zone in the schedule', { 'spec.schedule': 'TZ=UTC 0 2 * * *' }, /a time zone goes into timeZone/],
  ['an unknown time zone', { 'spec.timeZone': 'CEST' }, /IANA time zone, for example Europe\/Berlin/],
  ['the zone of the API server', { 'spec.timeZone': 'Local' }, /IANA time zone/],
  ['an empty time zone', { 'spec.timeZone': '' }, /IANA time zone/],
  ['F91: a UTC offset as a zone', { 'spec.timeZone': '+02:00' }, /for a fixed offset such as \+02:00 write Etc\/GMT-2/],
  ['F91: a UTC offset in words', { 'spec.timeZone': 'UTC+2' }, /for a fixed offset such as \+02:00 write Etc\/GMT-2/],
  ['F91: 31 February', { 'spec.schedule': '0 2 31 feb *' }, /never fire; write a day that they have, for example 28/],
  ['F91: 30 and 31 of February', { 'spec.schedule': '0 2 30-31 2 ?' }, /none of these months has such a day/],
  ['F91: 31 of short months', { 'spec.schedule': '0 2 31 4,JUN,9,11 */1' }, /none of these months has such a day/],
  ['retention 0', { 'spec.retention': 0 }, /would delete every backup; to stop making backups set suspend: true/],
  ['a negative retention', { 'spec.retention': -3 }, /retention must be at least 1/],
  [
    'no retention at all',
    { 'spec.retention': undefined },
    // The second line is the API server's: it tries no CEL rule on an object that lacks a field.
    /^The BackupPolicy "postgres-dump" is invalid: \n\* spec.retention: Required value\n\* <nil>: Invalid value: null: some validation rules were not checked because .*\n$/,
  ],
  ['the block of another strategy', { 'spec.strategy.type': 'snapshot' }, /set type: job or remove the block/],
  [
    'an empty selector',
    { 'spec.selector': { matchLabels: {} } },
    /name at least one label, for example matchLabels: \{app: postgres\}/,
  ],
  ['a bucket with a path', { 'spec.backend.bucket': 'backups/shop' }, /a path goes into prefix/],
  [
    'an endpoint without a scheme',
    { 'spec.backend.endpoint': 'minio:9000' },
    /endpoint must be http:\/\/host\[:port\]/,
  ],
  [
    'an endpoint with a path',
    { 'spec.backend.endpoint': 'http://minio:9000/backups' },
    /without credentials, path or query/,
  ],
  ['a prefix that climbs', { 'spec.backend.prefix': 'a/../b' }, /without \. or \.\. segments/],
  [
    'options without a program',
    { 'spec.strategy.job.args': ['--all'] },
    /write the program first, for example args: \[pg_dump/,
  ],
  [
    'F98: a whole line as the program',
    { 'spec.strategy.job.args': ['pg_dump -Fc shop'] },
    /the program alone, without blanks.* write one word an item, for example args: \[pg_dump, -Fc, -Z0, shop\]; for a line with pipes/,
  ],
  [
    'F98: a line for a shell as the program',
    { 'spec.strategy.job.command': ['pg_dump shop | gzip'] },
    /for a line with pipes and variables write command: \[bash, -o, pipefail, -c, "…"\]/,
  ],
  [
    'F73: a blank in a label',
    { 'spec.selector': { matchLabels: { 'my app': 'a' } } },
    /for example app\.kubernetes\.io\/name/,
  ],
  [
    'F73: a label that ends in a dash',
    { 'spec.selector': { matchLabels: { app: 'postgres-' } } },
    /has a letter or digit at both ends/,
  ],
  [
    'F73: a request above its limit',
    { [`${job}.resources`]: { requests: { memory: '1Gi' }, limits: { memory: '512Mi' } } },
    /requests\.memory must not be more than limits\.memory: raise the limit, or lower the request/,
  ],
  [
    'F73: a prefix that starts with a digit',
    { [`${job}.envFrom`]: [{ prefix: '1_', secretRef: { name: 'a' } }] },
    /does not start with a digit, for example DB_/,
  ],
  [
    'F73: a key with a blank',
    { [`${job}.env`]: [{ name: 'A', valueFrom: { secretKeyRef: { name: 'a', key: 'the key' } } }] },
    /a key of a Secret or ConfigMap holds letters, digits and -\._ only, without blanks/,
  ],
  ['F73: an image with a blank', { [`${job}.image`]: ' postgres:17' }, /without blanks, for example postgres:17/],
  ['F73: an image in capitals', { [`${job}.image`]: 'Postgres:17' }, /its name in lower case/],
  [
    'a preset with a command',
    { [`${job}.preset`]: 'postgres' },
    /brings its own commands: remove command, args and restore, or remove preset/,
  ],
  [
    'a whole URL as host',
    {
      [`${job}.preset`]: 'postgres',
      [`${job}.args`]: undefined,
      [`${job}.connection`]: { host: 'postgres://db/shop' },
    },
    /the name or the address of the server alone, for example db\.example\.com/,
  ],
  ...['/', '/.backup', '/.backup/x', '/tmp', '/tmp/x', '/a/../.backup', '/a/', 'a', '/a//b', '/a:b'].map(
    path =>
      [
        `a volume at ${path}`,
        { [`${job}.volumes`]: [{ name: 'a', mountPath: path, secret: { name: 'a' } }] },
        /for example( in)? \/certificates/,
      ] as const,
  ),
  ['an empty command line', { 'spec.strategy.job.args': [] }, /strategy.job needs the program to run/],
]
for (const [input, change, advice] of badInput)
  test(`${input} is refused, and the message says what to write`, async () => {
    assert.match(await refusal(['create', '--dry-run=server', '-f', '-'], changed(jobExample, change)), advice)
  })

/** What the structural schema refuses, in the API server's own words: types, lengths, and what nobody would get wrong by hand. */
const structural: readonly (readonly [input: string, change: Json, said: RegExp])[] = [
  ['a policy without a schedule', { 'spec.schedule': undefined }, /spec\.schedule: Required value/],
  [
    'a schedule that is too long',
    { 'spec.schedule': '0,'.repeat(60) },
    /spec\.schedule: Too long: may not be more than 100 bytes/,
  ],
  [
    'retention in words',
    { 'spec.retention': 'two' },
    /spec\.retention: Invalid value: "string": .* must be of type integer/,
  ],
  [
    'an unknown pull policy',
    { [`${job}.imagePullPolicy`]: 'Sometimes' },
    /Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never"/,
  ],
  [
    'an unknown operator',
    { 'spec.selector': { matchExpressions: [{ key: 'app', operator: 'Like', values: ['a'] }] } },
    /Unsupported value: "Like": supported values: "In", "NotIn", "Exists", "DoesNotExist"/,
  ],
  [
    'too many arguments',
    { [`${job}.args`]: Array.from({ length: 300 }, () => 'a') },
    /args: Too many: 300: must have at most 256 items/,
  ],
]
for (const [input, change, said] of structural)
  test(`${input}: refused at its field`, async () => {
    assert.match(await refusal(['create', '--dry-run=server', '-f', '-'], changed(jobExample, change)), said)
  })

test('every string, list and map that a person writes is bounded', () => {
  const unbounded = kinds.flatMap(kind => {
    const schema = customResourceDefinition(kind).spec.versions[0]?.schema.openAPIV3Schema
    return unboundedIn(schema?.properties.spec ?? {}, `${kind.kind}.spec`)
  })
  assert.deepEqual(unbounded, [])
})

function unboundedIn(schema: Json, field: string): readonly string[] {
  const bound = { string: 'maxLength', array: 'maxItems', object: 'maxProperties' }[String(schema['type'])]
  const rules = (schema['x-kubernetes-validations'] ?? []) as readonly { readonly rule: string }[]
  // An object with named fields is bounded by them, and an enumeration by its values.
  const listed = schema.enum !== undefined || rules.some(({ rule }) => /^self (in|==) /.test(rule))
  const free = bound !== undefined && schema[bound] === undefined && !schema.properties && !listed
  const children: (readonly [string, unknown])[] = Object.entries((schema.properties ?? {}) as Json).map(
    ([name, child]) => [`${field}.${name}`, child],
  )
  if (schema.items) children.push([`${field}[]`, schema.items])
  if (typeof schema.additionalProperties === 'object') children.push([`${field}{}`, schema.additionalProperties])
  return [...(free ? [field] : []), ...children.flatMap(([name, child]) => unboundedIn(child as Json, name))]
}

test('ranges that run forward are accepted, with names in any case', async () => {
  for (const schedule of [
    '0 8-18 1-31 JAN-dec mon-Fri',
    '0 2 1 feb-10 1-FRI',
    'H(0-29)/10 00-23 * * 0-6',
    '5-5 2 * * *',
  ])
    await plane.kubectl(['create', '--dry-run=server', '-f', '-'], {
      input: JSON.stringify(changed(jobExample, { 'spec.schedule': schedule })),
    })
})

/** What looks like the refused things above and is right. */
const good: readonly (readonly [input: string, change: Json])[] = [
  ['31 of February or any Monday', { 'spec.schedule': '0 2 31 2 1' }],
  ['31 of months of which one has it', { 'spec.schedule': '0 2 31 2,3 *' }],
  ['29 February', { 'spec.schedule': '0 2 29 2 *' }],
  ['zones with a fixed offset', { 'spec.timeZone': 'Etc/GMT-2' }],
  [
    'labels with a domain, in capitals, and without a value',
    { 'spec.selector': { matchLabels: { 'app.kubernetes.io/name': 'Postgres_15.2', App: '' } } },
  ],
  [
    'requests that are equal to the limit in another spelling',
    { [`${job}.resources`]: { requests: { cpu: 1, memory: '1Gi' }, limits: { cpu: '1000m', memory: '1024Mi' } } },
  ],
  ['a preset and nothing else', { [job]: { preset: 'postgres' } }],
  ['a preset with an image of its own', { [job]: { preset: 'mariadb', image: 'mariadb:11' } }],
  [
    'a preset for a database outside of the cluster, with a client certificate and a password file',
    {
      [job]: {
        preset: 'mysql',
        image: 'mysql:8.4',
        allowNonTransactional: true,
        databases: ['it\'s = "one"', 'shop'],
        volumes: [
          { name: 'secrets', mountPath: '/tmpl/secrets', secret: { name: 'a', items: [{ key: 'a', path: 'b/c' }] } },
          { name: 'authorities', mountPath: '/etc/ssl/own', configMap: { name: 'b' }, optional: true },
        ],
        connection: {
          host: 'db-1.example.com',
          port: 3307,
          userFrom: { configMapKeyRef: { name: 'b', key: 'user' } },
          passwordFile: { volume: 'secrets', path: 'b/c' },
          tls: { mode: 'verify-full', secretName: 'client-certificate' },
        },
      },
    },
  ],
  ...['postgres', 'db_1.shop.svc.cluster.local.', '10.0.0.7', 'fd00::7'].map(
    host => [`the host ${host}`, { [job]: { preset: 'postgres', connection: { host } } }] as const,
  ),
  [
    'a command with the command that restores what it wrote',
    { [`${job}.restore`]: { command: ['pg_restore'], args: ['-d', 'shop'] }, [`${job}.compression`]: 'none' },
  ],
  ['requests without a limit', { [`${job}.resources`]: { requests: { memory: '1Gi' }, limits: { cpu: 1 } } }],
  ['a blank in a later word', { [`${job}.args`]: ['bash', '-c', 'pg_dump shop'] }],
  ['a program by its path', { [`${job}.command`]: ['/usr/lib/postgresql/17/bin/pg_dump'] }],
  ['an empty prefix of variables', { [`${job}.envFrom`]: [{ prefix: '', secretRef: { name: 'a' } }] }],
  [
    'keys as files have them',
    { [`${job}.env`]: [{ name: 'A', valueFrom: { secretKeyRef: { name: 'a', key: '.my-key_1' } } }] },
  ],
  ...[
    'postgres',
    'registry.example.com:5000/team/postgres:17.2-alpine',
    'localhost/x__y/z.w-a:A_tag.1',
    '[fd00::1]:5000/postgres',
    `docker.io/library/postgres:17@sha256:${'0123456789abcdef'.repeat(4)}`,
    `postgres@sha256:${'0123456789abcdef'.repeat(4)}`,
  ].map(image => [`the image ${image}`, { [`${job}.image`]: image }] as const),
]
for (const [input, change] of good)
  test(`${input}: accepted`, async () => {
    const object = JSON.stringify(changed(jobExample, change))
    await plane.kubectl(['create', '--dry-run=server', '-f', '-'], { input: object })
  })

test('an unknown field is refused by kubectl, by its path', async () => {
  const said = await refusal(['create', '-f', '-'], changed(jobExample, { 'spec.strategy.job.privileged': true }))
  assert.match(said, /strict decoding error: unknown field "spec.strategy.job.privileged"/)
})

test('the sample is accepted unmodified, and every default stands in the stored object', async () => {
  await plane.kubectl(['apply', '-f', sampleFile])
  const stored = JSON.parse(await plane.kubectl(['get', 'bp', 'sample', '-o', 'json'])) as { spec: Json }
  const written = await readExample('sample-backuppolicy.yaml')
  const spec = written.spec as { backend: Json }
  assert.deepEqual(stored.spec, {
    ...spec,
    timeZone: 'Etc/UTC',
    suspend: false,
    startingDeadlineSeconds: 3600,
    activeDeadlineSeconds: 21600,
    backoffLimit: 2,
    whenBusy: 'Wait',
    backend: { ...spec.backend, region: 'us-east-1' },
  })
})

test('applying a policy again changes nothing, and a diff with what is stored is empty', async () => {
  for (const file of [sampleFile, join(repository, 'examples/job-postgres.yaml')]) {
    await plane.kubectl(['apply', '-f', file])
    assert.match(await plane.kubectl(['apply', '-f', file]), / unchanged$/m)
    assert.equal(await plane.kubectl(['diff', '-f', file]), '')
    // As GitOps tools do it.
    const serverSide = ['apply', '--server-side', '--force-conflicts', '--field-manager=gitops', '-f', file]
    await plane.kubectl(serverSide)
    assert.equal(await plane.kubectl(['diff', '--server-side', '--field-manager=gitops', '-f', file]), '')
  }
})

test('F73: a policy from before a rule keeps its status and may change in everything else', async () => {
  const [kind] = kinds
  const crd = customResourceDefinition(kind)
  const without = JSON.parse(
    JSON.stringify(crd, (key, value: unknown) => (key === 'x-kubernetes-validations' ? undefined : value)),
  )
  const change = { [`${job}.args`]: ['pg_dump -Fc shop'], 'spec.selector': { matchLabels: { 'my app': 'postgres' } } }
  const old = { ...changed(jobExample, change), metadata: { name: 'from-before' } }
  await plane.kubectl(['replace', '-f', '-'], { input: JSON.stringify(without) })
  await eventually(
    'the rules to be gone',
    async () => await plane.kubectl(['create', '-f', '-'], { input: JSON.stringify(old) }),
    {
      seconds: 30,
    },
  )
  await plane.kubectl(['replace', '-f', '-'], { input: JSON.stringify(crd) })
  const patch = ['patch', 'bp', 'from-before', '--type=merge', '-p']
  const wrong = JSON.stringify({ spec: { strategy: { job: { args: ['pg_dump shop'] } } } })
  await eventually(
    'the rules to be back',
    async () =>
      /the program alone, without blanks/.test(await answer(plane.kubectl, [...patch, wrong, '--dry-run=server'])),
    { seconds: 30 },
  )
  await setStatus('bp/from-before', { observedGeneration: 1, kept: 3 })
  await plane.kubectl([...patch, JSON.stringify({ spec: { retention: 3 } })])
  await plane.kubectl([...patch, JSON.stringify({ spec: { strategy: { job: { args: ['pg_dump', 'shop'] } } } })])
})

test('kubectl wait follows the condition Ready', async () => {
  const condition = {
    type: 'Ready',
    status: 'True',
    reason: 'Ready',
    message: 'the next run can start',
    lastTransitionTime: '2026-01-01T00:00:00Z',
  }
  await plane.kubectl(['apply', '-f', sampleFile])
  const status = JSON.stringify({
    status: { conditions: [condition], nextRun: '2026-01-02T02:00:00Z', lastSuccess: '2026-01-01T02:00:09Z' },
  })
  await plane.kubectl(['patch', 'bp', 'sample', '--subresource=status', '--type=merge', '-p', status])
  await plane.kubectl(['wait', 'bp/sample', '--for=condition=Ready', '--timeout=5s'])
})

test('F88: kubectl get bp tells the worst thing that matters, when the last run was, and how much is kept', async () => {
  await plane.kubectl(['apply', '-f', sampleFile])
  const ready = {
    type: 'Ready',
    status: 'True',
    reason: 'Ready',
    message: 'the next run can start',
    lastTransitionTime: '2026-01-01T00:00:00Z',
  }
  await setStatus('bp/sample', {
    conditions: [ready],
    state: 'Failed',
    lastRun: '2026-01-02T02:00:00Z',
    lastSuccess: '2026-01-01T02:00:09Z',
    nextRun: '2026-01-03T02:00:00Z',
    kept: 7,
    size: '1.2 GiB',
  })
  const rows = await columns('bp', 'sample')
  assert.equal(
    Object.keys(rows).join(', '),
    'NAME, SCHEDULE, STRATEGY, LAST RUN, LAST SUCCESS, NEXT RUN, READY, STATUS, AGE',
  )
  const { READY, STATUS, 'NEXT RUN': nextRun, 'LAST RUN': lastRun } = rows
  assert.deepEqual({ READY, STATUS, nextRun }, { READY: 'True', STATUS: 'Failed', nextRun: '2026-01-03T02:00:00Z' })
  assert.match(lastRun ?? '', /^\d+[dhm]/)
  const { KEPT, SIZE, SUSPENDED } = await columns('bp', 'sample', '-o', 'wide')
  assert.deepEqual({ KEPT, SIZE, SUSPENDED }, { KEPT: '7', SIZE: '1.2 GiB', SUSPENDED: 'false' })
})

test('F97: kubectl get bk tells the time of the data, and stored bytes and volumes apart, and sorts by that time', async () => {
  const done = { phase: 'Completed', reason: 'Completed', duration: '9s' }
  await setStatus('bk/now', { ...done, target: 'command', takenTime: '2026-01-02T02:00:00Z', size: '12.3 MiB' })
  const others = [
    [
      'a-snapshot',
      { ...done, target: 'data', takenTime: '2026-01-03T02:00:00Z', snapshot: { name: 'a', restoreSize: '8Gi' } },
    ],
    // It came back from the bucket: it is younger than the others, its data are older, and nobody knows how long it took.
    ['returned', { phase: 'Completed', reason: 'Completed', target: 'command', takenTime: '2025-12-24T02:00:00Z' }],
  ] as const
  for (const [name, status] of others) {
    await plane.kubectl(['create', '-f', '-'], { input: JSON.stringify({ ...aBackup, metadata: { name } }) })
    await setStatus(`bk/${name}`, status)
  }
  const { TAKEN, STORED, VOLUME, DURATION, ...rest } = await columns('bk', 'now')
  assert.deepEqual(Object.keys(rest), ['NAME', 'POLICY', 'TARGET', 'PHASE', 'REASON'])
  assert.deepEqual([TAKEN, STORED, VOLUME, DURATION], ['2026-01-02T02:00:00Z', '12.3 MiB', '', '9s'])
  const snapshot = await columns('bk', 'a-snapshot')
  assert.deepEqual([snapshot.STORED, snapshot.VOLUME], ['', '8Gi'])
  assert.equal((await columns('bk', 'returned')).DURATION, '')
  const sorted = await plane.kubectl(['get', 'bk', '--sort-by=.status.takenTime', '-o', 'name'])
  assert.deepEqual(
    sorted.trim().split('\n'),
    ['returned', 'now', 'a-snapshot'].map(name => `backup.backup.dev/${name}`),
  )
  assert.match(await plane.kubectl(['get', 'backup', '-o', 'name']), /^backup.backup.dev\/now$/m)
})

test('kubectl get rst answers whether it is back, from when, and if not, why', async () => {
  const chosen = { run: 'backup-sample-1', target: 'command', slot: '2026-01-02T02:00:00Z', store: 'x' }
  const counted = { ...chosen, artifacts: 1, storedBytes: 10 }
  const progress = { bytes: 50, totalBytes: 100, percent: 50 }
  const done = { phase: 'Completed', reason: 'Completed', duration: '9m', backup: counted, progress }
  await setStatus('rst/back', { ...done, result: { databases: ['shop_new'] } })
  const { AGE: _, ...shown } = await columns('rst', 'back')
  assert.deepEqual(shown, {
    NAME: 'back',
    PHASE: 'Completed',
    REASON: 'Completed',
    BACKUP: 'backup-sample-1',
    FROM: '2026-01-02T02:00:00Z',
    INTO: '["shop_new"]',
    DURATION: '9m',
  })
  assert.equal((await columns('rst', 'back', '-o', 'wide')).PERCENT, '50')
})

test('a Restore of five lines is accepted, and its defaults are in the stored object', async () => {
  const short = { ...aRestore, metadata: { name: 'short' }, spec: { source: aRestore.spec.source, into: {} } }
  const stored = await plane.kubectl(['create', '--dry-run=server', '-o', 'json', '-f', '-'], {
    input: JSON.stringify(short),
  })
  assert.deepEqual((JSON.parse(stored) as typeof aRestore).spec, {
    source: { policy: { name: 'sample' } },
    into: { overwrite: false, previous: 'Keep' },
    verify: false,
    activeDeadlineSeconds: 86_400,
    backoffLimit: 2,
  })
  const before = { policy: { name: 'sample', before: 'yesterday' } }
  const wrong = { ...short, spec: { ...short.spec, source: before } }
  assert.match(
    await refusal(['create', '--dry-run=server', '-f', '-'], wrong),
    /must be of type date-time: "yesterday"/,
  )
})

/** What kubectl shows of one object, by the heads of its columns. */
async function columns(kind: string, name: string, ...more: readonly string[]): Promise<Record<string, string>> {
  const [head = '', row = ''] = (await plane.kubectl(['get', kind, name, ...more])).trimEnd().split('\n')
  const starts = [...head.matchAll(/(?:^|(?<= {3}))\S/g)].map(({ index }) => index)
  const cells = (line: string) => starts.map((start, index) => line.slice(start, starts[index + 1]).trim())
  const values = cells(row)
  return Object.fromEntries(cells(head).map((name, index) => [name, values[index] ?? '']))
}

async function setStatus(object: string, status: object): Promise<void> {
  await plane.kubectl(['patch', object, '--subresource=status', '--type=merge', '-p', JSON.stringify({ status })])
}

test('kubectl explain has a text for every field', async () => {
  const job = await plane.kubectl(['explain', 'bp.spec.strategy.job'])
  assert.match(job, /^KIND: +BackupPolicy$/m)
  assert.match(job, /args\t<\[\]string>\n +The rest of the command line; the program itself when command is left out/)
  const silent: string[] = []
  for (const kind of kinds) {
    const schema = customResourceDefinition(kind).spec.versions[0]?.schema.openAPIV3Schema
    assert.ok(schema)
    for (const part of ['spec', 'status'] as const)
      silent.push(...undescribed(schema.properties[part], `${kind.kind}.${part}`))
  }
  assert.deepEqual(silent, [])
})

/** Fields without a description; items of lists are described by their list. */
function undescribed(schema: Json, field: string): readonly string[] {
  const here = schema.description || field.endsWith('[]') ? [] : [field]
  const children = Object.entries((schema.properties ?? {}) as Json).map(
    ([name, child]) => [`${field}.${name}`, child] as const,
  )
  const items = schema.items ? [[`${field}[]`, schema.items] as const] : []
  return [...here, ...[...children, ...items].flatMap(([name, child]) => undescribed(child as Json, name))]
}

async function readExample(file: string): Promise<Json> {
  return parse(await readFile(join(repository, 'examples', file), 'utf8')) as Json
}

/** A deep copy with the named fields replaced; undefined removes one. */
function changed(object: Json, changes: Readonly<Record<string, unknown>>): Json {
  const copy = structuredClone(object)
  for (const [path, value] of Object.entries(changes)) {
    const parts = path.split('.')
    const last = parts.pop() ?? ''
    const parent = parts.reduce((node, part) => (node[part] ??= {}) as Json, copy)
    if (value === undefined) delete parent[last]
    else parent[last] = value
  }
  return copy
}

async function refusal(args: readonly string[], object: object): Promise<string> {
  const accepted = await plane.kubectl(args, { input: JSON.stringify(object) }).catch((error: unknown) => {
    if (error instanceof CommandError) return error
    throw error
  })
  if (accepted instanceof CommandError) return accepted.stderr
  throw new Error(`the API server accepted ${JSON.stringify(object)}`)
}
