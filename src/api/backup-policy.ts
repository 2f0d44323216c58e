// BackupPolicy: what to back up, how often, how many to keep, where to, and how.
// The schema is written here once; the CRD, its field texts and the TypeScript types all come from it.
import { z } from 'zod'
import { cronMaxLength, cronMessage, cronPattern } from './cron-grammar.ts'
import type { KubernetesObject } from './kubernetes.ts'
import { all, conditions, dateTime, dnsName, quantity, rule, timeZone } from './schema.ts'

const labelKey = z.string().max(317)
const labelText = z.string().max(63)

const selector = z
  .object({
    matchLabels: z
      .record(labelKey, labelText)
      .optional()
      .meta({ description: 'Labels that must all be present with these values.', maxProperties: 16 }),
    matchExpressions: z
      .array(
        z
          .object({
            key: labelKey.describe('The label that the requirement is about.'),
            operator: z
              .enum(['In', 'NotIn', 'Exists', 'DoesNotExist'])
              .describe('How the label relates to the values.'),
            values: z
              .array(labelText)
              .max(32)
              .optional()
              .describe('Values for In and NotIn.')
              .meta({ 'x-kubernetes-list-type': 'atomic' }),
          })
          .meta(
            rule(
              "self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0 : !has(self.values) || size(self.values) == 0",
              'operators In and NotIn need values, Exists and DoesNotExist take none',
            ),
          ),
      )
      .max(16)
      .optional()
      .describe('Requirements on labels; all must hold.')
      .meta({ 'x-kubernetes-list-type': 'atomic' }),
  })
  .describe(
    'Which objects to back up, by their labels. With strategy snapshot: the PersistentVolumeClaims. With strategy job: the pods that the command backs up; they are reported in status.',
  )
  .meta(
    rule(
      '(has(self.matchLabels) && size(self.matchLabels) > 0) || (has(self.matchExpressions) && size(self.matchExpressions) > 0)',
      'the selector is empty and would select everything; name at least one label, for example matchLabels: {app: postgres}',
    ),
  )

const backend = z
  .object({
    type: z
      .enum(['s3'])
      .describe('The kind of store. Only s3 so far.')
      .meta(rule("self == 's3'", 'backend.type must be s3, the only kind of store so far')),
    bucket: z
      .string()
      .max(255)
      .describe('The bucket. It must exist: the operator never creates one.')
      .meta(
        rule(
          "self.matches('^[a-zA-Z0-9][a-zA-Z0-9._-]{1,253}[a-zA-Z0-9]$')",
          'bucket must be a bucket name alone, without s3:// and without a path (a path goes into prefix)',
        ),
      ),
    endpoint: z
      .string()
      .max(512)
      .optional()
      .describe('URL of the S3 API, for example http://minio.minio.svc:9000. Left out: AWS S3 in the given region.')
      .meta(
        rule(
          "isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHostname() != '' && !self.contains('@') && url(self).getEscapedPath() in ['', '/'] && url(self).getQuery().size() == 0",
          'endpoint must be http://host[:port] or https://host[:port], without credentials, path or query; credentials go into the Secret that secretRef names',
        ),
      ),
    region: z
      .string()
      .max(64)
      .default('us-east-1')
      .describe('Region that requests are signed for. Most stores other than AWS accept the default.'),
    prefix: z
      .string()
      .max(256)
      .optional()
      .describe(
        'Put in front of every key, without slashes at its ends. Several clusters can share a bucket under different prefixes.',
      )
      .meta(
        rule(
          "self.matches('^[a-zA-Z0-9!_.*()-]+(/[a-zA-Z0-9!_.*()-]+)*$') && !self.split('/').exists(part, part == '.' || part == '..')",
          'prefix must be path segments of letters, digits and !_.*()- joined by single slashes, without a slash at either end and without . or .. segments',
        ),
      ),
    forcePathStyle: z
      .boolean()
      .optional()
      .describe(
        'true: http://host/bucket/key; false: http://bucket.host/key. Left out: true when endpoint is set, which is what most stores other than AWS need.',
      ),
    ca: dnsName(
      "Name of a ConfigMap in the policy's namespace whose key ca.crt holds the certificate authorities to trust for endpoint.",
    ).optional(),
    secretRef: dnsName(
      "Name of a Secret in the policy's namespace with the credentials: keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or accessKey and secretKey, or rootUser and rootPassword. The operator itself never reads it; the backup pods mount it.",
    ),
  })
  .describe(
    'Where backups are stored. Required with strategy job. A snapshot policy does not use it before snapshots can be exported; see the condition OffsiteCopy.',
  )

