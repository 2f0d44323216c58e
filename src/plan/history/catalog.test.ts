import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  at,
  backup,
  complete,
  completed,
  failed,
  job,
  jobFailed,
  jobOfSlot,
  pod,
  policy,
  saying,
  scheduled,
  stamp,
  world,
} from '../../../test/plan/world.ts'
import type { Backup } from '../../api/kinds/backup.ts'
import type { Job, Pod } from '../../api/kubernetes.ts'
import type { Reason } from '../../api/conditions.ts'
import { annotation, label } from '../../api/labels.ts'
import type { CatalogEntry } from '../../api/mover/message.ts'
import { runsDigest } from '../../api/mover/runs-digest.ts'
import { catalogJobName, onDemandJobName } from '../../api/names.ts'
import { returnedBackup } from '../../resources/backup-objects.ts'
import { storeLocation } from '../../resources/desired-state.ts'
import { does, only, planCatalog, planPolicy } from '../../../test/plan/planned.ts'

const backendOf = policy().spec.backend
assert.ok(backendOf)
const store = storeLocation(backendOf)
const now = at('12:00')
const slots = [at('01:00'), at('02:00'), at('03:00')]
const runs = slots.map(slot => jobOfSlot(slot).metadata.name)
const [first = '', second = '', third = ''] = runs

const entry = (run: string, slot: Date): CatalogEntry => ({
  run,
  slot: slot.getTime(),
  startedAt: slot.getTime(),
  finishedAt: slot.getTime() + 60_000,
  bytes: 10,
  storedBytes: 5,
})
const entries = runs.map((run, i) => entry(run, slots[i] ?? now))

/** The newest run has just committed and found these runs in the bucket. */
function afterLastRun(kept: readonly string[]): { readonly jobs: readonly Job[]; readonly pods: readonly Pod[] } {
  const slot = at('03:00')
  const of = jobOfSlot(slot, {
    metadata: {
      annotations: { [annotation.store]: store, [annotation.cronJobSlot]: '2026-01-05T03:00:00Z' },
    },
    status: complete(slot, at('03:10')),
  })
  const message = {
    phase: 'committed',
    run: third,
    finishedAt: at('03:10').getTime(),
    kept: { count: kept.length, digest: runsDigest(kept) },
  } as const
  return { jobs: [of], pods: [pod(of, 1, { status: { phase: 'Succeeded', containerStatuses: [saying(message)] } })] }
}

const known = (run: string): Backup =>
  scheduled(slots[runs.indexOf(run)] ?? now, { status: completed(run, at('03:10'), { store }) })

function page(cursor: string, found: readonly CatalogEntry[], next?: string, after = third) {
  const of = job(catalogJobName('nightly', after, cursor), 'catalog', {
    metadata: { creationTimestamp: '2026-01-05T03:11:00Z' },
    status: complete(at('03:11'), at('03:12')),
    spec: { activeDeadlineSeconds: 240 },
  })
  const catalog = { entries: found, ...(next === undefined ? {} : { next }) }
  const containerStatuses = [saying({ phase: 'done', catalog })]
  return { job: of, pod: pod(of, 1, { status: { phase: 'Succeeded', containerStatuses } }) }
}

/** `until`: the slot that the status of the policy accounts for. */
function plan(
  kept: readonly string[],
  backups: readonly Backup[],
  pages: readonly ReturnType<typeof page>[] = [],
  until = at('03:00'),
) {
  const last = afterLastRun(kept)
  const seen = world(policy({}, { status: { accountedUntil: stamp(until) } }), {
    backups,
    jobs: [...last.jobs, ...pages.map(each => each.job)],
    pods: [...last.pods, ...pages.map(each => each.pod)],
  })
  return planCatalog(seen, now)
}

