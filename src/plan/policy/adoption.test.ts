import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { does, only, planPolicy } from '../../../test/plan/planned.ts'
import { found, presetPolicy, presetWorld, scheduledOf } from '../../../test/plan/preset-world.ts'
import {
  at,
  backup,
  complete,
  completed,
  desiredCronJob,
  job,
  jobFailed,
  jobOfSlot,
  pod,
  policy,
  saying,
  scheduled,
  stamp,
  usableStore,
  world,
} from '../../../test/plan/world.ts'
import type { Backup } from '../../api/kinds/backup.ts'
import type { BackupPolicyStatus, FolderStatus } from '../../api/kinds/backup-policy-status.ts'
import { label } from '../../api/labels.ts'
import type { CatalogEntry, MoverMessage } from '../../api/mover/message.ts'
import { runsDigest } from '../../api/mover/runs-digest.ts'
import { catalogJobName, cronJobName, probeJobName } from '../../api/names.ts'
import { stateHash, storeLocation } from '../../resources/desired-state.ts'
import type { PolicyWorld } from '../view/world.ts'

const now = at('12:00')
const lost = 'cluster-of-before'
const plain = policy().spec.backend ?? assert.fail()
const adopting = { ...plain, adopt: lost }
const slots = [at('01:00'), at('02:00')]
const runs = slots.map(slot => jobOfSlot(slot).metadata.name)

function folderOf(target: string, ofTarget: readonly string[] = runs): FolderStatus {
  return { target, count: ofTarget.length, digest: runsDigest(ofTarget) }
}

/** A policy of an explicit command whose probe has just passed and found this in the folder. */
function applied(backend: object, folder: readonly FolderStatus[] | undefined, more: Partial<BackupPolicyStatus> = {}) {
  const made = policy({ backend })
  const told = folder === undefined ? {} : { folder: [...folder] }
  const store = usableStore(at('11:59'), { backendHash: stateHash(made.spec.backend), ...told })
  return { ...made, status: { ...made.status, store, ...more } }
}

function entry(run: string, slot: Date): CatalogEntry {
  return { run, slot: slot.getTime(), startedAt: slot.getTime(), finishedAt: slot.getTime() + 60_000, storedBytes: 5 }
}

/** The one page of the list that was read for what the probe told of a target. */
function page({ target, digest }: FolderStatus, entries: readonly CatalogEntry[]): Pick<PolicyWorld, 'jobs' | 'pods'> {
  const of = job(catalogJobName('nightly', `folder/${target}/${digest}`, ''), 'catalog', {
    metadata: {
      creationTimestamp: stamp(at('11:59:30')),
      labels: { ...job('x', 'catalog').metadata.labels, [label.target]: target },
    },
    status: complete(at('11:59:30'), at('11:59:40')),
    spec: { activeDeadlineSeconds: 240 },
  })
  const status = { phase: 'Succeeded', containerStatuses: [saying({ phase: 'done', catalog: { entries } })] } as const
  return { jobs: [of], pods: [pod(of, 1, { status })] }
}

const listed = runs.map((run, n) => entry(run, slots[n] ?? now))
const back = runs.map((run, n) =>
  scheduled(slots[n] ?? now, { status: completed(run, now, { store: storeLocation(plain) }) }),
)

function statusOf(seen: PolicyWorld): BackupPolicyStatus {
  return only(planPolicy(seen, now).actions, 'status BackupPolicy')[0]?.status ?? assert.fail('it does not change')
}

function ready(status: BackupPolicyStatus): readonly (string | undefined)[] {
  const is = status.conditions?.find(({ type }) => type === 'Ready')
  return [is?.status, is?.reason]
}

function madeBackups(seen: PolicyWorld): readonly (string | undefined)[] {
  return only(planPolicy(seen, now).actions, 'create Backup').map(({ name }) => name)
}

