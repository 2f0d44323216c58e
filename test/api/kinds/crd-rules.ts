// One refused change for each CEL rule of the CRDs: what a person might write, and at which field the API server says what to write instead.

export const policy = 'BackupPolicy' as const
export const backup = 'Backup' as const
export const restore = 'Restore' as const

export type Refusal = {
  readonly kind: typeof policy | typeof backup | typeof restore
  /** The field with the rule, as in the schema: items of a list are `[]`, values of a map `{}` (that of the key app here). */
  readonly field: string
  /** Which of the field's rules, where it has several. */
  readonly rule?: number
  /** Fields of a valid object to change; undefined removes one. */
  readonly change: Readonly<Record<string, unknown>>
}

const job = 'spec.strategy.job'
const bucket = 'spec.source.bucket'
const badName = 'No_Such_Name'
const badKey = 'the password'

/** The example with a preset instead of its command. */
const preset = { [`${job}.preset`]: 'postgres', [`${job}.args`]: undefined } as const

/** A connection whose field is `value`; a certificate has its other half. */
function connectionWith(field: string, value: object) {
  const other = { secretKeyRef: { name: 'client', key: 'tls.crt' } }
  const [outer = '', inner] = field.split('.')
  if (inner === undefined) return { [outer]: value }
  const pair = inner === 'caFrom' ? {} : { certFrom: other, keyFrom: other }
  return { [outer]: { ...pair, [inner]: value } }
}

/** Every field that names another object has the same rule. */
const names: readonly Refusal[] = [
  {
    kind: policy,
    field: 'spec.backend.secretRef',
    change: { 'spec.backend.secretRef': 'other-namespace/minio-creds' },
  },
  { kind: policy, field: 'spec.backend.ca', change: { 'spec.backend.ca': badName } },
  { kind: policy, field: 'spec.backend.adopt', change: { 'spec.backend.adopt': 'two clusters' } },
  {
    kind: policy,
    field: 'spec.strategy.snapshot.volumeSnapshotClassName',
    change: { 'spec.strategy': { type: 'snapshot', snapshot: { volumeSnapshotClassName: badName } } },
  },
  {
    kind: policy,
    field: `${job}.imagePullSecrets[].name`,
    change: { [`${job}.imagePullSecrets`]: [{ name: badName }] },
  },
  {
    kind: policy,
    field: `${job}.env[].valueFrom.secretKeyRef.name`,
    change: { [`${job}.env`]: [{ name: 'A', valueFrom: { secretKeyRef: { name: badName, key: 'a' } } }] },
  },
  {
    kind: policy,
    field: `${job}.env[].valueFrom.configMapKeyRef.name`,
    change: { [`${job}.env`]: [{ name: 'A', valueFrom: { configMapKeyRef: { name: badName, key: 'a' } } }] },
  },
  {
    kind: policy,
    field: `${job}.envFrom[].secretRef.name`,
    change: { [`${job}.envFrom`]: [{ secretRef: { name: badName } }] },
  },
  {
    kind: policy,
    field: `${job}.envFrom[].configMapRef.name`,
    change: { [`${job}.envFrom`]: [{ configMapRef: { name: badName } }] },
  },
  ...(['userFrom', 'tls.caFrom'] as const).flatMap(field =>
    (['secretKeyRef', 'configMapKeyRef'] as const).map(kindOfReference => ({
      kind: policy,
      field: `${job}.connection.${field}.${kindOfReference}.name`,
      change: {
        ...preset,
        [`${job}.connection`]: connectionWith(field, { [kindOfReference]: { name: badName, key: 'a' } }),
      },
    })),
  ),
  ...(['passwordFrom', 'tls.certFrom', 'tls.keyFrom'] as const).map(field => ({
    kind: policy,
    field: `${job}.connection.${field}.secretKeyRef.name`,
    change: {
      ...preset,
      [`${job}.connection`]: connectionWith(field, { secretKeyRef: { name: badName, key: 'a' } }),
    },
  })),
  {
    kind: policy,
    field: `${job}.connection.tls.secretName`,
    change: { ...preset, [`${job}.connection`]: { tls: { secretName: badName } } },
  },
  {
    kind: policy,
    field: `${job}.volumes[].secret.name`,
    change: { [`${job}.volumes`]: [{ name: 'a', mountPath: '/a', secret: { name: badName } }] },
  },
  {
    kind: policy,
    field: `${job}.volumes[].configMap.name`,
    change: { [`${job}.volumes`]: [{ name: 'a', mountPath: '/a', configMap: { name: badName } }] },
  },
  { kind: backup, field: 'spec.policy', change: { 'spec.policy': badName } },
  { kind: backup, field: 'spec.target', change: { 'spec.target': badName } },
]