const snapshot = z.object({
  volumeSnapshotClassName: dnsName(
    "The VolumeSnapshotClass to use. Left out: the one class of the volume's driver, or the one that is annotated as default.",
  ).optional(),
  readyTimeoutSeconds: z
    .int()
    .default(600)
    .describe('How long a snapshot may take until it is readyToUse. One that takes longer failed and is cleaned up.')
    .meta(rule('self >= 10 && self <= 86400', 'readyTimeoutSeconds must be between 10 and 86400 (a day)')),
})

const keyReference = (what: string) =>
  z
    .object({
      name: dnsName(`Name of the ${what}.`),
      key: z.string().min(1).max(253).describe(`Key in the ${what}.`),
      optional: z
        .boolean()
        .optional()
        .describe(`true: the variable stays unset when the ${what} or the key is missing.`),
    })
    .describe(`A key of a ${what} in the policy's namespace.`)

const environmentVariable = z
  .object({
    name: z
      .string()
      .max(256)
      .describe('Name of the variable.')
      .meta(
        rule(
          "self.matches('^[-._a-zA-Z][-._a-zA-Z0-9]*$')",
          'a variable name holds letters, digits and -._ and does not start with a digit',
        ),
      ),
    value: z
      .string()
      .max(16384)
      .optional()
      .describe('Value; $(OTHER) refers to a variable above it, $$ is one $. Never put a secret here: use valueFrom.'),
    valueFrom: z
      .object({
        secretKeyRef: keyReference('Secret').optional(),
        configMapKeyRef: keyReference('ConfigMap').optional(),
      })
      .optional()
      .describe('Where the value comes from instead.')
      .meta(
        rule(
          'has(self.secretKeyRef) != has(self.configMapKeyRef)',
          'valueFrom takes exactly one of secretKeyRef and configMapKeyRef',
        ),
      ),
  })
  .meta(rule('!(has(self.value) && has(self.valueFrom))', 'a variable takes value or valueFrom, not both'))

const environmentSource = z
  .object({
    prefix: z.string().max(256).optional().describe('Put in front of every variable name.'),
    secretRef: z
      .object({
        name: dnsName('Name of the Secret.'),
        optional: z.boolean().optional().describe('true: a missing Secret is no error.'),
      })
      .optional()
      .describe("All keys of a Secret in the policy's namespace."),
    configMapRef: z
      .object({
        name: dnsName('Name of the ConfigMap.'),
        optional: z.boolean().optional().describe('true: a missing ConfigMap is no error.'),
      })
      .optional()
      .describe("All keys of a ConfigMap in the policy's namespace."),
  })
  .meta(
    rule(
      'has(self.secretRef) != has(self.configMapRef)',
      'an envFrom entry takes exactly one of secretRef and configMapRef',
    ),
  )

const word = z.string().max(8192)
const resourceList = (description: string) =>
  z
    .object({
      cpu: quantity('CPU, for example 500m.').optional(),
      memory: quantity('Memory, for example 256Mi.').optional(),
      'ephemeral-storage': quantity('Local disk, for example 1Gi.').optional(),
    })
    .optional()
    .describe(description)

const userId = z
  .int()
  .meta(
    rule('self >= 1 && self <= 2147483647', 'must be between 1 and 2147483647; 0 is root, which no backup pod may be'),
  )

