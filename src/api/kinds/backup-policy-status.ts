// BackupPolicy status: what the operator saw and did.
import { z } from 'zod'
import { conditions, dateTime } from '../schema/schema.ts'

const slots = z.object({
  missed: z
    .int()
    .describe(
      'Slots that never ran: the operator or the cluster was down, and they were too old afterwards. So is one for which the Backup of any target was refused until its deadline.',
    ),
  skipped: z.int().describe('Slots that did not run because an earlier run was still going.'),
  lastMissed: dateTime('The newest missed slot.').optional(),
  lastSkipped: dateTime('The newest skipped slot.').optional(),
  unmade: z
    .object({
      slot: dateTime('The slot.'),
      targets: z
        .array(z.string().max(253))
        .max(256)
        .optional()
        .describe(
          'The targets that lacked their Backup at first. Absent while the slot waits for the snapshot API, or for what comes with it.',
        ),
    })
    .optional()
    .describe(
      'A slot for which not all Backups could be made, or that waits for the snapshot API, while it is open (strategy snapshot). It counts as missed if one is still lacking at its deadline, or when the schedule is changed or suspended.',
    ),
})

const startStatus = z.object({
  specHash: z.string().max(64).describe('The settings of strategy.job that the result is about.'),
  result: z.enum(['Unknown', 'Startable', 'NotStartable']).describe('What the last dry start found.'),
  reason: z.string().max(64).describe('Why, in one word.'),
  message: z.string().max(1024).describe('Why, in a sentence.'),
  attempts: z.int().describe('Dry starts since the settings changed.'),
  failures: z.int().describe('Dry starts in a row that found it cannot start.'),
  lastTime: dateTime('When the last dry start ended.').optional(),
  asked: z
    .string()
    .max(1024)
    .optional()
    .describe('The value of the annotation backup.dev/probe that the last dry start answered.'),
})

const targetStatus = z.object({
  name: z
    .string()
    .max(253)
    .describe('Name of the target: a PersistentVolumeClaim, command, or what a preset has found.'),
  ready: z.boolean().describe('Whether the next run of this target can start.'),
  reason: z.string().max(64).describe('Why, in one word.'),
  message: z.string().max(1024).describe('Why, in a sentence.'),
  kept: z.int().optional().describe('How many good backups are kept now.'),
  newest: dateTime('Slot or start of the newest good backup.').optional(),
  oldest: dateTime('Slot or start of the oldest good backup.').optional(),
  nextToGo: z.string().max(253).optional().describe('The backup that retention deletes after the next success.'),
  digest: z.string().max(64).optional().describe('Digest of the kept runs as the last run found them in the bucket.'),
  cronJob: z.string().max(63).optional().describe('The CronJob that runs its backups (a preset).'),
  accountedUntil: dateTime(
    'Every slot of its CronJob up to this one has run or is counted in slots (a preset).',
  ).optional(),
  goneSince: dateTime('Since when the preset does not find it. Its CronJob goes some minutes later.').optional(),
  start: startStatus.optional().describe('Whether its pod can start (a preset).'),
})

const folderStatus = z.object({
  target: z.string().max(253).describe('The target.'),
  count: z.int().describe('How many backups of it the folder has.'),
  digest: z.string().max(64).describe('Digest of their runs.'),
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
  asked: z
    .string()
    .max(1024)
    .optional()
    .describe('The value of the annotation backup.dev/probe that the last probe answered.'),
  warnings: z
    .array(
      z.object({
        reason: z.string().max(64).describe('What the probe warned of, in one word.'),
        message: z.string().max(1024).describe('What it warned of, in a sentence.'),
      }),
    )
    .max(16)
    .optional()
    .describe('What the last probe warned of, though the store can be used.'),
  folder: z
    .array(folderStatus)
    .max(128)
    .optional()
    .describe(
      'What the last probe that passed found in the folder of targets whose Backups were not compared with it yet, as after the loss of a cluster.',
    ),
})

const retentionChange = z.object({
  value: z.int().describe('The number in the spec as the operator last saw it.'),
  previous: z
    .int()
    .optional()
    .describe(
      'A larger number from before: it applies until an hour after since, and what only it kept goes slowly after that.',
    ),
  since: dateTime('When value was first seen. Each lowering starts the hour anew.'),
  share: z
    .object({
      before: dateTime('Snapshots of slots before this are kept by value only.'),
      since: dateTime('When that was written. The next share follows an hour later.'),
    })
    .optional()
    .describe(
      'How far previous was given up for snapshots: once an hour by so much that no target loses more than 20, of all its volumes, scheduled and on demand together.',
    ),
})

export const backupPolicyStatus = z
  .object({
    observedGeneration: z.int().optional().describe('The generation of the spec that this status is about.'),
    conditions: conditions.optional(),
    state: z
      .string()
      .max(64)
      .optional()
      .describe(
        'The worst thing that matters, in one word. The reason of Ready while that is not True, else the first of these that holds: Failed (the newest run of a target failed), Overdue (a good backup is owed), RetentionBlocked (nothing is pruned), Unprotected (a selected target has no good backup, or none can be made of it), Suspended, Ready.',
      ),
    selected: z.int().optional().describe('How many objects the selector matches.'),
    targets: z
      .array(targetStatus)
      .max(256)
      .optional()
      .describe(
        'Each target, what is kept of it and whether it can be backed up. Of more than 256 the worst: the one with the oldest newest backup, then those that are unprotected; selected says how many there are.',
      )
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
    start: startStatus
      .optional()
      .describe('Whether the pod of a run can start, and its image has the program (strategy job).'),
    kept: z.int().optional().describe('How many good backups are kept now, of all targets.'),
    size: z
      .string()
      .max(32)
      .optional()
      .describe('Bytes that the kept backups take in the bucket, for people. Absent with strategy snapshot.'),
    retention: retentionChange
      .optional()
      .describe('The last change of spec.retention, so that a lowering by mistake can be taken back.'),
    onDemandRetention: retentionChange
      .optional()
      .describe('The same for backups on demand, whose number is spec.onDemandRetention, or else spec.retention.'),
    cronJob: z
      .string()
      .max(63)
      .optional()
      .describe('The CronJob that runs the backups (strategy job). With a preset each target tells its own.'),
    cronJobUIDs: z
      .array(z.string().max(64))
      .max(512)
      .optional()
      .describe(
        'UIDs of its CronJobs and of those before them, newest first: only Jobs that one of them made are believed.',
      )
      .meta({ 'x-kubernetes-list-type': 'atomic' }),
  })
  .describe('What the operator saw and did.')

export type BackupPolicyStatus = z.output<typeof backupPolicyStatus>
export type TargetStatus = z.output<typeof targetStatus>
export type RetentionChange = z.output<typeof retentionChange>
export type StartStatus = z.output<typeof startStatus>
export type FolderStatus = z.output<typeof folderStatus>
export type StoreStatus = z.output<typeof storeStatus>