const quantities: readonly Refusal[] = ['requests', 'limits'].flatMap(list =>
  (['cpu', 'memory', 'ephemeral-storage'] as const).map((resource, index) => ({
    kind: policy,
    field: `${job}.resources.${list}.${resource}`,
    change: { [`${job}.resources`]: { [list]: { [resource]: ['-1', '256 MB', -5][index] } } },
  })),
)

const keys: readonly Refusal[] = (['secretKeyRef', 'configMapKeyRef'] as const).map(source => ({
  kind: policy,
  field: `${job}.env[].valueFrom.${source}.key`,
  change: { [`${job}.env`]: [{ name: 'A', valueFrom: { [source]: { name: 'a', key: 'my password' } } }] },
}))

const requests: readonly Refusal[] = ['cpu', 'memory', 'ephemeral-storage'].map((resource, index) => ({
  kind: policy,
  field: `${job}.resources`,
  rule: index,
  change: {
    [`${job}.resources`]: {
      requests: { [resource]: ['1500m', '1Gi', '2G'][index] },
      limits: { [resource]: [1, '1023Mi', 1e9][index] },
    },
  },
}))

const ofPoliciesAndBackups: readonly Refusal[] = [
  ...names,
  ...quantities,
  ...keys,
  ...requests,
  { kind: policy, field: 'spec', change: { 'spec.backend': undefined } },
  { kind: policy, field: 'spec.selector', change: { 'spec.selector': {} } },
  {
    kind: policy,
    field: 'spec.selector.matchExpressions[]',
    change: { 'spec.selector': { matchExpressions: [{ key: 'app', operator: 'In' }] } },
  },
  {
    kind: policy,
    field: 'spec.selector.matchLabels',
    change: { 'spec.selector': { matchLabels: { 'app name': 'postgres' } } },
  },
  {
    kind: policy,
    field: 'spec.selector.matchLabels{}',
    change: { 'spec.selector': { matchLabels: { app: 'my postgres' } } },
  },
  {
    kind: policy,
    field: 'spec.selector.matchExpressions[].key',
    change: { 'spec.selector': { matchExpressions: [{ key: 'app/', operator: 'Exists' }] } },
  },
  {
    kind: policy,
    field: 'spec.selector.matchExpressions[].values[]',
    change: { 'spec.selector': { matchExpressions: [{ key: 'app', operator: 'In', values: ['-postgres'] }] } },
  },
  { kind: policy, field: 'spec.schedule', rule: 0, change: { 'spec.schedule': '0 25 * * *' } },
  { kind: policy, field: 'spec.schedule', rule: 1, change: { 'spec.schedule': '0 22-4 * * *' } },
  { kind: policy, field: 'spec.schedule', rule: 2, change: { 'spec.schedule': '0 2 * * Fri-Mon' } },
  { kind: policy, field: 'spec.schedule', rule: 3, change: { 'spec.schedule': '0 2 31 2 *' } },
  { kind: policy, field: 'spec.timeZone', change: { 'spec.timeZone': 'Europe/Atlantis' } },
  { kind: policy, field: 'spec.startingDeadlineSeconds', change: { 'spec.startingDeadlineSeconds': 5 } },
  { kind: policy, field: 'spec.activeDeadlineSeconds', change: { 'spec.activeDeadlineSeconds': 0 } },
  { kind: policy, field: 'spec.backoffLimit', change: { 'spec.backoffLimit': -1 } },
  { kind: policy, field: 'spec.retention', rule: 0, change: { 'spec.retention': 0 } },
  { kind: policy, field: 'spec.retention', rule: 1, change: { 'spec.retention': 1001 } },
  { kind: policy, field: 'spec.backend.type', change: { 'spec.backend.type': 'gcs' } },
  { kind: policy, field: 'spec.backend.bucket', change: { 'spec.backend.bucket': 's3://backups/shop' } },
  {
    kind: policy,
    field: 'spec.backend.endpoint',
    change: { 'spec.backend.endpoint': 'https://key:secret@minio:9000' },
  },
  { kind: policy, field: 'spec.backend.prefix', change: { 'spec.backend.prefix': '/shop/' } },
  { kind: policy, field: 'spec.strategy.type', change: { 'spec.strategy': { type: 'restic' } } },
  { kind: policy, field: 'spec.strategy', rule: 0, change: { [job]: undefined } },
  { kind: policy, field: 'spec.strategy', rule: 1, change: { 'spec.strategy.type': 'snapshot' } },
  { kind: policy, field: 'spec.strategy', rule: 2, change: { 'spec.strategy.snapshot': {} } },
  {
    kind: policy,
    field: 'spec.strategy.snapshot.readyTimeoutSeconds',
    change: { 'spec.strategy': { type: 'snapshot', snapshot: { readyTimeoutSeconds: 1 } } },
  },
  {
    kind: policy,
    field: 'spec.strategy.snapshot.cutTimeoutSeconds',
    change: { 'spec.strategy': { type: 'snapshot', snapshot: { cutTimeoutSeconds: 90_000 } } },
  },
  { kind: policy, field: 'spec.onDemandRetention', change: { 'spec.onDemandRetention': 0 } },
  { kind: policy, field: 'spec.whenBusy', change: { 'spec.whenBusy': 'Replace' } },
  { kind: policy, field: job, rule: 0, change: { [`${job}.args`]: undefined } },
  { kind: policy, field: job, rule: 1, change: { [`${job}.args`]: ['-Fc', 'shop'] } },
  { kind: policy, field: job, rule: 2, change: { [`${job}.args`]: ['pg_dump -Fc shop'] } },
  { kind: policy, field: job, rule: 3, change: { [`${job}.image`]: undefined } },
  { kind: policy, field: job, rule: 4, change: { [`${job}.preset`]: 'postgres' } },
  { kind: policy, field: job, rule: 5, change: { [`${job}.databases`]: ['shop'] } },
  { kind: policy, field: job, rule: 6, change: { ...preset, [`${job}.allowNonTransactional`]: true } },
  {
    kind: policy,
    field: job,
    rule: 7,
    change: { ...preset, [`${job}.databases`]: ['shop'], [`${job}.excludeDatabases`]: ['old'] },
  },
  {
    kind: policy,
    field: job,
    rule: 8,
    change: { ...preset, [`${job}.connection`]: { passwordFile: { volume: 'secrets', path: 'password' } } },
  },
  { kind: policy, field: `${job}.preset`, change: { ...preset, [`${job}.preset`]: 'oracle' } },
  { kind: policy, field: `${job}.databases[]`, change: { ...preset, [`${job}.databases`]: ['a\nb'] } },
  { kind: policy, field: `${job}.excludeDatabases[]`, change: { ...preset, [`${job}.excludeDatabases`]: [''] } },
  { kind: policy, field: `${job}.compression`, change: { [`${job}.compression`]: 'gzip' } },
  { kind: policy, field: `${job}.restore`, rule: 0, change: { [`${job}.restore`]: {} } },
  { kind: policy, field: `${job}.restore`, rule: 1, change: { [`${job}.restore`]: { args: ['-d', 'shop'] } } },
  { kind: policy, field: `${job}.restore`, rule: 2, change: { [`${job}.restore`]: { args: ['pg_restore -d shop'] } } },
  ...connectionRules(),
  ...volumeRules(),
  { kind: policy, field: `${job}.image`, change: { [`${job}.image`]: 'postgres: 17' } },
  {
    kind: policy,
    field: `${job}.envFrom[].prefix`,
    change: { [`${job}.envFrom`]: [{ prefix: 'DB ', secretRef: { name: 'a' } }] },
  },
  {
    kind: policy,
    field: `${job}.env[]`,
    change: { [`${job}.env`]: [{ name: 'A', value: 'a', valueFrom: fieldOf('a') }] },
  },
  { kind: policy, field: `${job}.env[].name`, change: { [`${job}.env`]: [{ name: '1ST', value: 'a' }] } },
  { kind: policy, field: `${job}.env[].valueFrom`, change: { [`${job}.env`]: [{ name: 'A', valueFrom: {} }] } },
  { kind: policy, field: `${job}.envFrom[]`, change: { [`${job}.envFrom`]: [{ prefix: 'DB_' }] } },
  { kind: policy, field: `${job}.runAsUser`, change: { [`${job}.runAsUser`]: 0 } },
  { kind: policy, field: `${job}.runAsGroup`, change: { [`${job}.runAsGroup`]: -1 } },
  // Nothing of a stored Backup's spec may change.
  { kind: backup, field: 'spec', change: { 'spec.policy': 'another' } },
]