/** Names of the Jobs that are to read a page; nothing else is done. */
function asks(actions: ReturnType<typeof plan>['actions']): readonly string[] {
  assert.deepEqual(actions.map(does), ['create catalog Job'])
  return only(actions, 'create catalog Job').map(({ object }) => object.metadata.name)
}

test('an equal digest needs nothing but to be remembered', () => {
  const { actions, digest } = plan(runs, runs.map(known))
  assert.deepEqual([actions, digest], [[], runsDigest(runs)])
})

test('another digest begins to read the list', () => {
  const { actions, digest, entries: read } = plan(runs, [known(second), known(third)])
  assert.deepEqual(asks(actions), [catalogJobName('nightly', third, '')])
  assert.deepEqual([digest, read], [undefined, undefined])
})

test('nothing is judged before the list is whole', () => {
  const { actions } = plan(runs, [known(third)], [page('', entries.slice(0, 1), 'next')])
  assert.deepEqual(asks(actions), [catalogJobName('nightly', third, 'next')])
})

test('runs of all pages that have no Backup get one', () => {
  const pages = [page('', entries.slice(0, 1), 'a'), page('a', entries.slice(1, 2), 'b'), page('b', entries.slice(2))]
  const { actions, digest } = plan(runs, [known(third)], pages)
  assert.deepEqual(
    only(actions, 'create Backup').map(({ name, slot }) => [name, slot]),
    [
      [first, slots[0]],
      [second, slots[1]],
    ],
  )
  assert.equal(digest, undefined, 'the digest is not settled before the Backups are there')
})

test('a Backup whose run is in no page goes', () => {
  const { actions } = plan([second, third], runs.map(known), [page('', entries.slice(1))])
  assert.deepEqual(
    actions.map(action => (action.do === 'delete' ? action.name : does(action))),
    [first],
  )
})

test('F19: a page that lacks what the mover has just listed takes no Backup away, nor what people have written on it', () => {
  const accepted = { ...known(second).metadata, annotations: { [annotation.accepted]: 'true' } }
  const backups = [{ ...known(second), metadata: accepted }, known(third)]
  const stale = entries.filter(({ run }) => run !== second)
  const { actions } = plan(runs, backups, [page('', stale)])
  assert.deepEqual(
    actions.map(action => (action.do === 'create' ? action.object.metadata.name : does(action))),
    [first],
  )
  // Nothing is left to do for the list: what has really gone the next run tells.
  const held = { ...lost(scheduled(at('01:00'))).metadata, annotations: { [annotation.hold]: 'true' } }
  const { digest, open } = plan(
    runs,
    [{ ...lost(scheduled(at('01:00'))), metadata: held }, ...backups],
    [page('', stale)],
  )
  assert.deepEqual([digest, open], [runsDigest(runs), false])
})

test('F71: one whose slot the status of the policy does not account for yet stays, and the list is not done with before it goes', () => {
  const pages = [page('', entries.slice(1))]
  const { actions, digest } = plan([second, third], runs.map(known), pages, at('00:00'))
  assert.deepEqual([actions.map(does), digest], [[], undefined])
})

test('F97: a Backup that was made but has no status yet, because of a crash, is filled from the list', () => {
  const of = policy()
  const last = afterLastRun(runs)
  const whole = page('', entries)
  const seen = world(of, {
    backups: [scheduled(at('01:00')), known(second), known(third)],
    jobs: [...last.jobs, whole.job],
    pods: [...last.pods, whole.pod],
  })
  const { actions } = planPolicy(seen, now)
  const [written] = only(actions, 'status Backup').filter(({ backup }) => backup.metadata.name === first)
  assert.deepEqual([written?.status.phase, written?.status.run, written?.status.bytes], ['Completed', first, 10])
  assert.equal(
    written?.status.takenTime,
    written?.status.startTime,
    'F97: it has the time of its data, not of its return',
  )
  assert.ok(written?.status.takenTime)
  assert.deepEqual(only(actions, 'create Backup'), [])
  const [told] = only(actions, 'status BackupPolicy')
  assert.equal(
    told?.status.targets?.[0]?.digest,
    undefined,
    'the list stays until that is written, which may be refused',
  )
})

