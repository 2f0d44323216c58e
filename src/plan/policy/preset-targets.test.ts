import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { does, only, planPolicy } from '../../../test/plan/planned.ts'
import {
  cronJobOf,
  found,
  jobOfTarget,
  known,
  presetPolicy,
  presetWorld,
  scheduledOf,
  all,
  unresolved,
} from '../../../test/plan/preset-world.ts'
import {
  at,
  backup,
  complete,
  completed,
  failed,
  jobOfBackup,
  jobStrategy,
  pod,
  policy,
  saying,
  stamp,
  world,
} from '../../../test/plan/world.ts'
import { backupPolicyStatus, type BackupPolicyStatus } from '../../api/kinds/backup-policy-status.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import { label } from '../../api/labels.ts'
import { moverEnvironment } from '../../api/mover/pod.ts'
import { parseMoverTask, type BackupTask } from '../../api/mover/task.ts'
import { runsDigest } from '../../api/mover/runs-digest.ts'
import { cronJobName, onDemandJobName } from '../../api/names.ts'
import type { Job, JobSpec } from '../../api/kubernetes.ts'
import { mostTargets } from '../view/job-targets.ts'
import type { PolicyWorld } from '../view/world.ts'
import { overdueSeconds } from './overdue.ts'

const now = at('12:00')
const slot = at('02:00')
const [db, cache, users] = [found('db'), found('cache'), found('users')]

function statusOf(seen: PolicyWorld, time = now): BackupPolicyStatus {
  const [write] = only(planPolicy(seen, time).actions, 'status BackupPolicy')
  return write?.status ?? assert.fail('the status does not change')
}

/** What the status of each target says in a few words. */
function targetsOf(seen: PolicyWorld, time = now): readonly (readonly [string, boolean, string])[] {
  return statusOf(seen, time).targets?.map(({ name, ready, reason }) => [name, ready, reason] as const) ?? []
}

function condition(status: BackupPolicyStatus, type: string): readonly (string | undefined)[] {
  const is = status.conditions?.find(each => each.type === type)
  return [is?.status, is?.reason]
}

function taskOf(spec: JobSpec): BackupTask {
  const mover = spec.template.spec.containers.find(({ name }) => name === 'mover')
  return parseMoverTask(mover?.env?.find(({ name }) => name === moverEnvironment.task)?.value ?? '') as BackupTask
}