function connectionRules(): readonly Refusal[] {
  const at = `${job}.connection`
  const key = (name: string) => ({ secretKeyRef: { name: 'a', key: name } })
  const rows: readonly (readonly [field: string, rule: number, connection: object])[] = [
    ['', 0, { user: 'backup', userFrom: key('user'), passwordFrom: key('password') }],
    ['.host', 0, { host: 'db.example.com:5432' }],
    ['.port', 0, { port: 65_536 }],
    ['.user', 0, { user: '' }],
    ['.userFrom', 0, { userFrom: {} }],
    ['.userFrom.secretKeyRef.key', 0, { userFrom: key(badKey) }],
    ['.userFrom.configMapKeyRef.key', 0, { userFrom: { configMapKeyRef: { name: 'a', key: badKey } } }],
    ['.passwordFrom.secretKeyRef.key', 0, { passwordFrom: key(badKey) }],
    ['.tls', 0, { tls: { secretName: 'client', caFrom: key('ca.crt') } }],
    ['.tls', 1, { tls: { certFrom: key('tls.crt') } }],
    ['.tls', 2, { tls: { mode: 'verify-full' } }],
    ['.tls.mode', 0, { tls: { mode: 'required' } }],
    ['.tls.caFrom', 0, { tls: { caFrom: {} } }],
    ['.tls.caFrom.secretKeyRef.key', 0, { tls: { caFrom: key(badKey) } }],
    ['.tls.caFrom.configMapKeyRef.key', 0, { tls: { caFrom: { configMapKeyRef: { name: 'a', key: badKey } } } }],
    ['.tls.certFrom.secretKeyRef.key', 0, { tls: { certFrom: key(badKey), keyFrom: key('tls.key') } }],
    ['.tls.keyFrom.secretKeyRef.key', 0, { tls: { certFrom: key('tls.crt'), keyFrom: key(badKey) } }],
  ]
  const volume = { name: 'secrets', mountPath: '/secrets', secret: { name: 'a' } }
  const file = (path: string) => ({ passwordFile: { volume: 'secrets', path } })
  return [
    ...rows.map(([field, rule, connection]) => ({
      kind: policy,
      field: `${at}${field}`,
      rule,
      change: { ...preset, [at]: connection },
    })),
    {
      kind: policy,
      field: at,
      rule: 1,
      change: { ...preset, [`${job}.volumes`]: [volume], [at]: { ...file('password'), passwordFrom: key('password') } },
    },
    {
      kind: policy,
      field: `${at}.passwordFile.path`,
      change: { ...preset, [`${job}.volumes`]: [volume], [at]: file('../password') },
    },
  ]
}

