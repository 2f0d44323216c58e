// F23: the clock jumped ahead a year (or two hours), and came back.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { StoreStatus } from '../../api/kinds/backup-policy-status.ts'
import type { Job, Pod } from '../../api/kubernetes.ts'
import { addSeconds } from '../../schedule/times.ts'
import { only, planPolicy } from '../../../test/plan/planned.ts'
import {
  at,
  complete,
  ended,
  failed,
  pod,
  policy,
  saying,
  scheduled,
  stamp,
  startable,
  usableStore,
  world,
} from '../../../test/plan/world.ts'

const store = (more: Partial<StoreStatus>) => usableStore(at('11:00'), more)
const start = startable(at('11:00'))
const book = { accountedUntil: stamp(at('02:00')), scheduleSince: stamp(at('00:00')) }

test('F23: a probe that failed while the clock was a year ahead is repeated when that is put right', () => {
  const ahead = addSeconds(at('12:00'), 365 * 24 * 3600)
  const bad = store({ result: 'Unusable', reason: 'StoreUnavailable', failures: 1, lastProbeTime: stamp(ahead) })
  const of = policy({}, { status: { store: bad, start, ...book } })
  const tried = [0, 1, 24, 24 * 30, 24 * 300].map(hours => {
    const now = addSeconds(at('12:00'), hours * 3600)
    return only(planPolicy(world(of), now).actions, 'create probe Job').length
  })
  assert.ok(
    tried.some(count => count > 0),
    `probes after 0 h, 1 h, a day, 30 days, 300 days: ${tried.join(', ')}`,
  )
})

test('F23: a store that was found usable while the clock was a year ahead is probed at once when that is put right, and not beside a slot', () => {
  const ahead = addSeconds(at('12:00'), 365 * 24 * 3600)
  const of = policy({}, { status: { store: store({ lastProbeTime: stamp(ahead) }), start, ...book } })
  assert.equal(only(planPolicy(world(of), at('12:00')).actions, 'create probe Job').length, 1)
  const beside = planPolicy(world(of), at('+1d 01:50'))
  assert.deepEqual(only(beside.actions, 'create probe Job'), [])
  assert.deepEqual(beside.wakeAt, at('+1d 02:00'))
})

test('F23: a run that failed on the store makes a probe also where the last one seems to be still to come', () => {
  const ahead = store({ lastProbeTime: stamp(addSeconds(at('12:00'), 365 * 24 * 3600)) })
  const lost = scheduled(at('02:00'), { status: failed('r', at('11:59'), { reason: 'StoreUnavailable' }) })
  const of = policy({}, { status: { store: ahead, start, ...book } })
  const [written] = only(planPolicy(world(of, { backups: [lost] }), at('12:00')).actions, 'status BackupPolicy')
  assert.equal(written?.status.store?.result, 'Unknown')
})

test('F23: a dry start that failed while the clock was a year ahead is repeated when that is put right', () => {
  const ahead = addSeconds(at('12:00'), 365 * 24 * 3600)
  const bad = {
    ...start,
    result: 'NotStartable',
    reason: 'ImagePullFailed',
    failures: 1,
    lastTime: stamp(ahead),
  } as const
  const tried = [0, 1, 24, 24 * 30, 24 * 300].map(hours => {
    const now = addSeconds(at('12:00'), hours * 3600)
    const of = policy({}, { status: { store: store({ lastProbeTime: stamp(now) }), start: bad, ...book } })
    return only(planPolicy(world(of), now).actions, 'create start Job').length
  })
  assert.ok(
    tried.some(count => count > 0),
    `dry starts after 0 h, 1 h, a day, 30 days, 300 days: ${tried.join(', ')}`,
  )
})

test('F23: a run that failed on the store two hours ahead of now makes no probe follow another', () => {
  const end = at('14:00')
  const lost = scheduled(at('02:00'), { status: failed('r', end, { reason: 'StoreUnavailable' }) })
  let of = policy({}, { status: { store: store({}), start, ...book } })
  let jobs: Job[] = []
  let pods: Pod[] = []
  let made = 0
  const readies: string[] = []
  let now = at('12:00')
  for (let pass = 0; now < at('12:30') && pass < 1000; pass++) {
    const { actions } = planPolicy(world(of, { backups: [lost], jobs, pods }), now)
    const status = only(actions, 'status BackupPolicy')[0]?.status
    if (status) of = { ...of, status }
    const ready = status?.conditions?.find(({ type }) => type === 'Ready')
    if (ready) readies.push(ready.reason)
    const gone = new Set(only(actions, 'delete Job').map(({ name }) => name))
    jobs = jobs.filter(({ metadata }) => !gone.has(metadata.name))
    const [begun] = only(actions, 'create probe Job')
    now = addSeconds(now, 5)
    if (!begun) continue
    made++
    const { object } = begun
    const metadata = { ...object.metadata, uid: `uid-${object.metadata.name}`, creationTimestamp: stamp(now) }
    const job = { ...object, metadata, status: complete(now, now) }
    jobs = [...jobs, job]
    pods = [
      pod(job, 1, {
        status: { phase: 'Succeeded', containerStatuses: [ended('dump', 0), saying({ v: 1, phase: 'done' } as never)] },
      }),
    ]
  }
  assert.ok(made <= 2, `${made} probe Jobs in half an hour; Ready was ${readies.slice(0, 8).join(', ')}…`)
})