suite('CronJobs', () => {
  test('each target gets its own, with its image, its settings and its folder in the bucket', () => {
    const { actions } = planPolicy(presetWorld(presetPolicy(), [db, cache], { targetCronJobs: [] }), now)
    const made = only(actions, 'create CronJob').map(({ object }) => object)
    assert.deepEqual(
      made.map(({ metadata }) => [metadata.name, metadata.labels?.[label.target]]),
      [
        [cronJobName('nightly', 'cache'), 'cache'],
        [cronJobName('nightly', 'db'), 'db'],
      ],
    )
    const [, ofDb] = made
    const { spec } = ofDb?.spec.jobTemplate ?? assert.fail()
    const dump = spec.template.spec.containers.find(({ name }) => name === 'dump')
    assert.equal(dump?.image, db.image)
    assert.deepEqual(dump.args, ['/.backup/busybox', 'sh', '/.backup/preset-postgres.sh', 'dump'])
    assert.deepEqual(dump.command, ['/.backup/busybox', 'sh', '/.backup/init.sh', '300'], 'it announces its artifacts')
    assert.deepEqual(
      dump.env?.find(({ name }) => name === 'PGHOST'),
      { name: 'PGHOST', value: 'db' },
    )
    assert.deepEqual([taskOf(spec).target, taskOf(spec).cronJob], ['db', cronJobName('nightly', 'db')])
  })

  test('its dump is given what was inferred, and what the policy states of the same name wins', () => {
    const mount = { name: 'backup-tls', mountPath: '/.backup-connection/tls', readOnly: true }
    const inferred = found('db', { imagePullSecrets: ['registry'] })
    const withTls = { ...inferred, connection: { ...inferred.connection, tls: { secretName: 'db-client' } } }
    const stated = { ...jobStrategy, job: { ...jobStrategy.job, env: [{ name: 'PGUSER', value: 'reader' }] } }
    const of = presetPolicy({ strategy: stated })
    const { spec } = cronJobOf(of, withTls).spec.jobTemplate.spec.template
    const dump = spec.containers.find(({ name }) => name === 'dump')
    const mover = spec.containers.find(({ name }) => name === 'mover')
    const names = dump?.env?.map(({ name }) => name) ?? []
    assert.deepEqual(
      names.filter(name => /^PG(HOST|USER)$/.test(name)),
      ['PGHOST', 'PGUSER'],
    )
    assert.deepEqual(dump?.env?.at(-1), { name: 'PGUSER', value: 'reader' })
    assert.deepEqual(spec.imagePullSecrets?.at(-1), { name: 'registry' })
    assert.deepEqual(dump?.volumeMounts?.at(-1), mount)
    const secret = { secretName: 'db-client', optional: true, defaultMode: 0o444 }
    assert.deepEqual(spec.volumes.at(-1), { name: mount.name, secret })
    assert.ok(!mover?.volumeMounts?.some(({ name }) => name === mount.name), 'the mover needs none of it')
  })

  test('those that stand as they should are left alone, and a change of one target writes that one alone', () => {
    const of = presetPolicy()
    const cronJobs = (seen: PolicyWorld) =>
      planPolicy(seen, now)
        .actions.map(does)
        .filter(each => /CronJob/.test(each))
    assert.deepEqual(cronJobs(presetWorld(of, [db, cache])), [])
    const moved = found('db', { image: 'registry.example.com/db:18' })
    const seen = presetWorld(of, [moved, cache], { targetCronJobs: [db, cache].map(each => cronJobOf(of, each)) })
    const [written, ...others] = only(planPolicy(seen, now).actions, 'replace CronJob')
    assert.deepEqual([written?.object.metadata.name, others.length], [cronJobName('nightly', 'db'), 0])
  })

  test('H spreads the targets of one policy', () => {
    const of = presetPolicy({ schedule: 'H 2 * * *' })
    const schedules = [db, cache, users].map(each => cronJobOf(of, each).spec.schedule)
    assert.equal(new Set(schedules).size, 3)
    assert.equal(
      planPolicy(presetWorld(of, [db, cache, users]), now)
        .actions.map(does)
        .filter(each => /CronJob/.test(each)).length,
      0,
    )
  })

  test('two policies on one workload have CronJobs of their own', () => {
    assert.notEqual(cronJobName('nightly', 'db'), cronJobName('weekly', 'db'))
    const of = presetPolicy()
    const theirs = cronJobOf({ ...of, metadata: { ...of.metadata, name: 'weekly', uid: 'uid-of-weekly' } }, db)
    const { actions } = planPolicy(presetWorld(of, [db], { targetCronJobs: [theirs] }), now)
    assert.deepEqual(
      actions.map(does).filter(each => /CronJob/.test(each)),
      ['create CronJob'],
    )
  })

  test("a stranger's keeps one target from being backed up, and no other", () => {
    const of = presetPolicy()
    const stranger = cronJobOf(of, db, {})
    const theirs = { ...stranger, metadata: { name: stranger.metadata.name, namespace: 'shop', uid: 'theirs' } }
    const seen = presetWorld(of, [db, cache], { targetCronJobs: [theirs] })
    assert.deepEqual(targetsOf(seen), [
      ['cache', true, 'Ready'],
      ['db', false, 'NameTaken'],
    ])
    assert.equal(only(planPolicy(seen, now).actions, 'create CronJob').length, 1)
    const status = statusOf(seen)
    assert.deepEqual(condition(status, 'TargetsReady'), ['False', 'NameTaken'])
    assert.equal(status.targets?.find(({ name }) => name === 'db')?.cronJob, undefined)
  })

  test('one that somebody gave our labels is none of ours and stays', () => {
    const of = presetPolicy()
    const theirs = { ...cronJobOf(of, users), spec: { ...cronJobOf(of, users).spec } }
    const posing = { ...theirs, metadata: { ...theirs.metadata, name: 'theirs', uid: 'theirs', ownerReferences: [] } }
    const seen = presetWorld(of, [db], { targetCronJobs: [cronJobOf(of, db), posing] })
    assert.deepEqual(only(planPolicy(seen, now).actions, 'delete CronJob'), [])
  })

  for (const [what, of] of [
    ['the policy states its command', policy()],
    ['the policy has strategy snapshot', policy({ strategy: { type: 'snapshot' } })],
    ['the policy is gone', undefined],
  ] as const)
    test(`all go when ${what}`, () => {
      const seen = { ...world(of), targetCronJobs: [db, cache].map(each => cronJobOf(presetPolicy(), each)) }
      const gone = only(planPolicy(seen, now).actions, 'delete CronJob').map(({ name }) => name)
      assert.deepEqual(gone.toSorted(), [cronJobName('nightly', 'cache'), cronJobName('nightly', 'db')].toSorted())
    })

  test('that of an explicit command goes when the policy has a preset', () => {
    const command = world(policy()).cronJob
    const { actions } = planPolicy(presetWorld(presetPolicy(), [db], { cronJob: command }), now)
    assert.deepEqual(
      only(actions, 'delete CronJob').map(({ name }) => name),
      ['backup-nightly'],
    )
  })
})