test('when the list and the Backups are of one mind the digest is remembered, though it counts what we cannot read', () => {
  const { actions, digest } = plan([...runs, 'unreadable'], runs.map(known), [page('', entries)])
  assert.deepEqual([actions, digest], [[], runsDigest([...runs, 'unreadable'])])
})

test('once it is remembered the pages go', () => {
  const of = policy(
    {},
    { status: { targets: [{ name: 'command', ready: true, reason: '', message: '', digest: runsDigest(runs) }] } },
  )
  const last = afterLastRun(runs)
  const whole = page('', entries)
  const seen = world(of, { backups: [], jobs: [...last.jobs, whole.job], pods: [...last.pods, whole.pod] })
  const { actions } = planCatalog(seen, now)
  assert.deepEqual(actions.map(does), ['delete Job'])
})

test('a page that failed, or whose words were lost, is asked for again ten minutes after it began', () => {
  const name = catalogJobName('nightly', third, '')
  for (const status of [jobFailed(at('03:11'), at('03:12')), complete(at('03:11'), at('03:12'))]) {
    const of = job(name, 'catalog', { status })
    const last = afterLastRun(runs)
    const seen = world(policy(), { backups: [known(third)], jobs: [...last.jobs, of], pods: last.pods })
    const waits = planCatalog(seen, at('03:20:59'))
    assert.deepEqual([waits.actions, waits.digest, waits.open, waits.wakeAt], [[], undefined, true, at('03:21')])
    const again = planCatalog(seen, at('03:21'))
    assert.deepEqual(
      only(again.actions, 'delete Job').map(action => [action.name, action.uid]),
      [[name, of.metadata.uid]],
    )
    assert.deepEqual([again.actions.length, again.open, again.wakeAt], [1, true, undefined])
  }
})

const lost = (backupOfRun: Backup) => ({
  ...backupOfRun,
  metadata: { ...backupOfRun.metadata, resourceVersion: '7' },
  status: failed(backupOfRun.metadata.name, at('02:10'), { reason: 'JobDeleted' }),
})

test('a run that was taken for failed when its Job went comes back where the bucket has it', () => {
  const wrong = lost(scheduled(at('02:00')))
  const first = plan(runs, [...runs.filter(run => run !== second).map(known), wrong], [page('', entries)])
  assert.deepEqual(
    first.actions.map(action =>
      action.do === 'delete' ? [action.name, action.uid, action.resourceVersion] : does(action),
    ),
    [[second, wrong.metadata.uid, wrong.metadata.resourceVersion]],
    'one that somebody has put a hold on meanwhile stays',
  )
  assert.deepEqual([first.digest, first.open], [undefined, true], 'it is not settled before the Backup is there')
  const then = plan(runs, runs.filter(run => run !== second).map(known), [page('', entries)])
  assert.deepEqual(
    then.actions.map(action => (action.do === 'create' ? action.object.metadata.name : does(action))),
    [second],
  )
})

test('F59: a run whose mover has proved its manifest worth nothing, and could not take it back, does not come back as Completed', () => {
  for (const reason of ['DataLost', 'AttemptExpired'] as const) {
    const lostData = { ...lost(scheduled(at('02:00'))), status: failed(second, at('02:10'), { reason }) }
    const { actions, digest } = plan(
      runs,
      [...runs.filter(run => run !== second).map(known), lostData],
      [page('', entries)],
    )
    assert.deepEqual([actions.map(does), digest === undefined], [[], false])
  }
})