suite('what the folder has before the first run', () => {
  const command = folderOf('command')

  test('is read at once when the probe tells of it, adopted or not', () => {
    const { actions } = planPolicy(world(applied(plain, [command])), now)
    assert.deepEqual(
      only(actions, 'create catalog Job').map(({ object }) => object.metadata.name),
      [catalogJobName('nightly', `folder/command/${command.digest}`, '')],
    )
  })

  test('gets its Backups', () => {
    assert.deepEqual(madeBackups(world(applied(plain, [command]), page(command, listed))), runs)
  })

  test('is settled when its Backups tell of it, and the pages go', () => {
    const seen = world(applied(plain, [command]), { ...page(command, listed), backups: back })
    const { targets, store } = statusOf(seen)
    assert.deepEqual([targets?.[0]?.digest, store?.folder], [command.digest, []])
    const status = { targets: [{ name: 'command', ready: true, reason: '', message: '', digest: command.digest }] }
    const later = planPolicy(world(applied(plain, [], status), { ...page(command, listed), backups: back }), now)
    assert.equal(only(later.actions, 'delete Job').length, 1)
    assert.equal(only(later.actions, 'create catalog Job').length, 0)
  })

  test('is not read where the Backups are there, as when a policy was deleted and applied again', () => {
    const { actions } = planPolicy(world(applied(plain, [command]), { backups: back }), now)
    assert.equal(only(actions, 'create catalog Job').length, 0)
    assert.equal(only(actions, 'status BackupPolicy')[0]?.status.targets?.[0]?.digest, command.digest)
  })

  test('takes no Backup away: a probe is no run', () => {
    const [first = ''] = runs
    const one = folderOf('command', [first])
    const seen = world(applied(plain, [one]), { ...page(one, listed.slice(0, 1)), backups: back })
    assert.deepEqual(only(planPolicy(seen, now).actions, 'delete Backup'), [])
  })

  test('waits for a run that goes on', () => {
    const of = jobOfSlot(at('11:59'), { status: { active: 1, startTime: stamp(at('11:59')) } })
    const { actions } = planPolicy(world(applied(plain, [command]), { jobs: [of] }), now)
    assert.equal(only(actions, 'create catalog Job').length, 0)
  })

  test('of an earlier place of the backend says nothing of this one', () => {
    const of = applied({ ...plain, bucket: 'another' }, [command])
    const store = { ...of.status.store, backendHash: stateHash(plain) }
    const { actions } = planPolicy(world({ ...of, status: { ...of.status, store } }), now)
    assert.equal(only(actions, 'create catalog Job').length, 0)
  })
})

suite('what a probe tells', () => {
  const made = policy()
  function probed(message: MoverMessage, folder?: readonly FolderStatus[]) {
    const hash = stateHash(made.spec.backend)
    const status = message.phase === 'done' ? complete(at('11:59'), now) : jobFailed(at('11:59'), now)
    const of = job(probeJobName('nightly', made.metadata.uid ?? '', hash, 1), 'probe', {
      metadata: { creationTimestamp: stamp(at('11:59')) },
      status,
      spec: { activeDeadlineSeconds: 240, backoffLimit: 0 },
    })
    const said = { status: { phase: 'Succeeded', containerStatuses: [saying(message)] } } as const
    return statusOf(world(applied(plain, folder), { jobs: [of], pods: [pod(of, 1, said)] })).store?.folder
  }
  const probe = { conditionalPut: true, canList: true, canDelete: true }

  test('is remembered: names and digests, and nothing else that somebody may have written there', () => {
    const whole = folderOf('db')
    const folder = [whole, { ...whole, target: 'Not a name' }, { ...whole, target: 'x', digest: 'no digest' }]
    assert.deepEqual(probed({ phase: 'done', probe, folder }), [whole])
  })

  test('is nothing where it may not list, which is known, too', () => {
    assert.deepEqual(probed({ phase: 'done', probe: { ...probe, canList: false } }), [])
  })

  test('of before stays when the next one fails', () => {
    const before = [folderOf('db')]
    assert.deepEqual(probed({ phase: 'failed', reason: 'EndpointUnreachable', message: 'away' }, before), before)
  })
})

suite('a policy that adopts the folder of a lost cluster', () => {
  const command = folderOf('command')

  /** No CronJob stands yet. */
  function suspended(seen: PolicyWorld): readonly (boolean | undefined)[] {
    const { actions } = planPolicy({ ...seen, cronJob: undefined }, now)
    return only(actions, 'create CronJob').map(({ object }) => object.spec.suspend)
  }

  test('starts nothing by schedule before a probe has told what is there', () => {
    assert.deepEqual(suspended(world(policy({ backend: adopting }))), [true])
  })

  test('starts nothing by schedule before that was read, and says so', () => {
    const seen = world(applied(adopting, [command]))
    assert.deepEqual(suspended(seen), [true])
    const status = statusOf(seen)
    assert.deepEqual(ready(status), ['Unknown', 'Adopting'])
    const { message } = status.conditions?.find(({ type }) => type === 'Ready') ?? assert.fail()
    assert.match(
      message,
      /folder of cluster cluster-of-before.*stay suspended; on-demand Backups run.*take backend\.adopt out/s,
    )
  })

  test('without the word adopt starts at once', () => {
    assert.deepEqual(suspended(world(applied(plain, [command]))), [false])
  })

  test('goes on when its Backups are there, and nothing fires for a time before', () => {
    const of = applied(adopting, [command])
    const standing = desiredCronJob(of) ?? assert.fail()
    const cronJob = {
      ...standing,
      metadata: { ...world(of).cronJob?.metadata, ...standing.metadata },
      spec: { ...standing.spec, suspend: true },
    }
    const backups = back.map(each => ({
      ...each,
      status: { ...each.status, store: storeLocation(adopting) } as Backup['status'],
    }))
    const { groups, actions } = planPolicy(world(of, { cronJob, backups }), now)
    const [clock] = only(actions, 'patch CronJob')
    assert.deepEqual(clock?.status, { lastScheduleTime: stamp(now) })
    const [change] = only(actions, 'replace CronJob')
    assert.equal(change?.object.spec.suspend, false)
    const together = groups.find(({ actions: each }) => each.some(action => does(action) === 'patch CronJob'))
    assert.deepEqual(together?.actions.map(does), ['patch CronJob', 'replace CronJob'])
    assert.notDeepEqual(ready(statusOf(world(of, { cronJob, backups })))[1], 'Adopting')
  })

  test('goes on at once where the folder has nothing of it, or nobody may list', () => {
    assert.deepEqual(suspended(world(applied(adopting, []))), [false])
  })

  test('is not held back again once the list was read, whatever becomes of the probe', () => {
    const targets = [{ name: 'command', ready: true, reason: '', message: '', digest: command.digest }]
    assert.deepEqual(suspended(world(applied(adopting, undefined, { targets }))), [false])
  })

  test('goes on without a list that can never be read whole', () => {
    for (const reason of ['CatalogRepeats', 'CatalogTooLong']) {
      const type = 'CatalogIncomplete'
      const known = { type, status: 'True' as const, reason, message: '', lastTransitionTime: stamp(now) }
      assert.deepEqual(suspended(world(applied(adopting, [command], { conditions: [known] }))), [false])
    }
  })

  test('runs what a person asks for meanwhile', () => {
    const { actions } = planPolicy(world(applied(adopting, [command]), { backups: [backup('now')] }), now)
    assert.equal(only(actions, 'create run Job').length, 1)
  })

  test('tells of a folder that is refused, and whose it is', () => {
    const message = `shop/nightly/ belongs to policy shop/nightly of cluster ${lost}, and this is shop/nightly of cluster here; choose another backend.prefix, or, when that cluster is lost, take its folder over with backend.adopt: <the id of that cluster>`
    const of = applied(plain, undefined)
    const store = { ...of.status.store, result: 'Unusable' as const, reason: 'PrefixOwnedByOther', message }
    const status = statusOf(world({ ...of, status: { ...of.status, store } }))
    assert.deepEqual(ready(status), ['False', 'PrefixOwnedByOther'])
  })
})