suite('what cannot be backed up', () => {
  test('is named with its reason and what to do, and the others go on', () => {
    const seen = presetWorld(presetPolicy(), [db, unresolved('cache')])
    assert.deepEqual(targetsOf(seen), [
      ['cache', false, 'Ambiguous'],
      ['db', true, 'Ready'],
    ])
    const status = statusOf(seen)
    assert.match(status.targets?.[0]?.message ?? '', /two Services reach cache$/)
    assert.deepEqual(condition(status, 'TargetsReady'), ['False', 'Ambiguous'])
    assert.notEqual(condition(status, 'Ready')[1], 'Ambiguous')
  })

  test('is Ready=False where it is all there is', () => {
    const status = statusOf(presetWorld(presetPolicy(), [unresolved('cache'), unresolved('db')]))
    assert.deepEqual(condition(status, 'Ready'), ['False', 'Ambiguous'])
  })

  test('goes on with the CronJob that stands, at the times of the policy', () => {
    const standing = cronJobOf(presetPolicy(), db)
    const same = presetWorld(presetPolicy(), [unresolved('db')], { targetCronJobs: [standing] })
    assert.deepEqual(
      planPolicy(same, now)
        .actions.map(does)
        .filter(each => /CronJob/.test(each)),
      [],
    )
    const suspended = presetWorld(presetPolicy({ suspend: true }), [unresolved('db')], { targetCronJobs: [standing] })
    const [written] = only(planPolicy(suspended, now).actions, 'replace CronJob')
    assert.equal(written?.object.spec.suspend, true)
    assert.deepEqual(written.object.spec.jobTemplate, standing.spec.jobTemplate)
  })

  test('is every workload that one policy has no room for', () => {
    const many = Array.from({ length: mostTargets + 2 }, (_, n) => found(`db-${String(n).padStart(3, '0')}`))
    const { targets = [] } = statusOf(presetWorld(presetPolicy(), many, { targetCronJobs: [] }))
    assert.deepEqual(
      targets.filter(({ reason }) => reason === 'TooManyTargets').map(({ name }) => name),
      ['db-128', 'db-129'],
    )
  })

  test('is a workload of the name that explicit commands have', () => {
    const { actions } = planPolicy(presetWorld(presetPolicy(), [found('command')], { targetCronJobs: [] }), now)
    assert.deepEqual(only(actions, 'create CronJob'), [])
  })
})

suite('a preset that finds nothing', () => {
  test('is Ready=False, because nothing is backed up', () => {
    const status = statusOf(presetWorld(presetPolicy(), []))
    assert.deepEqual(condition(status, 'Ready'), ['False', 'SelectorMatchedNothing'])
    assert.deepEqual(condition(status, 'TargetsReady'), ['Unknown', 'SelectorMatchedNothing'])
  })

  test('because nobody can say keeps what stands, and starts nothing new', () => {
    const of = presetPolicy({}, { targets: [known('db', slot)] })
    const seen = presetWorld(of, [db], { presetTargets: undefined })
    const { actions } = planPolicy(seen, now)
    assert.deepEqual(
      actions.map(does).filter(each => /CronJob/.test(each)),
      [],
    )
    const status = statusOf(seen)
    assert.deepEqual(condition(status, 'Ready'), ['Unknown', 'TargetsUnknown'])
    assert.equal(status.targets?.[0]?.accountedUntil, stamp(slot))
    assert.equal(status.targets[0].goneSince, undefined)
  })
})