test('F59: a manifest whose data nobody finds makes no run Completed, whatever its Backup says, or where that is gone; and takes none away', () => {
  const found = page(
    '',
    entries.map(each => (each.run === second ? { ...each, unproven: true as const } : each)),
  )
  const others = [known(first), known(third)]
  const failedFor = (reason: Reason) => ({
    ...lost(scheduled(at('02:00'))),
    status: failed(second, at('02:10'), { store, reason }),
  })
  const elsewhere = scheduled(at('02:00'), { status: completed(second, at('03:10'), { store: 'other' }) })
  for (const [what, backups] of [
    ['it was deleted, or went as the sixth failure', []],
    ['no list had confirmed the loss', [failedFor('StoreUnavailable')]],
    ['no list might confirm it', [failedFor('AccessDenied')]],
    ['its Job went', [failedFor('JobDeleted')]],
    ['it is of another store, which was copied here without the data', [elsewhere]],
  ] as const) {
    const { actions, digest } = plan(runs, [...others, ...backups], [found])
    assert.deepEqual([actions.map(does), digest], [[], runsDigest(runs)], what)
  }
  const later = plan(runs, [known(second), known(third)], [found])
  assert.deepEqual(
    only(later.actions, 'create Backup').map(({ name }) => name),
    [first],
  )
  assert.equal(later.actions.length, 1, 'a Backup whose data went later stays')
  const untold = scheduled(at('02:00'), { status: { phase: 'Running', run: second } })
  const last = afterLastRun(runs)
  const seen = world(policy({}, { status: { accountedUntil: stamp(at('03:00')) } }), {
    backups: [...others, untold],
    jobs: [...last.jobs, found.job],
    pods: [...last.pods, found.pod],
  })
  const told = only(planPolicy(seen, now).actions, 'status Backup').find(
    ({ object }) => object.metadata.name === second,
  )
  assert.deepEqual([told?.status.phase, told?.status.reason], ['Failed', 'JobDeleted'])
})

test("a person's Backup that was taken for failed stays, and another tells of what the bucket has", () => {
  const wrong = backup('now')
  const run = onDemandJobName('nightly', wrong.metadata.uid ?? '')
  const asked = { ...wrong, status: failed(run, at('02:10'), { reason: 'JobDeleted' }) }
  const { actions } = plan(
    [...runs, run],
    [...runs.map(known), asked],
    [page('', [...entries, entry(run, at('02:00'))])],
  )
  assert.deepEqual(
    actions.map(action => (action.do === 'create' ? action.object.metadata.name : does(action))),
    [run],
  )
})

test("F28: a person's Backup that was skipped, its own Job unseen, stays as well, and another tells of what the bucket has", () => {
  const asked = backup('now', { status: { phase: 'Skipped', reason: 'Overlapping', target: 'command' } })
  const run = onDemandJobName('nightly', asked.metadata.uid ?? '')
  const { actions } = plan(
    [...runs, run],
    [...runs.map(known), asked],
    [page('', [...entries, entry(run, at('02:30'))])],
  )
  assert.deepEqual(actions.map(does), ['create Backup'])
})

test("a person's Backup whose status cannot be written yet is the one that tells of its run: the list makes no other", () => {
  const asked = backup('now')
  const run = onDemandJobName('nightly', asked.metadata.uid ?? '')
  const all = [...runs, run]
  const of = job(run, 'run', {
    metadata: {
      creationTimestamp: '2026-01-05T03:20:00Z',
      annotations: { [annotation.store]: store, [annotation.backup]: 'now' },
    },
    status: complete(at('03:20'), at('03:21')),
  })
  const message = {
    phase: 'committed',
    run,
    finishedAt: at('03:21').getTime(),
    kept: { count: all.length, digest: runsDigest(all) },
  } as const
  const whole = page('', [...entries, entry(run, at('03:20'))], undefined, run)
  const containerStatuses = [saying(message)]
  const seen = world(policy(), {
    backups: [...runs.map(known), asked],
    jobs: [of, whole.job],
    pods: [pod(of, 1, { status: { phase: 'Succeeded', containerStatuses } }), whole.pod],
  })
  const { actions, entries: read, digest } = planCatalog(seen, now)
  assert.ok(read?.has(run), 'the list was read')
  assert.deepEqual(actions, [])
  assert.equal(digest, undefined, 'until it is told the list may be needed: its Job may go before that')
  const told = { ...asked, status: completed(run, at('03:21'), { store }) }
  assert.equal(planCatalog({ ...seen, backups: [...runs.map(known), told] }, now).digest, message.kept.digest)
})