const job = z
  .object({
    image: z
      .string()
      .min(1)
      .max(512)
      .describe(
        'Image with the program that makes the backup, for example the image of the database itself, so that the versions match.',
      ),
    imagePullPolicy: z.enum(['Always', 'IfNotPresent', 'Never']).optional().describe('As in a Pod.'),
    imagePullSecrets: z
      .array(z.object({ name: dnsName('Name of the Secret.') }))
      .max(8)
      .optional()
      .describe("Secrets in the policy's namespace to pull the image with.")
      .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name'] }),
    command: z
      .array(word)
      .max(64)
      .optional()
      .describe(
        'The program and its first words. The command line is command followed by args; the ENTRYPOINT of the image is never used. Its standard output is the backup.',
      )
      .meta({ 'x-kubernetes-list-type': 'atomic' }),
    args: z
      .array(word)
      .max(256)
      .optional()
      .describe(
        'The rest of the command line; the program itself when command is left out, for example [pg_dump, -Fc, -Z0, shop]. As in a Pod, $(NAME) is a variable and $$ is one $.',
      )
      .meta({ 'x-kubernetes-list-type': 'atomic' }),
    env: z
      .array(environmentVariable)
      .max(64)
      .optional()
      .describe('Variables of the command.')
      .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name'] }),
    envFrom: z
      .array(environmentSource)
      .max(16)
      .optional()
      .describe('Secrets and ConfigMaps whose keys all become variables of the command.')
      .meta({ 'x-kubernetes-list-type': 'atomic' }),
    resources: z
      .object({
        requests: resourceList('What the command is promised.'),
        limits: resourceList('What the command may use at most.'),
      })
      .optional()
      .describe("CPU and memory of the command's container."),
    runAsUser: userId
      .optional()
      .describe('User id of the command. Left out: 65532, which works with images whose own user is root or a name.'),
    runAsGroup: userId.optional().describe('Group id of the command. Left out: 65532.'),
  })
  .meta(
    all(
      rule(
        '(has(self.command) && size(self.command) > 0) || (has(self.args) && size(self.args) > 0)',
        'strategy.job needs the program to run, in command or as the first word of args, for example args: [pg_dump, -Fc, -Z0, shop]; the ENTRYPOINT of the image is never used',
      ),
      rule(
        "!((has(self.command) && size(self.command) > 0) ? self.command[0].startsWith('-') : (has(self.args) && size(self.args) > 0 && self.args[0].startsWith('-')))",
        "the first word of the command line is the program and cannot start with '-'; the ENTRYPOINT of the image is never used, so write the program first, for example args: [pg_dump, -Fc, -Z0, shop]",
      ),
    ),
  )

const strategy = z
  .object({
    type: z
      .enum(['snapshot', 'job'])
      .describe(
        'snapshot: a CSI VolumeSnapshot of each selected PersistentVolumeClaim. job: a command whose standard output is stored in the backend.',
      )
      .meta(rule("self in ['snapshot', 'job']", 'strategy.type must be snapshot or job')),
    snapshot: snapshot.optional().describe('Settings of strategy snapshot.'),
    job: job.optional().describe('Settings of strategy job.'),
  })
  .describe('How a backup is made.')
  .meta(
    all(
      rule("self.type != 'job' || has(self.job)", 'strategy.type job needs strategy.job with image and args'),
      rule(
        "self.type == 'job' || !has(self.job)",
        'strategy.job is set but strategy.type is not job; set type: job or remove the block',
      ),
      rule(
        "self.type == 'snapshot' || !has(self.snapshot)",
        'strategy.snapshot is set but strategy.type is not snapshot; set type: snapshot or remove the block',
      ),
    ),
  )

export const backupPolicySpec = z
  .object({
    selector,
    schedule: z
      .string()
      .max(cronMaxLength)
      .describe(
        'When to back up: minute, hour, day of month, month, day of week, as in a CronJob, or @hourly, @daily, @weekly, @monthly, @yearly. H stands for a stable value of the policy, so that many "H 2 * * *" spread over the hour.',
      )
      .meta(rule(`self.matches('${cronPattern.replaceAll('\\', '\\\\')}')`, cronMessage)),
    timeZone: timeZone
      .default('Etc/UTC')
      .describe('IANA name of the time zone of the schedule, for example Europe/Berlin.'),
    suspend: z
      .boolean()
      .default(false)
      .describe('true: no scheduled run starts. Nothing is caught up on resume. On-demand Backups still run.'),
    startingDeadlineSeconds: z
      .int()
      .default(3600)
      .describe(
        'How late a run may still start, for example after an outage of the operator. A slot that is older counts as missed.',
      )
      .meta(rule('self >= 10 && self <= 604800', 'startingDeadlineSeconds must be between 10 and 604800 (a week)')),
    activeDeadlineSeconds: z
      .int()
      .default(21600)
      .describe('How long one attempt of a run may take.')
      .meta(rule('self >= 30 && self <= 2592000', 'activeDeadlineSeconds must be between 30 and 2592000 (30 days)')),
    backoffLimit: z
      .int()
      .default(2)
      .describe('How often a failed attempt is repeated before the run counts as failed.')
      .meta(rule('self >= 0 && self <= 10', 'backoffLimit must be between 0 and 10')),
    retention: z
      .int()
      .describe(
        'How many successful backups of each target to keep. Failed ones never count, and the last good one is never deleted.',
      )
      .meta(
        all(
          rule(
            'self >= 1',
            'retention must be at least 1: 0 would delete every backup; to stop making backups set suspend: true',
          ),
          rule('self <= 1000', 'retention must be at most 1000'),
        ),
      ),
    backend: backend.optional(),
    strategy,
  })
  .describe('What the user wants.')
  .meta(
    rule(
      "self.strategy.type != 'job' || has(self.backend)",
      'strategy job needs a backend: that is where its output is stored',
    ),
  )