suite('a target that goes', () => {
  const of = (more: Parameters<typeof known>[2] = {}) =>
    presetPolicy({}, { targets: [known('cache', slot), known('db', slot, more)] })
  const without = (made: BackupPolicy, more: Partial<PolicyWorld> = {}) =>
    presetWorld(made, [cache], { targetCronJobs: [cache, db].map(each => cronJobOf(made, each)), ...more })

  test('keeps its CronJob for a while: its pod may only be moved', () => {
    const seen = without(of())
    assert.deepEqual(only(planPolicy(seen, now).actions, 'delete CronJob'), [])
    const target = statusOf(seen).targets?.find(({ name }) => name === 'db')
    assert.deepEqual([target?.ready, target?.reason, target?.goneSince], [false, 'TargetNotFound', stamp(now)])
    assert.equal(target?.accountedUntil, stamp(slot))
    assert.deepEqual(condition(statusOf(seen), 'TargetsReady'), ['True', 'Ready'])
  })

  test('loses it a quarter of an hour later, and the plan wakes for that', () => {
    const gone = of({ goneSince: stamp(now), reason: 'TargetNotFound' })
    const { wakeAt } = planPolicy(without(gone), at('12:01'))
    assert.ok(wakeAt && wakeAt <= at('12:15'), String(wakeAt))
    const seen = without(gone, { backups: [scheduledOf('db', slot, completed('', at('02:05')))] })
    const { actions } = planPolicy(seen, at('12:15'))
    assert.deepEqual(
      only(actions, 'delete CronJob').map(({ name }) => name),
      [cronJobName('nightly', 'db')],
    )
    assert.deepEqual(only(actions, 'delete Backup'), [])
  })

  test('does not lose it while a run of its goes on, which would go with it', () => {
    const gone = of({ goneSince: stamp(at('11:00')), reason: 'TargetNotFound' })
    const going = jobOfTarget('db', at('11:30'))
    assert.deepEqual(only(planPolicy(without(gone, { jobs: [going] }), now).actions, 'delete CronJob'), [])
  })

  test('of MySQL it is the script of MariaDB, and of the policy what is stated', () => {
    const job = { ...presetPolicy().spec.strategy.job, preset: 'mysql', image: 'mysql:9', compression: 'none' }
    const of = presetPolicy()
    const stated = { ...of, spec: { ...of.spec, strategy: { type: 'job', job } } } as BackupPolicy
    const inferred = found('db', { image: 'mysql:9', imagePullSecrets: ['registry'] })
    const { template } = cronJobOf(stated, inferred).spec.jobTemplate.spec
    const dump = template.spec.containers.find(({ name }) => name === 'dump')
    assert.deepEqual(dump?.args?.slice(2), ['/.backup/preset-mariadb.sh', 'dump'])
    assert.ok(!template.spec.imagePullSecrets?.some(({ name }) => name === 'registry'), 'of another image')
    assert.equal(taskOf(cronJobOf(stated, inferred).spec.jobTemplate.spec).compression, 'none')
  })

  test('does not lose it while its workload only has no pods', () => {
    const gone = of({ goneSince: stamp(at('11:00')), reason: 'TargetNotFound' })
    const seen = without(gone, { presetTargets: all([cache], { withoutPods: ['db'] }) })
    assert.deepEqual(only(planPolicy(seen, now).actions, 'delete CronJob'), [])
    const target = statusOf(seen).targets?.find(({ name }) => name === 'db')
    assert.deepEqual([target?.ready, target?.reason, target?.goneSince], [false, 'NoPods', undefined])
  })

  test('does not lose it while nobody can say what there is', () => {
    const gone = of({ goneSince: stamp(at('11:00')), reason: 'TargetNotFound' })
    const seen = without(gone, { presetTargets: undefined })
    assert.deepEqual(only(planPolicy(seen, now).actions, 'delete CronJob'), [])
  })

  test('keeps its CronJob for that while also where the status that told of it is lost', () => {
    const made = presetPolicy({}, { targets: undefined })
    for (const presetTargets of [all([cache]), undefined]) {
      const seen = without(made, { presetTargets })
      assert.deepEqual(only(planPolicy(seen, now).actions, 'delete CronJob'), [])
      const target = statusOf(seen).targets?.find(({ name }) => name === 'db')
      assert.equal(target?.goneSince, presetTargets && stamp(now))
    }
  })

  test('and whose CronJob could not be deleted is tried again', () => {
    const told = { name: 'db', ready: false, reason: 'TargetNotFound', message: '' }
    const made = presetPolicy({}, { targets: [known('cache', slot), told] })
    assert.equal(only(planPolicy(without(made), now).actions, 'delete CronJob').length, 1)
  })

  test('keeps its Backups, which the status goes on telling of without a mark', () => {
    const location = statusOfStore(of())
    const kept = scheduledOf('db', slot, completed('', at('02:05'), { store: location }))
    const gone = of({ goneSince: stamp(at('11:00')), reason: 'TargetNotFound' })
    const target = statusOf(without(gone, { backups: [kept] })).targets?.find(({ name }) => name === 'db')
    assert.deepEqual([target?.reason, target?.kept, target?.accountedUntil], ['TargetNotFound', 1, undefined])
  })

  test('and comes back within that while goes on where it was; what passed meanwhile counts', () => {
    const back = of({ goneSince: stamp(at('11:50')), reason: 'TargetNotFound' })
    const target = statusOf(presetWorld(back, [cache, db])).targets?.find(({ name }) => name === 'db')
    assert.deepEqual([target?.ready, target?.goneSince, target?.accountedUntil], [true, undefined, stamp(slot)])
  })

  test('and comes back later is new: no slot before its CronJob is missed', () => {
    const made = presetPolicy(
      { schedule: '0 * * * *' },
      { targets: [known('cache', at('12:00')), { name: 'db', ready: false, reason: 'TargetNotFound', message: '' }] },
    )
    const { targets, slots } = statusOf(
      presetWorld(made, [cache, db], { targetCronJobs: [cronJobOf(made, cache)] }),
      now,
    )
    assert.equal(targets?.find(({ name }) => name === 'db')?.accountedUntil, stamp(now))
    assert.equal(slots?.missed, 0)
  })
})

