// One refused change for each CEL rule of the CRDs: what a person might write, and at which field the API server says what to write instead.

export const policy = 'BackupPolicy'
export const backup = 'Backup'

export type Refusal = {
  readonly kind: typeof policy | typeof backup
  /** The field with the rule, as in the schema: items of a list are `[]`, values of a map `{}` (that of the key app here). */
  readonly field: string
  /** Which of the field's rules, where it has several. */
  readonly rule?: number
  /** Fields of a valid object to change; undefined removes one. */
  readonly change: Readonly<Record<string, unknown>>
}

const job = 'spec.strategy.job'
const badName = 'No_Such_Name'

/** Every field that names another object has the same rule. */
const names: readonly Refusal[] = [
  {
    kind: policy,
    field: 'spec.backend.secretRef',
    change: { 'spec.backend.secretRef': 'other-namespace/minio-creds' },
  },
  { kind: policy, field: 'spec.backend.ca', change: { 'spec.backend.ca': badName } },
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

export const refusals: readonly Refusal[] = [
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

function fieldOf(key: string) {
  return { secretKeyRef: { name: 'postgres-credentials', key } }
}