function volumeRules(): readonly Refusal[] {
  const at = `${job}.volumes`
  const secret = { name: 'certificates' }
  const one = (name: string, mountPath: string, more: object = { secret }) => ({ name, mountPath, ...more })
  const itemsOf = (kind: 'secret' | 'configMap', item: object) => [
    one('a', '/a', { [kind]: { name: 'a', items: [item] } }),
  ]
  const rows: readonly (readonly [field: string, rule: number, volumes: readonly object[]])[] = [
    ['', 0, [one('a', '/certificates'), one('b', '/certificates')]],
    ['[]', 0, [one('a', '/a', {})]],
    ['[].name', 0, [one('tmp', '/a')]],
    ['[].mountPath', 0, [one('a', 'certificates')]],
    ['[].mountPath', 1, [one('a', '/tmp/a')]],
    ['[].secret.items[].key', 0, itemsOf('secret', { key: badKey, path: 'a' })],
    ['[].secret.items[].path', 0, itemsOf('secret', { key: 'a', path: '/a' })],
    ['[].configMap.items[].key', 0, itemsOf('configMap', { key: badKey, path: 'a' })],
    ['[].configMap.items[].path', 0, itemsOf('configMap', { key: 'a', path: 'a/../../b' })],
  ]
  return rows.map(([field, rule, volumes]) => ({
    kind: policy,
    field: `${at}${field}`,
    rule,
    change: { [at]: volumes },
  }))
}