function statusOfStore(of: BackupPolicy): string {
  const [made] = only(planPolicy(presetWorld(of, [db], { targetCronJobs: [] }), now).actions, 'create CronJob')
  return made?.object.spec.jobTemplate.metadata?.annotations?.['backup.dev/store'] ?? assert.fail()
}

suite('slots', () => {
  const hourly = { schedule: '0 * * * *', startingDeadlineSeconds: 600 }
  const both = (ofDb: Date, ofCache: Date, more: Partial<BackupPolicyStatus> = {}) =>
    presetPolicy(hourly, { targets: [known('cache', ofCache), known('db', ofDb)], ...more })

  test('each target records its own Jobs under its name', () => {
    const of = both(at('11:00'), at('11:00'))
    const jobs = [jobOfTarget('db', now), jobOfTarget('cache', now)]
    const made = only(planPolicy(presetWorld(of, [db, cache], { jobs }), at('12:01')).actions, 'create Backup')
    assert.deepEqual(
      made.map(({ name, target, slot: of }) => [name, target, of]),
      jobs.map(({ metadata }, n) => [metadata.name, ['db', 'cache'][n], now]).toReversed(),
    )
  })

  test('a run of one target is no run of another: that has missed its slot', () => {
    const of = both(at('11:00'), at('11:00'))
    const jobs = [jobOfTarget('db', now, { status: complete(now, at('12:01')) })]
    const status = statusOf(presetWorld(of, [db, cache], { jobs }), at('12:30'))
    const mark = (target: string) => status.targets?.find(({ name }) => name === target)?.accountedUntil
    assert.deepEqual([mark('db'), mark('cache'), status.accountedUntil], [stamp(now), stamp(now), stamp(now)])
    assert.deepEqual([status.slots?.missed, status.slots?.lastMissed], [1, stamp(now)])
  })

  test('where the Backup of one is refused its book alone waits', () => {
    const of = both(at('11:00'), at('11:00'))
    const jobs = [jobOfTarget('db', now), jobOfTarget('cache', now)]
    const words = { action: 'create', kind: 'Backup', name: 'x', words: 'no', passing: false } as const
    const refused = new Map([[`record/${jobs[0]?.metadata.name}`, words]])
    const { actions } = planPolicy(presetWorld(of, [db, cache], { jobs }), at('12:01'), refused)
    const [write] = only(actions, 'status BackupPolicy')
    const mark = (target: string) => write?.status.targets?.find(({ name }) => name === target)?.accountedUntil
    assert.deepEqual([mark('db'), mark('cache')], [stamp(at('11:00')), stamp(now)])
    assert.equal(write?.status.accountedUntil, stamp(at('11:00')))
  })

  test('what one target owes is overdue, however good the others are', () => {
    const of = both(at('11:00'), at('11:00'), {
      lastSuccess: stamp(at('11:05')),
      targets: [
        known('cache', at('11:00'), { newest: stamp(at('11:00')) }),
        known('db', at('11:00'), { newest: stamp(at('01:00')) }),
      ],
    })
    assert.equal(overdueSeconds(of, at('11:30')), 9.5 * 3600)
  })

  test('Backups of a slot stay as its proof until the book of their own target has it', () => {
    const of = both(at('01:00'), at('11:00'))
    const old = (target: string) => scheduledOf(target, at('02:00'), failed('', at('02:05')))
    const many = (target: string) =>
      [3, 4, 5, 6, 7].map(h => scheduledOf(target, at(`0${h}:00`), failed('', at(`0${h}:05`))))
    const backups = [old('db'), old('cache'), ...many('db'), ...many('cache')]
    const gone = only(planPolicy(presetWorld(of, [db, cache], { backups }), now).actions, 'delete Backup')
    assert.deepEqual(
      gone.map(({ name }) => name),
      [old('cache').metadata.name],
    )
  })
})