test("F27: a person's Backup that has the name of a run in the bucket does not keep the run from coming back", () => {
  const { actions } = plan(runs, [backup(first), known(second), known(third)], [page('', entries)])
  assert.deepEqual(
    only(actions, 'create Backup').map(({ name, slot }) => [name, slot]),
    [[first, slots[0]]],
  )
})

test('a failed Backup stays while its Job tells why, when it is held, and when the bucket has nothing of it', () => {
  const others = runs.filter(run => run !== second).map(known)
  const wrong = lost(scheduled(at('02:00')))
  const held = { ...wrong, metadata: { ...wrong.metadata, annotations: { [annotation.hold]: 'true' } } }
  assert.deepEqual(plan(runs, [...others, held], [page('', entries)]).actions, [])
  const without = entries.filter(({ run }) => run !== second)
  assert.deepEqual(plan([first, third, 'unreadable'], [...others, wrong], [page('', without)]).actions, [])
  const last = afterLastRun(runs)
  const whole = page('', entries)
  const jobs = [...last.jobs, whole.job, jobOfSlot(at('02:00'), { status: jobFailed(at('02:00'), at('02:10')) })]
  const seen = world(policy(), { backups: [...others, wrong], jobs, pods: [...last.pods, whole.pod] })
  assert.deepEqual(planCatalog(seen, now).actions, [])
})

test('nothing is read while a run may change the bucket', () => {
  const last = afterLastRun(runs)
  const seen = world(policy(), {
    backups: [known(third)],
    jobs: [...last.jobs, jobOfSlot(at('04:00'))],
    pods: last.pods,
  })
  assert.deepEqual(planCatalog(seen, now).actions, [])
})

test('a run that told of the bucket and was taken for failed does not keep the list from being read', () => {
  const failedOne = scheduled(at('03:00'), { status: failed(third, at('03:10')) })
  assert.deepEqual(only(plan(runs, [failedOne]).actions, 'create catalog Job').length, 1)
})

test('nothing is read before the run that told of it is recorded', () => {
  const running = scheduled(at('03:00'), { status: { phase: 'Running', run: third } })
  assert.deepEqual(plan(runs, [running]).actions, [])
})

test('a Backup of a run that ended after the list was read stays, though its own words were lost', () => {
  const late = scheduled(at('04:00'), { status: completed('backup-nightly-late', at('03:59'), { store }) })
  const { actions } = plan(runs, [...runs.map(known), late], [page('', entries)])
  assert.deepEqual(actions, [])
})

test('Backups in another store are not in the list of this one, and stay', () => {
  const elsewhere = scheduled(at('00:30'), { status: completed('elsewhere', at('00:40'), { store: 'other' }) })
  const { actions, digest } = plan(runs, [...runs.map(known), elsewhere])
  assert.deepEqual([actions, digest], [[], runsDigest(runs)])
})

test('F63: a Backup of another store is of this one once the list shows its run here: the store has a new name, or was copied', () => {
  const before = known(first)
  const elsewhere = { ...before, status: { ...completed(first, at('03:10')), store: 'other' } }
  const { actions, digest } = plan(runs, [elsewhere, known(second), known(third)], [page('', entries)])
  assert.deepEqual(actions.map(does), ['status Backup'])
  assert.deepEqual(
    only(actions, 'status Backup').map(({ backup: { metadata, status } }) => [
      metadata.name,
      status?.phase,
      status?.store,
    ]),
    [[first, 'Completed', store]],
  )
  assert.equal(digest, undefined, 'the digest is not settled before that is written')
  assert.deepEqual(plan(runs, runs.map(known), [page('', entries)]).digest, runsDigest(runs))
})

