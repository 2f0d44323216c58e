import assert from 'node:assert/strict'
import { test } from 'node:test'
import { backupPolicySpec, type BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { BackupPolicyStatus } from '../../api/kinds/backup-policy-status.ts'
import { overdueSeconds } from './overdue.ts'
import { scheduleHash } from './schedule.ts'

const hour = 3600
const job = { type: 'job', job: { image: 'postgres:15', args: ['pg_dump'] } }

/** Every night at 02:00 UTC; made on 1 January at noon. Deadlines: 1 h to start, then 6 h (job) or a day (snapshot). */
function nightly(status: Partial<BackupPolicyStatus> = {}, spec: object = {}): BackupPolicy {
  const policy: BackupPolicy = {
    apiVersion: 'backup.dev/v1alpha1',
    kind: 'BackupPolicy',
    metadata: { name: 'nightly', namespace: 'shop', creationTimestamp: '2026-01-01T12:00:00Z' },
    spec: backupPolicySpec.parse({
      selector: { matchLabels: { app: 'postgres' } },
      schedule: '0 2 * * *',
      retention: 7,
      backend: { type: 's3', bucket: 'backups', secretRef: 'minio-creds' },
      strategy: job,
      ...spec,
    }),
  }
  const scheduleSince = '2026-01-01T12:00:00Z'
  return { ...policy, status: { scheduleHash: scheduleHash(policy), scheduleSince, ...status } }
}

const target = (name: string, newest?: string, reason = 'Ready') => ({ name, ready: true, reason, message: '', newest })

const rows: readonly (readonly [what: string, policy: BackupPolicy, now: string, seconds: number | undefined])[] = [
  ['nothing is owed before the first slot', nightly(), '2026-01-02T01:59:00Z', 0],
  ['a slot is not owed while its deadlines run', nightly(), '2026-01-02T09:00:00Z', 0],
  ['a slot is owed once its deadlines are over, by its age', nightly(), '2026-01-02T09:00:01Z', 7 * hour + 1],
  ['the age grows while later slots pass', nightly(), '2026-01-12T02:00:00Z', 240 * hour],
  [
    'a success settles what was owed before it',
    nightly({ lastSuccess: '2026-01-05T03:00:00Z' }),
    '2026-01-06T08:00:00Z',
    0,
  ],
  [
    'the slot after the newest success is owed next',
    nightly({ lastSuccess: '2026-01-05T03:00:00Z' }),
    '2026-01-06T10:00:00Z',
    8 * hour,
  ],
  ['a suspended policy owes nothing', nightly({}, { suspend: true }), '2026-03-01T00:00:00Z', 0],
  [
    'slots before the schedule last changed are not owed',
    nightly({ scheduleSince: '2026-01-20T12:00:00Z' }),
    '2026-01-21T08:00:00Z',
    0,
  ],
  [
    'a snapshot is owed after its own deadline',
    nightly({}, { strategy: { type: 'snapshot', snapshot: { readyTimeoutSeconds: 600 } } }),
    '2026-01-02T03:10:01Z',
    hour + 601,
  ],
  [
    'a snapshot is given a day where the policy says nothing',
    nightly({}, { strategy: { type: 'snapshot' } }),
    '2026-01-03T03:00:00Z',
    0,
  ],
  [
    'the worst of several targets counts',
    nightly(
      {
        lastSuccess: '2026-01-06T02:01:00Z',
        targets: [target('data', '2026-01-06T02:00:00Z'), target('wal', '2026-01-04T02:00:00Z')],
      },
      { strategy: { type: 'snapshot' } },
    ),
    '2026-01-06T12:00:00Z',
    34 * hour,
  ],
  [
    'a target that is no longer selected owes nothing',
    nightly(
      {
        lastSuccess: '2026-01-06T02:01:00Z',
        targets: [target('data', '2026-01-06T02:00:00Z'), target('old', '2026-01-02T02:00:00Z', 'TargetNotFound')],
      },
      { strategy: { type: 'snapshot' } },
    ),
    '2026-01-06T12:00:00Z',
    0,
  ],
  [
    'nothing is said of a schedule that cannot be read',
    nightly({}, { timeZone: 'Mars/Olympus' }),
    '2026-03-01T00:00:00Z',
    undefined,
  ],
]
for (const [what, policy, now, seconds] of rows)
  test(what, () => assert.equal(overdueSeconds(policy, new Date(now)), seconds))
