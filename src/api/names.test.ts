import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { jobNameOfSlot } from '../../test/plan/world.ts'
import { labelValue } from './labels.ts'
import {
  catalogJobName,
  childBackupName,
  cronJobName,
  holdJobName,
  isRunOf,
  nameHash,
  onDemandJobName,
  onDemandSnapshotName,
  probeJobName,
  slotOfJobName,
  slotRunName,
  slotOfRunName,
  slotOfText,
  slotText,
  startJobName,
} from './names.ts'

const slot = new Date('2026-01-05T02:00:00Z')
const uid = '6f1c0d4e-5f0a-4d5e-9a43-1f6d2f6f4a11'

test('names are what they always were: objects in clusters have them', () => {
  assert.deepEqual(
    {
      hash: nameHash('a', 'b'),
      cronJob: cronJobName('nightly'),
      dotted: cronJobName('db.prod'),
      onDemand: onDemandJobName('nightly', uid),
      probe: probeJobName('nightly', uid, 'hash', 0),
      catalog: catalogJobName('nightly', 'run', ''),
      hold: holdJobName('nightly', 'run', true),
      release: holdJobName('nightly', 'run', false),
      slotRun: slotRunName('nightly', 'data', slot),
      child: childBackupName('now', uid, 'data'),
      snapshot: onDemandSnapshotName('now', uid),
      ofSlot: jobNameOfSlot('backup-nightly', slot),
    },
    {
      hash: 'gzngyyzstu',
      cronJob: 'backup-nightly',
      dotted: 'backup-db-prod-of40qmwgxq',
      onDemand: 'backup-nightly-gzksor4cj1',
      probe: 'probe-nightly-hfpf5smnm7',
      catalog: 'catalog-nightly-ynx8er96l1',
      hold: 'hold-nightly-m73ubgmlxz',
      release: 'release-nightly-m73ubgmlxz',
      slotRun: 'nightly-data-20260105t020000z-1zpub',
      child: 'now-data-w29yl08tz3',
      snapshot: 'now-gzksor4cj1',
      ofSlot: 'backup-nightly-29459640',
    },
  )
})

/** RFC 1123 label: what pods, Jobs and CronJobs can be called. */
const dnsLabel = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/
const dnsSubdomain = /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/
const labelText = /^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$/

/** Names as the API server accepts them, up to the longest. */
const part = fc.stringMatching(/^[a-z0-9]([-a-z0-9]{0,60}[a-z0-9])?$/)
const name = fc
  .array(part, { minLength: 1, maxLength: 6 })
  .map(parts =>
    parts
      .join('.')
      .slice(0, 253)
      .replace(/[-.]+$/, ''),
  )
  .filter(text => text !== '')
const time = fc.date({ min: new Date(0), max: new Date('2100-01-01T00:00:00Z'), noInvalidDate: true })

test('every name fits where it is used, whatever policies, claims and Backups are called', () => {
  const long = 'a'.repeat(253)
  fc.assert(
    fc.property(fc.oneof(name, fc.constant(long)), fc.oneof(name, fc.constant(long)), time, (policy, target, at) => {
      const cronJob = cronJobName(policy)
      assert.ok(cronJob.length <= 52, cronJob)
      for (const job of [
        jobNameOfSlot(cronJob, at),
        onDemandJobName(policy, uid),
        probeJobName(policy, uid, 'hash', 3),
        catalogJobName(policy, target, 'cursor'),
        holdJobName(policy, target, true),
        holdJobName(policy, target, false),
      ]) {
        assert.ok(job.length <= 63, job)
        assert.match(job, dnsLabel)
      }
      for (const run of [
        slotRunName(policy, target, at),
        childBackupName(target, uid, policy),
        onDemandSnapshotName(target, uid),
      ]) {
        assert.ok(run.length <= 63, run)
        assert.match(run, dnsSubdomain)
      }
      assert.ok(labelValue(policy).length <= 63)
      assert.match(labelValue(policy), labelText)
      assert.match(slotText(at), labelText)
      assert.equal(slotOfText(slotText(at))?.getTime(), Math.floor(at.getTime() / 1000) * 1000)
    }),
    { numRuns: 1000 },
  )
})