/** Fields of a policy's command that a Restore has as well. */
const ofContainers = [
  'preset',
  'image',
  'imagePullSecrets',
  'command',
  'args',
  'env',
  'envFrom',
  'resources',
  'runAsUser',
]

/** What a Restore shares with a policy: the container of a command, how a database is reached, and a backend. */
const shared: readonly Refusal[] = ofPoliciesAndBackups.flatMap((row): readonly Refusal[] => {
  const { field } = row
  if (field.startsWith(`${job}.connection.`)) return inParts(row)
  if (
    [...ofContainers, 'imagePullPolicy', 'runAsGroup'].some(name => new RegExp(`^${job}[.]${name}([.[]|$)`).test(field))
  )
    return [movedTo('spec.into', job, row, {})]
  return row.field.startsWith('spec.backend.') ? [movedTo(`${bucket}.backend`, 'spec.backend', row, inBucket())] : []
})

/** @param first what else the Restore must say */
function movedTo(to: string, from: string, { field, rule, change }: Refusal, first: Refusal['change']): Refusal {
  const moved = (path: string) => path.replace(from, to)
  const changes = Object.entries(change).map(([path, value]) => [moved(path), value])
  return {
    kind: restore,
    field: moved(field),
    ...(rule === undefined ? {} : { rule }),
    change: { ...first, ...Object.fromEntries(changes) },
  }
}

/** Of a Restore the connection has two parts: where the server is, and who connects. */
function inParts({ field, rule, change }: Refusal): readonly Refusal[] {
  const path = field.slice(`${job}.connection.`.length)
  const [name = ''] = path.split('.')
  if (name === 'passwordFile') return []
  const part = ['host', 'port', 'tls'].includes(name) ? 'server' : 'credentials'
  const stated = change[`${job}.connection`] as Readonly<Record<string, unknown>>
  const user = 'userFrom' in stated ? {} : { user: 'postgres' }
  return [
    {
      kind: restore,
      field: `spec.into.${part}.${path}`,
      ...(rule === undefined ? {} : { rule }),
      change: {
        'spec.into.args': undefined,
        'spec.into.server': part === 'server' ? { host: 'db', ...stated } : { host: 'db' },
        'spec.into.credentials': part === 'credentials' ? { ...user, ...stated } : user,
      },
    },
  ]
}

/** A place in a bucket instead of the policy. */
function inBucket(more: object = {}): Refusal['change'] {
  const backend = { type: 's3', bucket: 'backups', endpoint: 'http://minio:9000', secretRef: 'minio-creds' }
  return {
    'spec.source': { bucket: { backend, namespace: 'shop', policy: 'shop', ...more } },
    'spec.into.image': 'postgres:17',
  }
}

const into = 'spec.into'
const ofPreset = { [`${into}.args`]: undefined }
const elsewhere = { [`${into}.server`]: { host: 'db' }, [`${into}.credentials`]: { user: 'postgres' } }
const twoLines = 'a\nb'