test('F63: what is held in another store stays told of it, unless the hold is here as well, or is asked for here', () => {
  const moved = (hold: 'true' | undefined, heldHere: boolean) => {
    const condition = {
      type: 'Held',
      status: 'True',
      reason: 'Held',
      message: '',
      lastTransitionTime: '2026-01-05T03:00:00Z',
    } as const
    const annotations: Readonly<Record<string, string>> = hold ? { [annotation.hold]: hold } : {}
    const before = known(first)
    const elsewhere = {
      ...before,
      metadata: { ...before.metadata, annotations },
      status: { ...completed(first, at('03:10')), store: 'other', conditions: [condition] },
    }
    const found = entries.map(each => (each.run === first && heldHere ? { ...each, held: true as const } : each))
    const { actions } = plan(runs, [elsewhere, known(second), known(third)], [page('', found)])
    return only(actions, 'status Backup').map(({ status }) => [
      status.store,
      status.conditions?.map(({ type }) => type),
    ])
  }
  assert.deepEqual(moved(undefined, true), [[store, ['Held']]])
  assert.deepEqual(moved('true', true), [[store, ['Held']]])
  assert.deepEqual(moved('true', false), [[store, []]], 'its hold is written here before it is told again')
  assert.deepEqual(moved(undefined, false), [])
})

test('F63: a hold that could not be reached is written once the list shows its backup here', () => {
  const last = afterLastRun(runs)
  const whole = page('', entries)
  const before = known(first)
  let of: Backup = {
    ...before,
    metadata: { ...before.metadata, annotations: { [annotation.hold]: 'true' } },
    status: { ...completed(first, at('03:10')), store: 'other' },
  }
  const pass = () => {
    const objects = { jobs: [...last.jobs, whole.job], pods: [...last.pods, whole.pod] }
    const { actions } = planPolicy(world(policy(), { backups: [of, known(second), known(third)], ...objects }), now)
    // The first write of an object is obeyed, and the next one is a conflict.
    of = only(actions, 'status Backup').find(({ backup }) => backup.metadata.name === first)?.backup ?? of
    return only(actions, 'create hold Job').length
  }
  assert.deepEqual([pass(), of.status?.conditions?.map(({ reason }) => reason)], [0, ['HoldUnreachable']])
  assert.deepEqual([pass(), of.status?.store], [0, store])
  assert.deepEqual([pass(), of.status?.conditions?.map(({ reason }) => reason)], [1, ['HoldPending']])
})

test('F63: no list takes a held Backup away, and what it does take away is asked for its hold right before', () => {
  const held = { ...known(first), metadata: { ...known(first).metadata, annotations: { [annotation.hold]: 'true' } } }
  const { actions } = plan([third], [held, known(second), known(third)], [page('', entries.slice(2))])
  assert.deepEqual(
    only(actions, 'delete Backup').map(({ name, provided }) => [name, provided?.that]),
    [[second, 'nobody-needs-it']],
  )
})

/** A run that a person had asked for, whose Backup was deleted. */
const askedFor = onDemandJobName('nightly', 'uid-of-a-deleted-backup')
const returned = (status?: Backup['status']) => {
  const made = returnedBackup('shop', 'nightly', askedFor, 'command')
  return {
    ...made,
    metadata: { ...made.metadata, uid: 'another', resourceVersion: '1' },
    ...(status ? { status } : {}),
  }
}
const onDemandEntry = { ...entry(askedFor, at('02:30')), trigger: 'on-demand' } as const