test('two policies, targets or slots never share a name', () => {
  const different = fc.tuple(name, name).filter(([a, b]) => a !== b)
  fc.assert(
    fc.property(different, name, time, ([a, b], other, at) => {
      const later = new Date(at.getTime() + 60_000)
      const pairs = [
        [cronJobName(a), cronJobName(b)],
        [cronJobName(a, other), cronJobName(b, other)],
        [cronJobName(other, a), cronJobName(other, b)],
        [startJobName(other, uid, 'h', 0, a), startJobName(other, uid, 'h', 0, b)],
        [labelValue(a), labelValue(b)],
        [probeJobName(a, 'uid-a', 'h', 0), probeJobName(b, 'uid-b', 'h', 0)],
        [probeJobName(a, uid, 'h', 0), probeJobName(a, uid, 'h', 1)],
        [catalogJobName(a, other, ''), catalogJobName(b, other, '')],
        [holdJobName(other, a, true), holdJobName(other, b, true)],
        [holdJobName(a, other, true), holdJobName(a, other, false)],
        [slotRunName(a, other, at), slotRunName(b, other, at)],
        [slotRunName(other, a, at), slotRunName(other, b, at)],
        [slotRunName(a, b, at), slotRunName(a, b, later)],
        [childBackupName(other, uid, a), childBackupName(other, uid, b)],
        [onDemandSnapshotName(a, 'one'), onDemandSnapshotName(a, 'two')],
        [onDemandJobName(a, 'one'), onDemandJobName(a, 'two')],
      ]
      for (const [one, two] of pairs) assert.notEqual(one, two)
    }),
    { numRuns: 1000 },
  )
})

test('names that differ only where a dot becomes a dash, or at their cut end, stay two', () => {
  assert.notEqual(cronJobName('db.prod'), cronJobName('db-prod'))
  const long = 'x'.repeat(80)
  assert.notEqual(cronJobName(`${long}a`), cronJobName(`${long}b`))
  assert.notEqual(slotRunName('a', 'b-c', slot), slotRunName('a-b', 'c', slot))
  assert.notEqual(slotRunName('p', `${long}a`, slot), slotRunName('p', `${long}b`, slot))
})

test('the CronJob of an explicit command has the name of its policy alone, and that of any other target fits and stays its own', () => {
  assert.equal(cronJobName('nightly', 'command'), cronJobName('nightly'))
  const long = 'x'.repeat(253)
  const names = [
    ['nightly', 'db'],
    ['nightly-db', 'db'],
    ['nightly', 'db-db'],
    ['nightly', `${long}a`],
    ['nightly', `${long}b`],
    [long, 'db'],
    ['db.prod', 'db.prod'],
    ['db-prod', 'db.prod'],
  ].map(([ofPolicy = '', target]) => cronJobName(ofPolicy, target))
  assert.equal(new Set(names).size, names.length)
  for (const each of names) {
    assert.ok(each.length <= 52, each)
    assert.match(each, /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/)
  }
})

test('a run is one of its target by the CronJob that made it, or on demand, and of no other', () => {
  const run = jobNameOfSlot(cronJobName('nightly', 'db'), slot)
  assert.ok(isRunOf(run, 'nightly', 'db'))
  assert.ok(isRunOf(onDemandJobName('nightly', uid), 'nightly', 'db'))
  for (const [ofPolicy, target] of [
    ['nightly', 'cache'],
    ['weekly', 'db'],
    ['nightly', 'command'],
  ] as const)
    assert.equal(isRunOf(run, ofPolicy, target), false)
  assert.equal(isRunOf(slotRunName('nightly', 'db', slot), 'nightly', 'db'), false)
})

test('the slot of a Job is read back from its name, and from no other name', () => {
  fc.assert(
    fc.property(name, time, (policy, at) => {
      const minute = new Date(Math.floor(at.getTime() / 60_000) * 60_000)
      const cronJob = cronJobName(policy)
      // Names hold the minutes since 1970 with 7 to 9 digits: from 1989 on.
      if (minute < new Date('1990-01-01T00:00:00Z')) return
      assert.deepEqual(slotOfJobName(jobNameOfSlot(cronJob, minute), cronJob), minute)
    }),
    { numRuns: 500 },
  )
  for (const other of [onDemandJobName('nightly', uid), 'backup-nightly', 'backup-nightly-x', 'other-29459640', ''])
    assert.equal(slotOfJobName(other, 'backup-nightly'), undefined)
})

test('the hash is 64-bit FNV-1a', () => {
  // http://www.isthe.com/chongo/src/fnv/test_fnv.c: "" and "foobar"
  assert.equal(nameHash(''), 0xcbf29ce484222325n.toString(36).padStart(13, '0').slice(-10))
  assert.equal(nameHash('foobar'), 0x85944171f73967e8n.toString(36).padStart(13, '0').slice(-10))
})

test('the slot of a run is in its name, and in no name that people give', () => {
  const slot = new Date('2026-01-05T02:00:00Z')
  assert.deepEqual(slotOfRunName(slotRunName('nightly', 'data', slot)), slot)
  assert.deepEqual(slotOfRunName(slotRunName('n'.repeat(63), 'd'.repeat(63), slot)), slot)
  for (const name of [
    'before-upgrade',
    'nightly-20260105t020000z',
    onDemandSnapshotName('nightly-20260105t020000z', 'u'),
  ])
    assert.equal(slotOfRunName(name), undefined, name)
})

test('the text of a slot can be read again, and no other text', () => {
  const slot = new Date('2026-01-05T02:00:00Z')
  assert.deepEqual(slotOfText(slotText(slot)), slot)
  for (const text of [undefined, '', '20260105', '20261305T020000Z', '2026-01-05T02:00:00Z'])
    assert.equal(slotOfText(text), undefined, String(text))
})