const slots = z.object({
  missed: z
    .int()
    .describe('Slots that never ran: the operator or the cluster was down, and they were too old afterwards.'),
  skipped: z.int().describe('Slots that did not run because an earlier run was still going.'),
  lastMissed: dateTime('The newest missed slot.').optional(),
  lastSkipped: dateTime('The newest skipped slot.').optional(),
})

const targetStatus = z.object({
  name: z.string().max(253).describe('Name of the target: a PersistentVolumeClaim, or command.'),
  ready: z.boolean().describe('Whether the next run of this target can start.'),
  reason: z.string().max(64).describe('Why, in one word.'),
  message: z.string().max(1024).describe('Why, in a sentence.'),
  kept: z.int().optional().describe('How many good backups are kept now.'),
  newest: dateTime('Slot or start of the newest good backup.').optional(),
  oldest: dateTime('Slot or start of the oldest good backup.').optional(),
  nextToGo: z.string().max(253).optional().describe('The backup that retention deletes after the next success.'),
  digest: z.string().max(64).optional().describe('Digest of the kept runs as the last run found them in the bucket.'),
})

const storeStatus = z.object({
  backendHash: z.string().max(64).describe('The backend settings that the result is about.'),
  result: z.enum(['Unknown', 'Usable', 'Unusable']).describe('What the last probe found.'),
  reason: z.string().max(64).describe('Why, in one word.'),
  message: z.string().max(1024).describe('Why, in a sentence.'),
  attempts: z.int().describe('Probes since the settings changed.'),
  failures: z.int().describe('Failed probes in a row.'),
  lastProbeTime: dateTime('When the last probe ended.').optional(),
  retentionBlocked: z
    .boolean()
    .optional()
    .describe('true: the credentials may not list or delete, so that nothing is pruned.'),
  unconditionalCommit: z.boolean().optional().describe('true: the store does not support conditional writes.'),
})

export const backupPolicyStatus = z
  .object({
    observedGeneration: z.int().optional().describe('The generation of the spec that this status is about.'),
    conditions: conditions.optional(),
    selected: z.int().optional().describe('How many objects the selector matches.'),
    targets: z
      .array(targetStatus)
      .max(256)
      .optional()
      .describe('Each target, what is kept of it and whether it can be backed up.')
      .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name'] }),
    nextRun: dateTime('The next slot of the schedule.').optional(),
    lastRun: dateTime('The slot or start of the newest run that ended.').optional(),
    lastSuccess: dateTime('When the newest successful backup was complete.').optional(),
    lastBackup: z.string().max(253).optional().describe('The newest Backup that ended.'),
    accountedUntil: dateTime('Every slot up to this one has run or is counted below.').optional(),
    scheduleSince: dateTime(
      'When the schedule, the time zone or suspend last changed; no earlier slot fires.',
    ).optional(),
    scheduleHash: z.string().max(64).optional().describe('The schedule settings that scheduleSince is about.'),
    slots: slots.optional().describe('Slots that did not run.'),
    store: storeStatus.optional().describe('What is known of the backend.'),
    cronJob: z.string().max(63).optional().describe('The CronJob that runs the backups (strategy job).'),
  })
  .describe('What the operator saw and did.')

export type BackupPolicySpec = z.output<typeof backupPolicySpec>
export type BackupPolicyStatus = z.output<typeof backupPolicyStatus>
export type TargetStatus = z.output<typeof targetStatus>
export type StoreStatus = z.output<typeof storeStatus>
export type BackendSpec = z.output<typeof backend>
export type JobStrategy = z.output<typeof job>
export type BackupPolicy = KubernetesObject & { readonly spec: BackupPolicySpec; readonly status?: BackupPolicyStatus }

export const backupPolicyColumns = [
  { name: 'Schedule', type: 'string', jsonPath: '.spec.schedule' },
  { name: 'Strategy', type: 'string', jsonPath: '.spec.strategy.type' },
  { name: 'Suspended', type: 'boolean', jsonPath: '.spec.suspend', priority: 1 },
  { name: 'Last success', type: 'date', jsonPath: '.status.lastSuccess' },
  { name: 'Next run', type: 'string', jsonPath: '.status.nextRun' },
  { name: 'Ready', type: 'string', jsonPath: ".status.conditions[?(@.type=='Ready')].status" },
  { name: 'Status', type: 'string', jsonPath: ".status.conditions[?(@.type=='Ready')].reason" },
  { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
] as const
