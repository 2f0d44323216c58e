import assert from 'node:assert/strict'
import { test } from 'node:test'
import { desiredCronJob, policy, settings } from '../../../test/plan/world.ts'
import { label } from '../../api/labels.ts'
import { dryRunQuestion, isFullOfOurs } from './dry-run.ts'

test('F73: asked is a Job like that of a scheduled run, under a name that no run has', () => {
  const of = policy()
  const template = desiredCronJob(of)?.spec.jobTemplate
  const job = dryRunQuestion(of, undefined, settings)?.job
  assert.deepEqual(job?.spec, template?.spec)
  assert.equal(job?.metadata.labels?.[label.role], 'run')
  assert.match(job?.metadata.name ?? '', /^backup-nightly-[0-9a-z]{10}$/)
})

test("F73: over a stranger's CronJob, or that of an earlier policy, nothing is asked of it", () => {
  const of = policy()
  const current = desiredCronJob(of)
  assert.ok(current)
  const { metadata } = current
  const stranger = { ...current, metadata: { ...metadata, labels: {}, ownerReferences: [] } }
  assert.equal(dryRunQuestion(of, stranger, settings)?.cronJob, undefined)
  const owner = { ...metadata.ownerReferences?.[0], uid: 'an-earlier-one' } as NonNullable<
    typeof metadata.ownerReferences
  >[0]
  const earlier = { ...current, metadata: { ...metadata, ownerReferences: [owner] } }
  assert.equal(dryRunQuestion(of, earlier, settings)?.cronJob, undefined)
  assert.equal(dryRunQuestion(of, current, settings)?.cronJob?.do, 'replace')
})

const quota = (requested: string, used: string, limited: string) =>
  `jobs.batch "backup-nightly-0123456789" is forbidden: exceeded quota: q, requested: ${requested}, used: ${used}, limited: ${limited}`
const rows: readonly (readonly [what: string, words: string, ours: number, full: boolean])[] = [
  ['all of them are ours', quota('count/jobs.batch=1', 'count/jobs.batch=10', 'count/jobs.batch=10'), 10, true],
  ['some are of others', quota('count/jobs.batch=1', 'count/jobs.batch=10', 'count/jobs.batch=10'), 9, false],
  ['there is room for none', quota('count/jobs.batch=1', 'count/jobs.batch=0', 'count/jobs.batch=0'), 0, false],
  [
    'it counts something else, too',
    quota('count/jobs.batch=1,x=1', 'count/jobs.batch=1,x=1', 'count/jobs.batch=1,x=1'),
    1,
    false,
  ],
  [
    'it is about CronJobs',
    quota('count/cronjobs.batch=1', 'count/cronjobs.batch=1', 'count/cronjobs.batch=1'),
    1,
    false,
  ],
  ['it is no quota', 'denied by a policy of the company', 10, false],
]
for (const [what, words, ours, full] of rows)
  test(`F73: a full quota on Jobs ${full ? 'says nothing of the next run' : 'is a refusal'} where ${what}`, () => {
    assert.equal(isFullOfOurs(words, ours), full)
  })
