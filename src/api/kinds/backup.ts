// Backup: one recoverable thing, one target at one slot. Scheduled ones are made by the operator, on-demand ones by people and pipelines.
import { z } from 'zod'
import type { KubernetesObject } from '../kubernetes.ts'
import { conditions, dateTime, dnsName, rule } from '../schema/schema.ts'
import { unprovenClaim } from '../labels.ts'
import { backupPhases } from './backup-phases.ts'

export const backupSpec = z
  .object({
    policy: dnsName(
      'Name of the BackupPolicy that says what to back up, how and where to. Creating a Backup runs it now, also while its schedule is suspended.',
    ),
    target: dnsName('The one target to back up. Left out: every target of the policy, one Backup for each.').optional(),
    slot: dateTime(
      'The slot of the schedule that this Backup is for; set by the operator on scheduled ones.',
    ).optional(),
  })
  .describe('What to back up. It cannot be changed: create another Backup instead.')
  .meta(rule('self == oldSelf', 'the spec of a Backup cannot be changed; create another Backup instead'))

const artifact = z.object({
  name: z.string().max(253).describe('Name of the artifact.'),
  bytes: z.int().describe('Bytes that the command wrote.'),
  storedBytes: z.int().describe('Bytes in the bucket, compressed.'),
  sha256: z.string().max(64).optional().describe('SHA-256 of what the command wrote.'),
})

const snapshotStatus = z.object({
  name: z.string().max(253).describe('Name of the VolumeSnapshot.'),
  claimUID: z
    .string()
    .max(64)
    .optional()
    .describe(
      `UID of the claim that it is of, where that was still there once the snapshot was cut; \`${unprovenClaim}\` where it was gone by then, or another one had its name: it may be of either. Retention counts the snapshots of each UID apart, and an unproven one alone. Left out: nobody looked, and the annotation of the VolumeSnapshot is believed.`,
    ),
  contentName: z.string().max(253).optional().describe('Name of the VolumeSnapshotContent.'),
  restoreSize: z.string().max(64).optional().describe('Smallest size of a volume that it restores to.'),
  deletionPolicy: z
    .enum(['Delete', 'Retain'])
    .optional()
    .describe(
      'What happens to the data when the VolumeSnapshot is deleted, also with its namespace: Delete loses it, Retain keeps it on the storage system.',
    ),
})

export const backupStatus = z
  .object({
    phase: z
      .enum(backupPhases)
      .optional()
      .describe('Pending, Running, Completed, Failed, Skipped or Deleting. Completed, Failed and Skipped are final.'),
    reason: z.string().max(64).optional().describe('Why it is in this phase, in one word.'),
    message: z.string().max(2048).optional().describe('Why it is in this phase, in a sentence.'),
    conditions: conditions.optional(),
    target: z.string().max(253).optional().describe('What was backed up.'),
    targets: z
      .array(z.string().max(253))
      .optional()
      .describe(
        'The targets that it has a Backup for, one each, as they were chosen when it began: of a Backup over several. It is not complete without any of them.',
      )
      .meta({ 'x-kubernetes-list-type': 'atomic' }),
    run: z.string().max(63).optional().describe('The Job or VolumeSnapshot that makes the backup.'),
    jobUID: z.string().max(64).optional().describe('UID of that Job: only what its own pods say is believed.'),
    takenTime: dateTime(
      'The moment that the data are of: when a snapshot was cut, or when the command began. It stays when the Backup comes back from the bucket.',
    ).optional(),
    startTime: dateTime('When the run began.').optional(),
    completionTime: dateTime('When the run ended, or was found to have ended.').optional(),
    duration: z.string().max(32).optional().describe('How long the run took.'),
    attempts: z.int().optional().describe('How many attempts were made, also those whose pods were evicted.'),
    pod: z.string().max(253).optional().describe('The pod of the newest attempt.'),
    bytes: z.int().optional().describe('Bytes that the command wrote.'),
    storedBytes: z.int().optional().describe('Bytes in the bucket.'),
    size: z
      .string()
      .max(32)
      .optional()
      .describe('Bytes in the bucket, for people. Absent for snapshots: see snapshot.restoreSize.'),
    store: z
      .string()
      .max(64)
      .optional()
      .describe("Hash of the endpoint's host and port, the bucket and the prefix that it is stored under."),
    manifest: z
      .string()
      .max(1024)
      .optional()
      .describe('Key of the manifest in the bucket; the backup exists if and only if this object does.'),
    artifacts: z
      .array(artifact)
      .max(64)
      .optional()
      .describe('What was stored.')
      .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name'] }),
    snapshot: snapshotStatus.optional().describe('The snapshot (strategy snapshot).'),
    suspect: z
      .boolean()
      .optional()
      .describe(
        'true: far smaller than the largest good one since the newest accepted one. It does not count for retention and stops pruning until the annotation backup.dev/accepted is set to true on it.',
      ),
    sizeCheck: z
      .enum(['compared', 'unchecked'])
      .optional()
      .describe(
        'Whether its size could be compared with that of other backups when it was made. unchecked: it does not count for retention until a later one can be compared with it, or the annotation backup.dev/accepted is set to true on it.',
      ),
    exitCode: z.int().optional().describe('Exit code of the command.'),
    stderr: z
      .string()
      .max(4096)
      .optional()
      .describe('The last lines that the command wrote to its standard error, without what looks like a secret.'),
    retention: z
      .object({
        keep: z.boolean().describe('Whether retention keeps it.'),
        reason: z.string().max(64).describe('Why.'),
      })
      .optional()
      .describe('What retention will do with it.'),
  })
  .describe('What happened.')

export type BackupSpec = z.output<typeof backupSpec>
export type BackupStatus = z.output<typeof backupStatus>
export type Backup = KubernetesObject & { readonly spec: BackupSpec; readonly status?: BackupStatus }

/**
 * What `kubectl get bk` shows. Taken is the time of the data, not the age of the object, which is younger where a Backup came back from
 * the bucket. Stored are bytes in a bucket, Volume is what a snapshot restores to: two things, two columns.
 */
export const backupColumns = [
  { name: 'Policy', type: 'string', jsonPath: '.spec.policy' },
  { name: 'Target', type: 'string', jsonPath: '.status.target' },
  { name: 'Phase', type: 'string', jsonPath: '.status.phase' },
  { name: 'Reason', type: 'string', jsonPath: '.status.reason' },
  { name: 'Taken', type: 'string', jsonPath: '.status.takenTime' },
  { name: 'Stored', type: 'string', jsonPath: '.status.size' },
  { name: 'Volume', type: 'string', jsonPath: '.status.snapshot.restoreSize' },
  { name: 'Duration', type: 'string', jsonPath: '.status.duration' },
  { name: 'Slot', type: 'string', jsonPath: '.spec.slot', priority: 1 },
  { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp', priority: 1 },
] as const