suite('a policy with a preset', () => {
  const runsOfDb = slots.map(slot => scheduledOf('db', slot).metadata.name)
  const ofDb = folderOf('db', runsOfDb)
  const entries = runsOfDb.map((run, n) => entry(run, slots[n] ?? now))

  function withFolder(folder: readonly FolderStatus[], backend: object = plain) {
    const made = presetPolicy({ backend })
    const store = usableStore(at('11:59'), { backendHash: stateHash(made.spec.backend), folder: [...folder] })
    return { ...made, status: { ...made.status, store } }
  }

  test('shows what the folder has of a workload that is not there yet', () => {
    const of = withFolder([ofDb])
    const { actions } = planPolicy(presetWorld(of, []), now)
    assert.deepEqual(
      only(actions, 'create catalog Job').map(({ object }) => object.metadata.labels?.[label.target]),
      ['db'],
    )
    assert.deepEqual(madeBackups(presetWorld(of, [], page(ofDb, entries))), runsOfDb)
    const { targets = [] } = statusOf(presetWorld(of, []))
    assert.deepEqual(
      targets.map(({ name, reason }) => [name, reason]),
      [['db', 'TargetNotFound']],
    )
  })

  test('still reads it where the workload has been away for long', () => {
    const away = {
      name: 'db',
      ready: false,
      reason: 'TargetNotFound',
      message: '',
      accountedUntil: stamp(at('09:00')),
      goneSince: stamp(at('09:00')),
    }
    const of = withFolder([ofDb])
    const seen = presetWorld({ ...of, status: { ...of.status, targets: [away] } }, [], page(ofDb, entries))
    assert.deepEqual(madeBackups(seen), runsOfDb)
  })

  test('holds back the schedule of those targets alone of which there is something to read', () => {
    const of = withFolder([ofDb], adopting)
    const { actions } = planPolicy(presetWorld(of, [found('db'), found('users')], { targetCronJobs: [] }), now)
    assert.deepEqual(
      only(actions, 'create CronJob').map(({ object }) => [object.metadata.name, object.spec.suspend]),
      [
        [cronJobName('nightly', 'db'), true],
        [cronJobName('nightly', 'users'), false],
      ],
    )
  })

  test('is not kept waiting by a workload that is not there', () => {
    const status = statusOf(presetWorld(withFolder([ofDb], adopting), [found('users')]))
    assert.notEqual(ready(status)[1], 'Adopting')
  })

  test('cannot have the target of an explicit command, and says that the folder has some', () => {
    const status = statusOf(presetWorld(withFolder([folderOf('command')]), [found('db')]))
    const is = status.conditions?.find(({ type }) => type === 'CatalogIncomplete')
    assert.deepEqual([is?.status, is?.reason], ['True', 'OtherTargets'])
    assert.match(is?.message ?? '', /command \(2\)/)
    assert.equal(status.store?.folder?.length, 1)
  })
})

test('an explicit command cannot have the targets of a preset, and says that the folder has some', () => {
  const status = statusOf(world(applied(plain, [folderOf('db')])))
  const is = status.conditions?.find(({ type }) => type === 'CatalogIncomplete')
  assert.deepEqual([is?.status, is?.reason], ['True', 'OtherTargets'])
})