test('F97: a run on demand comes back without a slot, and never runs', () => {
  const all = [...entries, onDemandEntry]
  const { actions } = plan([...runs, askedFor], runs.map(known), [page('', all)])
  const [created] = only(actions, 'create Backup')
  assert.deepEqual([created?.object.metadata.name, created?.object.spec.slot], [askedFor, undefined])
  assert.equal(created?.object.metadata.labels?.[label.slot], undefined)
  assert.equal(created?.object.metadata.annotations?.[annotation.run], askedFor)

  // Made, and not told yet, because of a crash: the list fills it; where that is gone, or lacks it, nothing starts.
  const last = afterLastRun([...runs, askedFor])
  const whole = page('', all)
  const backups = [...runs.map(known), returned()]
  const told = (more: Parameters<typeof world>[1]) => {
    const seen = world(policy(), { backups, ...more })
    const planned = planPolicy(seen, now).actions
    assert.deepEqual(only(planned, 'create run Job'), [])
    return only(planned, 'status Backup').find(({ backup: of }) => of.metadata.name === askedFor)?.status
  }
  const filled = told({ jobs: [...last.jobs, whole.job], pods: [...last.pods, whole.pod] })
  assert.deepEqual([filled?.phase, filled?.run, filled?.takenTime], ['Completed', askedFor, '2026-01-05T02:30:00Z'])
  assert.deepEqual(told(last)?.reason, 'JobDeleted', 'it waits for the list')
  assert.deepEqual(told({})?.reason, 'RestoredObject')
})

test('F97: one that was taken for failed, or for lost, is made anew when the list has its run', () => {
  const of = [...runs, askedFor]
  for (const status of [failed(askedFor, at('02:40')), { phase: 'Skipped', reason: 'RestoredObject' } as const]) {
    const { actions } = plan(of, [...runs.map(known), returned(status)], [page('', [...entries, onDemandEntry])])
    assert.deepEqual(
      actions.map(action => (action.do === 'delete' ? action.name : does(action))),
      [askedFor],
    )
  }
})

test('F63: a held run comes back with its annotation, and a Backup that lost it says again that it is held', () => {
  const held = (run: string) => ({ ...(entries[runs.indexOf(run)] ?? assert.fail()), held: true as const })
  const last = afterLastRun(runs)
  const whole = page('', [held(first), held(second), entries[2] ?? assert.fail()])
  const released = known(second)
  const actions = (other: Backup) =>
    planPolicy(
      world(policy(), {
        backups: [other, known(third)],
        jobs: [...last.jobs, whole.job],
        pods: [...last.pods, whole.pod],
      }),
      now,
    ).actions
  const found = actions(known(second))
  const made = only(found, 'create Backup').find(({ name }) => name === first)
  assert.equal(made?.object.metadata.annotations?.[annotation.hold], 'true')
  const told = only(found, 'status Backup').find(({ object }) => object.metadata.name === second)
  const condition = told?.status.conditions?.find(({ type }) => type === 'Held')
  assert.deepEqual([condition?.status, condition?.reason], ['True', 'Held'])
  const taken = { ...released, metadata: { ...released.metadata, annotations: { [annotation.hold]: 'false' } } }
  const after = only(actions(taken), 'status Backup').find(({ object }) => object.metadata.name === second)
  assert.equal(after?.status.conditions?.find(({ type }) => type === 'Held')?.status, 'Unknown', 'it is being released')
})

test('F57: what the list says of the size of a run, its Backup says', () => {
  const unchecked = { ...(entries[0] ?? assert.fail()), unchecked: true as const }
  const last = afterLastRun(runs)
  const whole = page('', [unchecked, ...entries.slice(1)])
  const seen = world(policy(), {
    backups: [scheduled(at('01:00')), known(second), known(third)],
    jobs: [...last.jobs, whole.job],
    pods: [...last.pods, whole.pod],
  })
  const told = only(planPolicy(seen, now).actions, 'status Backup').find(({ object }) => object.metadata.name === first)
  assert.equal(told?.status.sizeCheck, 'unchecked')
})
