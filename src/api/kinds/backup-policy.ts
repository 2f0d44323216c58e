// BackupPolicy: what to back up, how often, how many to keep, where to, and how.
// The schema is written once, here and in backup-policy-*.ts; the CRD, its field texts and the TypeScript types all come from it.
import { z } from 'zod'
import { backend } from './backup-policy-backend.ts'
import { job } from './backup-policy-job.ts'
import type { BackupPolicyStatus } from './backup-policy-status.ts'
import {
  cronMaxLength,
  cronMessage,
  cronPattern,
  nameRangeRule,
  noSuchDayMessage,
  noSuchDayPattern,
  numberRangeRule,
  rangeMessage,
} from '../schema/cron-grammar.ts'
import type { KubernetesObject } from '../kubernetes.ts'
import { all, dnsName, rule, timeZone } from '../schema/schema.ts'
import { snapshotDefaults } from './snapshot-defaults.ts'

const labelKeyMessage =
  'a label is a name of letters, digits and -_. (63 at most, with a letter or digit at both ends), for example app, or a DNS name and that, for example app.kubernetes.io/name'
const labelKey = z.string().max(317)
const labelText = z
  .string()
  .max(63)
  .meta(
    rule(
      '!format.labelValue().validate(self).hasValue()',
      'the value of a label holds letters, digits and -_. only, without blanks, and has a letter or digit at both ends',
    ),
  )

const selector = z
  .object({
    matchLabels: z
      .record(labelKey, labelText)
      .optional()
      .meta({
        description: 'Labels that must all be present with these values.',
        maxProperties: 16,
        ...rule('self.all(key, !format.qualifiedName().validate(key).hasValue())', labelKeyMessage),
      }),
    matchExpressions: z
      .array(
        z
          .object({
            key: labelKey
              .describe('The label that the requirement is about.')
              .meta(rule('!format.qualifiedName().validate(self).hasValue()', labelKeyMessage)),
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

const snapshot = z.object({
  volumeSnapshotClassName: dnsName(
    "The VolumeSnapshotClass to use. Left out: the one class of the volume's driver, or the one that is annotated as default.",
  ).optional(),
  cutTimeoutSeconds: z
    .int()
    .default(snapshotDefaults.cutTimeoutSeconds)
    .describe(
      'How long it may take until the storage system has cut the snapshot (its creationTime), from when on it is of a fixed moment. One that takes longer failed and is deleted. A shorter readyTimeoutSeconds is the limit of this, too.',
    )
    .meta(rule('self >= 10 && self <= 86400', 'cutTimeoutSeconds must be between 10 and 86400 (a day)')),
  readyTimeoutSeconds: z
    .int()
    .default(snapshotDefaults.readyTimeoutSeconds)
    .describe(
      'How long a snapshot may take until it is readyToUse: many storage systems copy for hours what they cut in a second. One that takes longer and reports an error failed and is deleted; one without an error is reported as slow, and stays until enough newer ones are ready.',
    )
    .meta(rule('self >= 10 && self <= 604800', 'readyTimeoutSeconds must be between 10 and 604800 (a week)')),
})

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
      .meta(
        all(
          rule(`self.matches('${cronPattern.replaceAll('\\', '\\\\')}')`, cronMessage),
          rule(numberRangeRule, rangeMessage),
          rule(nameRangeRule, rangeMessage),
          rule(`!self.matches('${noSuchDayPattern.replaceAll('\\', '\\\\')}')`, noSuchDayMessage),
        ),
      ),
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
        'How many good scheduled backups of each target to keep. Failed ones never count, and the last good one is never deleted.',
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
    onDemandRetention: z
      .int()
      .optional()
      .describe(
        'How many successful backups on demand of each target to keep. They are counted apart, so that an afternoon of them evicts no night. Left out: as many as retention.',
      )
      .meta(
        rule(
          'self >= 1 && self <= 1000',
          'onDemandRetention must be between 1 and 1000; left out, as many backups on demand are kept as retention says',
        ),
      ),
    whenBusy: z
      .enum(['Wait', 'Skip'])
      .default('Wait')
      .describe(
        'What a Backup on demand does while another run of its target goes on. Wait: it starts when that one has ended, or ends as Skipped after startingDeadlineSeconds. Skip: it ends as Skipped at once.',
      )
      .meta(
        rule(
          "self in ['Wait', 'Skip']",
          'whenBusy must be Wait (a Backup on demand starts when the run before has ended) or Skip (it ends as Skipped)',
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

export type BackupPolicySpec = z.output<typeof backupPolicySpec>
export type BackupPolicy = KubernetesObject & { readonly spec: BackupPolicySpec; readonly status?: BackupPolicyStatus }

/** What `kubectl get bp` shows: Status is the worst thing that matters, Ready says whether the next run can start. */
export const backupPolicyColumns = [
  { name: 'Schedule', type: 'string', jsonPath: '.spec.schedule' },
  { name: 'Strategy', type: 'string', jsonPath: '.spec.strategy.type' },
  { name: 'Last run', type: 'date', jsonPath: '.status.lastRun' },
  { name: 'Last success', type: 'date', jsonPath: '.status.lastSuccess' },
  { name: 'Next run', type: 'string', jsonPath: '.status.nextRun' },
  { name: 'Ready', type: 'string', jsonPath: ".status.conditions[?(@.type=='Ready')].status" },
  { name: 'Status', type: 'string', jsonPath: '.status.state' },
  { name: 'Kept', type: 'integer', jsonPath: '.status.kept', priority: 1 },
  { name: 'Size', type: 'string', jsonPath: '.status.size', priority: 1 },
  { name: 'Suspended', type: 'boolean', jsonPath: '.spec.suspend', priority: 1 },
  { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
] as const