suite('names as long as they may be', () => {
  const [one, two] = ['a', 'b'].map(end => `${'x'.repeat(252)}${end}`) as [string, string]
  const of = presetPolicy({}, { targets: [known(one, at('01:00')), known(two, at('01:00'))] })
  const targets = [found(one), found(two)]

  test('keep two targets two: each has its CronJob, its Jobs and its Backups', () => {
    const jobs = [one, two].map(target => jobOfTarget(target, slot))
    const seen = presetWorld(of, targets, { jobs })
    const made = only(planPolicy(seen, at('02:01')).actions, 'create Backup')
    assert.deepEqual(
      made.map(({ name, target }) => [name, target]),
      jobs.map(({ metadata }, n) => [metadata.name, [one, two][n]]),
    )
    for (const { object } of made)
      for (const value of Object.values(object.metadata.labels ?? {})) assert.ok(value.length <= 63, value)
  })

  test('are no reason to delete a CronJob before its time, or to keep it after that', () => {
    const cronJobs = targets.map(each => cronJobOf(of, each))
    const gone = (made: BackupPolicy, time: Date) =>
      only(planPolicy(presetWorld(made, [found(one)], { targetCronJobs: cronJobs }), time).actions, 'delete CronJob')
    assert.deepEqual(gone(of, now), [])
    const later = presetPolicy(
      {},
      {
        targets: [known(one, slot), known(two, slot, { goneSince: stamp(at('11:00')), reason: 'TargetNotFound' })],
        cronJobUIDs: cronJobs.flatMap(({ metadata }) => metadata.uid ?? []),
      },
    )
    assert.deepEqual(
      gone(later, now).map(({ name }) => name),
      [cronJobName('nightly', two)],
    )
  })
})

suite('a Backup on demand', () => {
  const of = presetPolicy()

  test('of several targets makes a child for each, also of one that cannot be backed up', () => {
    const seen = presetWorld(of, [db, cache, unresolved('users')], { backups: [backup('now')] })
    const made = only(planPolicy(seen, at('00:01')).actions, 'create child Backup').map(({ target }) => target)
    assert.deepEqual(made, ['cache', 'db', 'users'])
  })

  test('of the only target needs no child', () => {
    const seen = (status?: object) => presetWorld(of, [db], { backups: [backup('now', status ? { status } : {})] })
    const [write] = only(planPolicy(seen(), at('00:01')).actions, 'status Backup')
    assert.equal(write?.status.target, 'db')
    const [job] = only(planPolicy(seen(write.status), at('00:01')).actions, 'create run Job')
    assert.equal(job?.object.metadata.labels?.[label.target], 'db')
    assert.equal(taskOf(job.object.spec).target, 'db')
  })

  test('names the one that it is of, and waits for no run of another', () => {
    const asked = backup('now', { spec: { target: 'db' } })
    const starts = (going: string) => {
      const seen = presetWorld(of, [db, cache], { backups: [asked], jobs: [jobOfTarget(going, at('00:00'))] })
      return only(planPolicy(seen, at('00:01')).actions, 'create run Job').length
    }
    assert.deepEqual([starts('cache'), starts('db')], [1, 0])
  })

  test('of two targets at once both start, and of one target one after the other', () => {
    const asked = (name: string, target: string) => backup(name, { spec: { target } })
    const starts = (...backups: readonly ReturnType<typeof backup>[]) =>
      only(planPolicy(presetWorld(of, [db, cache], { backups }), at('00:01')).actions, 'create run Job').length
    assert.equal(starts(asked('a', 'db'), asked('b', 'cache')), 2)
    const { groups } = planPolicy(
      presetWorld(of, [db, cache], { backups: [asked('a', 'db'), asked('b', 'db')] }),
      at('00:01'),
    )
    assert.equal(groups.filter(({ name }) => name.startsWith('start/')).length, 1)
  })

  test('of a name that nobody has, or that cannot be backed up, waits for the workload, and then fails', () => {
    for (const [target, reason] of [
      ['nothing', 'TargetNotFound'],
      ['cache', 'Ambiguous'],
    ] as const) {
      const asked = backup('now', { spec: { target } })
      const [early] = only(
        planPolicy(presetWorld(of, [db, unresolved('cache')], { backups: [asked] }), at('00:04')).actions,
        'status Backup',
      )
      assert.deepEqual([early?.status.phase, early?.status.reason], ['Pending', reason])
      const [late] = only(
        planPolicy(presetWorld(of, [db, unresolved('cache')], { backups: [asked] }), at('00:05')).actions,
        'status Backup',
      )
      assert.deepEqual([late?.status.phase, late?.status.reason], ['Failed', reason])
    }
  })

  test('is judged by its Job whatever its target is named, also where the snapshot API is away', () => {
    const asked = backup('now', { spec: { target: 'db' } })
    const run = onDemandJobName('nightly', asked.metadata.uid ?? '')
    const job = jobOfBackup(asked, { status: complete(at('00:01'), at('00:02')) })
    const seen = presetWorld(of, [db], {
      backups: [asked],
      jobs: [job],
      snapshotClasses: undefined,
      pods: [
        pod(job, 1, {
          status: {
            phase: 'Succeeded',
            containerStatuses: [saying({ phase: 'committed', run, slot: at('00:00').getTime(), deleted: [] } as never)],
          },
        }),
      ],
    })
    const [write] = only(planPolicy(seen, at('00:03')).actions, 'status Backup')
    assert.deepEqual([write?.status.phase, write?.status.target], ['Completed', 'db'])
    const gone = { ...asked, status: { ...write?.status, phase: 'Running', reason: 'Running', jobUID: 'x' } } as never
    const lost = planPolicy(presetWorld(of, [db], { backups: [gone], snapshotClasses: undefined }), at('00:04'))
    assert.deepEqual(
      only(lost.actions, 'status Backup').map(({ status }) => status.reason),
      ['JobDeleted'],
    )
  })
})