const restores: readonly Refusal[] = [
  ...shared,
  // Nothing of a stored Restore's spec may change.
  { kind: restore, field: 'spec', rule: 0, change: { 'spec.backoffLimit': 1 } },
  { kind: restore, field: 'spec', rule: 1, change: { [into]: undefined } },
  { kind: restore, field: 'spec', rule: 2, change: { ...inBucket(), [`${into}.image`]: undefined } },
  { kind: restore, field: 'spec', rule: 3, change: { 'spec.verify': true } },
  { kind: restore, field: 'spec', rule: 4, change: { ...inBucket({ newest: true }), ...ofPreset } },
  { kind: restore, field: 'spec.source', change: { 'spec.source.backup': 'one' } },
  { kind: restore, field: 'spec.source.backup', change: { 'spec.source': { backup: badName } } },
  { kind: restore, field: 'spec.source.policy.name', change: { 'spec.source.policy.name': badName } },
  { kind: restore, field: 'spec.source.policy.target', change: { 'spec.source.policy.target': badName } },
  { kind: restore, field: bucket, change: inBucket({ newest: true, run: 'backup-shop-1' }) },
  { kind: restore, field: `${bucket}.namespace`, change: inBucket({ namespace: 'shop.old' }) },
  { kind: restore, field: `${bucket}.policy`, change: inBucket({ policy: badName }) },
  { kind: restore, field: `${bucket}.target`, change: inBucket({ target: badName }) },
  { kind: restore, field: `${bucket}.run`, change: inBucket({ run: 'a/b' }) },
  { kind: restore, field: `${bucket}.newest`, change: inBucket({ newest: false }) },
  { kind: restore, field: into, rule: 0, change: { [`${into}.previous`]: 'Delete' } },
  {
    kind: restore,
    field: into,
    rule: 1,
    change: { ...ofPreset, [`${into}.overwrite`]: true, [`${into}.only`]: { database: 'shop', table: 'orders' } },
  },
  { kind: restore, field: into, rule: 2, change: { [`${into}.overwrite`]: true } },
  { kind: restore, field: into, rule: 3, change: { ...ofPreset, [`${into}.env`]: [{ name: 'A', value: 'a' }] } },
  { kind: restore, field: into, rule: 4, change: { [`${into}.env`]: [{ name: 'BACKUP_INTO', value: 'a' }] } },
  { kind: restore, field: into, rule: 5, change: { [`${into}.args`]: ['-d', 'shop'] } },
  { kind: restore, field: into, rule: 6, change: { [`${into}.args`]: ['pg_restore -d shop'] } },
  { kind: restore, field: into, rule: 7, change: { [`${into}.preset`]: 'postgres' } },
  {
    kind: restore,
    field: into,
    rule: 8,
    change: { ...ofPreset, ...elsewhere, [`${into}.target`]: 'db' },
  },
  { kind: restore, field: into, rule: 9, change: { ...ofPreset, [`${into}.server`]: { host: 'db' } } },
  { kind: restore, field: `${into}.credentials`, change: { ...ofPreset, [`${into}.credentials`]: {} } },
  { kind: restore, field: `${into}.database`, change: { [`${into}.database`]: twoLines } },
  { kind: restore, field: `${into}.previous`, change: { [`${into}.overwrite`]: false, [`${into}.previous`]: 'Drop' } },
  { kind: restore, field: `${into}.only`, rule: 0, change: { ...ofPreset, [`${into}.only`]: {} } },
  { kind: restore, field: `${into}.only`, rule: 1, change: { ...ofPreset, [`${into}.only`]: { table: 'orders' } } },
  {
    kind: restore,
    field: `${into}.only.database`,
    change: { ...ofPreset, [`${into}.only`]: { database: twoLines } },
  },
  {
    kind: restore,
    field: `${into}.only.table`,
    change: { ...ofPreset, [`${into}.only`]: { database: 'shop', table: twoLines } },
  },
  { kind: restore, field: 'spec.identities.secretRef', change: { 'spec.identities': { secretRef: badName } } },
  { kind: restore, field: 'spec.activeDeadlineSeconds', change: { 'spec.activeDeadlineSeconds': 5 } },
  { kind: restore, field: 'spec.backoffLimit', change: { 'spec.backoffLimit': 11 } },
]

export const refusals: readonly Refusal[] = [...ofPoliciesAndBackups, ...restores]

function fieldOf(key: string) {
  return { secretKeyRef: { name: 'postgres-credentials', key } }
}
