// Restore spec.source: which backup is restored. Three ways to say it, for three states of a cluster: everything is there, the policy is
// there, nothing is there but the bucket.
import { z } from 'zod'
import { dateTime, dnsName, rule } from '../schema/schema.ts'
import { backend } from './backup-policy-backend.ts'

const target = dnsName(
  'The target whose backup it is, as in status.target of a Backup. Left out: the one target that there is.',
).optional()

const policySource = z
  .object({
    name: dnsName("Name of a BackupPolicy in the Restore's namespace. It may be suspended."),
    target,
    before: dateTime(
      'The newest backup at or before this time, for example a moment before the mistake. Left out: the newest.',
    ).optional(),
  })
  .describe('The newest good backup of a policy, or the newest at or before a time.')

const bucketSource = z
  .object({
    backend: backend.describe(
      "The bucket, and the Secret of the Restore's namespace that opens it: as in spec.backend of the policy that wrote there. The Restore writes there only that it needs the backup for now, and what it has verified.",
    ),
    namespace: z
      .string()
      .max(63)
      .describe('The namespace of the policy that wrote there, which is the name of a folder in the bucket.')
      .meta(
        rule(
          "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
          'namespace must be the name of a namespace: lower-case letters, digits and -',
        ),
      ),
    policy: dnsName('Name of the policy that wrote there, which is the folder below that of the namespace.'),
    target,
    run: z
      .string()
      .max(63)
      .optional()
      .describe('This very run, as in status.run of a Backup or in the list that status.available holds.')
      .meta(
        rule(
          "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
          'run must be the name of a run, as in status.available of this Restore: lower-case letters, digits and -',
        ),
      ),
    newest: z
      .boolean()
      .optional()
      .describe('true: the newest good backup.')
      .meta(rule('self', 'newest is true or left out; to choose another backup, set run or before')),
    before: dateTime('The newest good backup at or before this time.').optional(),
  })
  .describe(
    'A place in a bucket, whatever the cluster knows of it: the policy, and the cluster that wrote there, may be gone. Without run, newest or before nothing is restored: the Restore fails with RunNotNamed, and status.available lists what is there.',
  )
  .meta(
    rule(
      '[has(self.run), has(self.newest), has(self.before)].filter(named, named).size() <= 1',
      'name at most one of run, newest and before: each of them alone says which backup it is',
    ),
  )

export const restoreSource = z
  .object({
    backup: dnsName("Name of a Backup in the Restore's namespace that is Completed.").optional(),
    policy: policySource.optional(),
    bucket: bucketSource.optional(),
  })
  .describe('Which backup is restored. It is looked up once, and pinned in the bucket until the Restore ends.')
  .meta(
    rule(
      '[has(self.backup), has(self.policy), has(self.bucket)].filter(named, named).size() == 1',
      'source takes exactly one of backup (name of a Backup), policy (its newest backup, or the newest before a time) and bucket (a place in a bucket)',
    ),
  )