suite('the bucket', () => {
  test('is compared target by target: what one run says is of its own target', () => {
    const of = presetPolicy({}, { targets: [known('cache', slot, { digest: 'as-before' }), known('db', slot)] })
    const store = statusOfStore(of)
    const job = jobOfTarget('db', slot, {
      metadata: { annotations: { 'backup.dev/store': store } },
      status: complete(slot, at('02:05')),
    })
    const run = job.metadata.name
    const kept = { count: 2, digest: runsDigest([run, 'another']) }
    const message = {
      phase: 'committed',
      run,
      slot: slot.getTime(),
      kept,
      deleted: [],
      startedAt: 0,
      finishedAt: 0,
      bytes: 1,
      storedBytes: 1,
      manifest: 'm',
    }
    const containerStatuses = [saying(message as never)]
    const seen = presetWorld(of, [db, cache], {
      jobs: [job],
      pods: [pod(job, 1, { status: { phase: 'Succeeded', containerStatuses } })],
      backups: [scheduledOf('db', slot, completed('', at('02:05'), { store }))],
    })
    const [page, ...others] = only(planPolicy(seen, now).actions, 'create catalog Job')
    assert.equal(others.length, 0)
    assert.equal(page?.object.metadata.labels?.[label.target], 'db')
    const digests = statusOf(seen).targets?.map(({ name, digest }) => [name, digest])
    assert.deepEqual(digests, [
      ['cache', 'as-before'],
      ['db', undefined],
    ])
  })

  test('sizes are compared within a target: a small database is no ruin of a large one', () => {
    const of = presetPolicy({}, { targets: [known('cache', slot), known('db', slot)] })
    const store = statusOfStore(of)
    const big = scheduledOf('db', at('01:00'), completed('', at('01:05'), { store, bytes: 1_000_000_000 }))
    const small = scheduledOf('cache', slot, completed('', at('02:05'), { store, bytes: 1000 }))
    const seen = presetWorld(of, [db, cache], { backups: [big, small] })
    assert.equal(condition(statusOf(seen), 'RetentionBlocked')[0], undefined)
    const hints = only(planPolicy({ ...seen, targetCronJobs: [] }, now).actions, 'create CronJob').map(({ object }) => {
      const { target, sizeHint, accepted } = taskOf(object.spec.jobTemplate.spec)
      return [target, sizeHint, accepted]
    })
    assert.deepEqual(hints, [
      ['cache', 512, []],
      ['db', 536_870_912, []],
    ])
  })

  test('a hold is written where the data of its target are', () => {
    const of = presetPolicy()
    const stored = scheduledOf('db', slot, completed('', at('02:05'), { store: statusOfStore(of) }))
    const held = { ...stored, metadata: { ...stored.metadata, annotations: { 'backup.dev/hold': 'true' } } }
    const [job] = only(planPolicy(presetWorld(of, [db, cache], { backups: [held] }), now).actions, 'create hold Job')
    assert.equal((taskOf(job?.object.spec ?? assert.fail()) as { readonly target: string }).target, 'db')
  })

  test('of each target the newest success keeps its Job', () => {
    const of = presetPolicy({}, { targets: [known('cache', slot), known('db', slot)] })
    const ofSlot = (target: string, of: Date) =>
      [jobOfTarget(target, of, { status: complete(of, of) }), scheduledOf(target, of, completed('', of))] as const
    const runs = [ofSlot('db', at('01:00')), ofSlot('db', slot), ofSlot('cache', at('01:00'))]
    const seen = presetWorld(of, [db, cache], {
      jobs: runs.map(([job]) => job),
      backups: runs.map(([, told]) => told),
      targetCronJobs: [db, cache].map(each => cronJobOf(of, each, { status: { lastScheduleTime: stamp(slot) } })),
    })
    const gone = only(planPolicy(seen, now).actions, 'delete Job').map(({ name }) => name)
    assert.deepEqual(gone, [runs[0]?.[0].metadata.name])
  })
})

suite('dry starts', () => {
  test('are made one target after the other, and each tells of its own', () => {
    const of = presetPolicy()
    const first = only(planPolicy(presetWorld(of, [db, cache]), at('05:00')).actions, 'create start Job')
    assert.deepEqual(
      first.map(({ object }) => object.metadata.labels?.[label.target]),
      ['cache'],
    )
    const going = first[0]?.object ?? assert.fail()
    const looking = going.spec.template.spec.containers.find(({ name }) => name === 'dump')
    assert.deepEqual([looking?.image, looking?.args], [cache.image, ['pg_dump']], 'the script is there for certain')
    const job = {
      ...going,
      metadata: { ...going.metadata, uid: 'uid-of-start', creationTimestamp: stamp(at('05:00')) },
    }
    const second = planPolicy(presetWorld(of, [db, cache], { jobs: [job] }), at('05:00:10'))
    assert.deepEqual(only(second.actions, 'create start Job'), [])
    const ended = presetWorld(of, [db, cache], { jobs: [{ ...job, status: complete(at('05:00'), at('05:01')) }] })
    const [write] = only(planPolicy(ended, at('05:01')).actions, 'status BackupPolicy')
    assert.deepEqual(
      write?.status.targets?.map(({ name, start }) => [name, start?.result]),
      [
        ['cache', 'Startable'],
        ['db', 'Unknown'],
      ],
    )
    assert.equal(write?.status.start, undefined)
    assert.deepEqual(
      only(planPolicy(ended, at('05:01')).actions, 'create start Job').map(
        ({ object }) => object.metadata.labels?.[label.target],
      ),
      ['db'],
    )
  })
})

test('a dry start of a target that is gone goes once it has ended', () => {
  const of = presetPolicy()
  const [made] = only(planPolicy(presetWorld(of, [db]), at('05:00')).actions, 'create start Job')
  const { object } = made ?? assert.fail()
  const going = {
    ...object,
    metadata: { ...object.metadata, uid: 'uid-of-start', creationTimestamp: stamp(at('05:00')) },
  }
  const ended = { ...going, status: complete(at('05:00'), at('05:01')) }
  const gone = (job: Job) =>
    only(planPolicy(presetWorld(of, [cache], { jobs: [job] }), at('05:02')).actions, 'delete Job').length
  assert.deepEqual([gone(going), gone(ended)], [0, 1])
})

test('a plan does not depend on the order in which targets are found', () => {
  const of = presetPolicy()
  const names = (targets: Parameters<typeof presetWorld>[1]) =>
    planPolicy(presetWorld(of, targets, { targetCronJobs: [] }), now).groups.map(({ name }) => name)
  assert.deepEqual(names([db, cache, users]), names([users, db, cache]))
})

test('the status of several targets has the shape of the schema, at rest and with as many as there may be', () => {
  const many = Array.from({ length: mostTargets }, (_, n) => found(`db-${n}`))
  for (const targets of [[db, cache], many]) {
    const status = statusOf(presetWorld(presetPolicy(), targets))
    assert.deepEqual(backupPolicyStatus.strict().parse(status), status)
  }
})
