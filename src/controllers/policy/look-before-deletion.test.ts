// What is asked right before a deletion, of an API server that knows more than the caches did when the plan was made.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { kept } from '../../../test/plan/kept.ts'
import { applyContext } from '../../../test/histories/toy/apply-context.ts'
import { ToyApiServer, toyClient } from '../../../test/histories/toy/api-server.ts'
import { toyCaches } from '../../../test/histories/toy/caches.ts'
import { at, claim, ready, scheduled, snapshotPolicy, stamp, world } from '../../../test/plan/world.ts'
import type { Backup } from '../../api/kinds/backup.ts'
import type { PersistentVolumeClaim, VolumeSnapshot } from '../../api/kubernetes.ts'
import { annotation, label } from '../../api/labels.ts'
import { planPolicy } from '../../plan/policy/policy.ts'
import { FakeClock } from '../../runtime/fake-clock.ts'
import { ApiError, isConflict } from '../../runtime/client/errors.ts'
import type { EventNote } from '../../runtime/events.ts'
import { silentLog } from '../../runtime/log.ts'
import type { Resource } from '../../runtime/client/resource.ts'
import { lookLast } from './look-before-deletion.ts'
import { applyPlan } from '../shared/apply.ts'
import { RefusalMemory } from '../shared/refusals.ts'

const now = at('12:00')
const signal = new AbortController().signal

/** Three good snapshots of one claim, of which retention keeps one; `change` is what happens after the caches were filled. */
async function prune(
  change: (server: ToyApiServer) => void,
  options: {
    readonly absent?: string
    readonly status?: VolumeSnapshot['status']
    /** As the Backups tell of their snapshots. */
    readonly claimUIDs?: readonly string[]
    /** The Backup that has not ended yet, when the cache of Backups is filled. */
    readonly going?: string
    /** What a restore has made of contents. */
    readonly restored?: true
    /** The caches have the change as well. */
    readonly known?: true
    /** After each deletion. */
    readonly onDelete?: (server: ToyApiServer) => void
  } = {},
) {
  const server = new ToyApiServer(now)
  const notes: EventNote[] = []
  const lists: { readonly kind: string; readonly count: number }[] = []
  const three = [kept(1), kept(2), kept(3)].map(({ backup, snapshot }, index) => {
    const claimUID = options.claimUIDs?.[index]
    const told = { name: backup.metadata.name, ...(claimUID === undefined ? {} : { claimUID }) }
    const made = server.create('backups', backup)
    server.create(
      'volumesnapshots',
      options.restored ? { ...snapshot, spec: { ...snapshot.spec, source: {} } } : snapshot,
    )
    const current = server.update('volumesnapshots', snapshot.metadata.name, each => ({
      ...each,
      metadata: { ...each.metadata, creationTimestamp: snapshot.metadata.creationTimestamp },
      status: options.status ?? ready,
    }))
    assert.ok(current)
    const status = { ...backup.status, snapshot: told }
    const ended = server.update('backups', backup.metadata.name, each => ({ ...each, status }))
    assert.ok(made && ended)
    return { backup: ended, snapshot: current }
  })
  server.create('backuppolicies', snapshotPolicy({ retention: 1 }))
  // Not adopted just now: the operator has kept this number for long.
  const number = { value: 1, since: stamp(at('00:00')) }
  const of = server.update('backuppolicies', 'nightly', each => ({
    ...each,
    status: { retention: number, onDemandRetention: number },
  }))
  assert.ok(of)
  const writer = toyClient(server, ({ verb }, _before, _body, run) => {
    run()
    if (verb === 'delete') options.onDelete?.(server)
  })
  const client: typeof writer = Object.assign(Object.create(writer), {
    async list(resource: Resource, ...rest: readonly [Parameters<typeof writer.list>[1]]) {
      if (resource.kind === options.absent) throw new ApiError({ request: 'LIST', status: 404, reason: 'NotFound' })
      const answer = await writer.list(resource, ...rest)
      lists.push({ kind: resource.kind, count: answer.items.length })
      return answer
    },
  })
  const caches = toyCaches(client)
  caches.claims.offer(claim('data', { metadata: { uid: 'same' } }))
  for (const { backup } of three)
    caches.backups.offer(
      backup.metadata.name === options.going ? { ...backup, status: { phase: 'Running' as const } } : backup,
    )
  const seen = world(of, {
    claims: [claim('data')],
    backups: three.map(each => each.backup),
    snapshots: three.map(each => each.snapshot),
  })
  change(server)
  if (options.known) {
    for (const each of server.all('volumesnapshots')) caches.snapshots.offer(each)
    for (const each of server.all('backups')) caches.backups.offer(each)
  }
  const record = (_: unknown, note: EventNote) => void notes.push(note)
  const context = applyContext(client, new FakeClock(now), { caches, record })
  const { groups, conclude } = planPolicy(seen, now)
  const pruning = groups.filter(({ name }) => name.startsWith('prune/') || name.startsWith('clean/'))
  const plan = { groups: pruning, conclude, wakeAt: undefined }
  await applyPlan(context, seen, plan, new RefusalMemory(), silentLog, new AbortController().signal).catch(
    (error: unknown) => {
      if (!isConflict(error)) throw error
    },
  )
  const going = server
    .all('volumesnapshots')
    .filter(({ metadata }) => metadata.deletionTimestamp)
    .map(({ metadata }) => metadata.name)
  const blocked = server
    .get('backuppolicies', 'nightly')
    ?.status?.conditions?.find(({ type }) => type === 'RetentionBlocked')
  const backupsLeft = server.all('backups').map(({ metadata }) => metadata.name)
  return { going, blocked, notes, backupsLeft, lists }
}

const both = ['nightly-data-1', 'nightly-data-2']

function annotate(server: ToyApiServer, name: string, hold: string): void {
  server.update('backups', name, (each: Backup) => ({
    ...each,
    metadata: { ...each.metadata, annotations: { ...each.metadata.annotations, [annotation.hold]: hold } },
  }))
}

const restoring = (more: Partial<PersistentVolumeClaim['spec']>, phase: 'Pending' | 'Bound' = 'Pending') => {
  const of = claim('restored')
  return { ...of, spec: { ...of.spec, volumeName: undefined, ...more }, status: { phase } }
}
const source = { apiGroup: 'snapshot.storage.k8s.io', kind: 'VolumeSnapshot', name: 'nightly-data-1' }

/** Status comes by a write of its own. */
function add(server: ToyApiServer, of: PersistentVolumeClaim): void {
  server.create('persistentvolumeclaims', of)
  server.update('persistentvolumeclaims', of.metadata.name, each => ({ ...each, status: of.status }))
}

test('what retention is done with goes, where nobody holds or needs it', async () => {
  const { going, blocked } = await prune(() => {})
  assert.deepEqual([going, blocked], [both, undefined])
})

test('F82: what retention is done with is judged right before the deletion apart for each volume of the claim', async () => {
  const claimUIDs = ['old', 'old', 'new']
  const { going } = await prune(
    server => {
      for (const [index, claimUID] of claimUIDs.entries())
        server.update('volumesnapshots', `nightly-data-${index + 1}`, each => ({
          ...each,
          metadata: {
            ...each.metadata,
            annotations: { ...each.metadata.annotations, [annotation.claimUID]: claimUID },
          },
        }))
    },
    { claimUIDs },
  )
  assert.deepEqual(going, ['nightly-data-1'])
})

test('F31: right before a deletion a snapshot whose Backup does not tell yet of which claim it is pushes nothing out', async () => {
  const { going } = await prune(
    server => {
      for (const n of [1, 2, 3])
        server.update('volumesnapshots', `nightly-data-${n}`, each => ({
          ...each,
          metadata: { ...each.metadata, annotations: { ...each.metadata.annotations, [annotation.claimUID]: 'same' } },
        }))
    },
    { claimUIDs: ['same', 'same', 'same'], going: 'nightly-data-3' },
  )
  assert.deepEqual(going, ['nightly-data-1'])
})

test('F27: snapshots that pose, which no plan counts, take nothing from those that are to go, however many they are', async () => {
  const poses: readonly VolumeSnapshot['spec']['source'][] = [{}, { persistentVolumeClaimName: 'logs' }]
  for (const source of poses) {
    const { going } = await prune(server => {
      const { snapshot } = kept(1)
      for (let n = 0; n < 25; n++) {
        const name = `nightly-data-old-${n}`
        const labels = { ...snapshot.metadata.labels, [label.slot]: '20260101T000000Z' }
        const metadata = { ...snapshot.metadata, name, labels, annotations: { [annotation.backup]: name } }
        server.create('volumesnapshots', { ...snapshot, metadata, spec: { ...snapshot.spec, source } })
        server.update('volumesnapshots', name, each => ({ ...each, status: ready }))
      }
    })
    assert.deepEqual(going, both)
  }
})

test('F38: snapshots that a restore has made of contents are of the claims that their Backups name, before a deletion as in the plan', async () => {
  assert.deepEqual((await prune(() => {}, { restored: true })).going, both)
})

for (const [plural, what] of [
  ['volumesnapshots', 'snapshot'],
  ['backups', 'Backup'],
] as const)
  test(`F38: a label of a ${what} that somebody changed moves it to no other claim; what no cache knows yet of that deletes less`, async () => {
    const moving =
      (...names: readonly string[]) =>
      (server: ToyApiServer) => {
        for (const name of names)
          server.update(plural, name, each => ({
            ...each,
            metadata: { ...each.metadata, labels: { ...each.metadata.labels, [label.target]: 'other' } },
          }))
      }
    const newest = 'nightly-data-3'
    for (const names of [[...both, newest], [newest]])
      assert.deepEqual((await prune(moving(...names), { known: true })).going, both)
    assert.deepEqual((await prune(moving(newest))).going, ['nightly-data-1'])
  })

test('F31: right before a deletion the Backups of the other snapshots are as the API server has them: a failed one pushes nothing out', async () => {
  const { going } = await prune(server => {
    server.update('backups', 'nightly-data-3', each => ({
      ...each,
      status: { ...each.status, phase: 'Failed', reason: 'SnapshotNotCut' },
    }))
  })
  assert.deepEqual(going, ['nightly-data-1'])
})

test('F31: right before a deletion a snapshot whose Backup is gone pushes nothing out, though the cache still has that Backup', async () => {
  const { going } = await prune(server => server.remove('backups', 'nightly-data-3'))
  assert.deepEqual(going, ['nightly-data-1'], 'nightly-data-2 is the only one that counts')
})

test('F86: the snapshot that an unbound claim names as its source stays, which is told, and the others go', async () => {
  for (const spec of [{ dataSource: source }, { dataSourceRef: source }]) {
    const { going, blocked, notes } = await prune(server => add(server, restoring(spec)))
    assert.deepEqual(going, ['nightly-data-2'])
    assert.deepEqual([blocked?.status, blocked?.reason], ['True', 'SnapshotInUse'])
    assert.match(blocked?.message ?? '', /nightly-data-1 is kept .* PersistentVolumeClaim restored names it/)
    assert.ok(notes.some(({ reason }) => reason === 'SnapshotInUse'))
  }
})

test('F86: a claim that is bound has its data, and one with another source needs nothing of it', async () => {
  for (const of of [
    restoring({ dataSource: source }, 'Bound'),
    restoring({ dataSource: { kind: 'PersistentVolumeClaim', name: source.name } }),
    restoring({ dataSourceRef: { ...source, name: 'nightly-data-3' } }),
  ])
    assert.deepEqual((await prune(server => add(server, of))).going, both)
})

test('F63: a hold that no cache knows yet is read right before the deletion, on the Backup and on the snapshot', async () => {
  assert.deepEqual((await prune(server => annotate(server, 'nightly-data-1', 'true'))).going, ['nightly-data-2'])
  const labelled = await prune(server => {
    server.update('volumesnapshots', 'nightly-data-1', each => ({
      ...each,
      metadata: { ...each.metadata, labels: { ...each.metadata.labels, [label.hold]: 'true' } },
    }))
    server.remove('backups', 'nightly-data-1')
  })
  assert.deepEqual(labelled.going, ['nightly-data-2'], 'also when its Backup object is gone')
})

test('F63: where kind Backup answers 404 nobody can say what is held, and nothing is pruned, which is told', async () => {
  const { going, blocked } = await prune(() => {}, { absent: 'Backup' })
  assert.deepEqual([going, blocked?.reason], [[], 'DeletionRefused'])
})

test('F63: what goes is what was just read: a snapshot that was made anew under the name stays', async () => {
  const { going } = await prune(server => {
    const before = server.get('volumesnapshots', 'nightly-data-1')
    assert.ok(before)
    server.remove('volumesnapshots', 'nightly-data-1')
    server.create('volumesnapshots', before)
    server.update('volumesnapshots', 'nightly-data-1', each => ({ ...each, status: ready }))
  })
  assert.ok(!going.includes('nightly-data-1'))
})

test('F82: a snapshot of a claim that went with its pod stays while a claim of that name is there after all', async () => {
  const expire = async (claims: readonly string[], claimUID?: string) => {
    const server = new ToyApiServer(now)
    const { snapshot } = kept(1)
    const made = server.create('volumesnapshots', snapshot)
    for (const name of claims) add(server, claim(name))
    server.now = at('+7d 12:00')
    const client = toyClient(server)
    const { name, uid = '' } = made.metadata
    const doomed = { kind: 'VolumeSnapshot', name, uid }
    const provided = { that: 'no-claim', claim: 'data', ...(claimUID === undefined ? {} : { uid: claimUID }) } as const
    const owner = { namespace: 'shop', name: 'nightly' }
    return (await lookLast({ client, caches: toyCaches(client) }, owner, doomed, provided, new Map(), signal)).is
  }
  assert.equal(await expire(['data']), 'stays')
  assert.equal(await expire(['other']), 'to-go')
  assert.equal(await expire(['data'], 'persistentvolumeclaims/data/1'), 'stays')
  assert.equal(await expire(['data'], 'persistentvolumeclaims/data/0'), 'to-go', 'another one has the name')
})

test('F27: a prepared snapshot whose Backup no cache knew is not deleted as one whose Backup is gone', async () => {
  const look = async (slot: string) => {
    const server = new ToyApiServer(now)
    const { metadata } = server.create('volumesnapshots', kept(1).snapshot)
    server.create('backups', scheduled(at(slot), { name: 'nightly-data-1', target: 'data' }))
    const reach = { client: toyClient(server), caches: toyCaches(toyClient(server)) }
    const doomed = { kind: 'VolumeSnapshot', name: metadata.name, uid: metadata.uid ?? '' }
    const owner = { namespace: 'shop', name: 'nightly' }
    server.update('backups', 'nightly-data-1', each => ({
      ...each,
      metadata: { ...each.metadata, creationTimestamp: stamp(at(slot)) },
    }))
    return (await lookLast(reach, owner, doomed, { that: 'nobody-needs-it' }, new Map(), signal)).is
  }
  assert.equal(await look('12:00'), 'to-go', 'it is the snapshot of the Backup')
  assert.equal(await look('12:30'), 'stays', 'it was there long before')
})

test('F83: an old failed Backup goes though something else has the name of its snapshot, and stays for its own', async () => {
  const { backup, snapshot } = kept(1, { phase: 'Failed' })
  const { name } = snapshot.metadata
  const look = async (standing: VolumeSnapshot) => {
    const server = new ToyApiServer(now)
    const { uid = '' } = server.create('backups', backup).metadata
    server.update('backups', name, each => ({ ...each, status: backup.status }))
    server.create('volumesnapshots', standing)
    const reach = { client: toyClient(server), caches: toyCaches(toyClient(server)) }
    const owner = { namespace: 'shop', name: 'nightly' }
    const doomed = { kind: 'Backup', name: backup.metadata.name, uid }
    return (await lookLast(reach, owner, doomed, { that: 'no-snapshot', name }, new Map(), signal)).is
  }
  assert.equal(await look(snapshot), 'stays')
  assert.equal(await look({ ...snapshot, metadata: { name } }), 'to-go')
})

test('F67: a slow snapshot that is to go stays when the API server knows fewer newer good ones', async () => {
  const server = new ToyApiServer(now)
  const made = [kept(1), kept(2), kept(3)]
  const three = made.map(({ backup, snapshot }, index) => {
    if (index > 0) server.create('backups', backup)
    server.create('volumesnapshots', snapshot)
    const status = index === 0 ? { creationTime: '2026-01-05T01:00:00Z' } : ready
    const { creationTimestamp } = snapshot.metadata
    const stamped = server.update('volumesnapshots', snapshot.metadata.name, each => ({
      ...each,
      metadata: { ...each.metadata, creationTimestamp },
      status,
    }))
    assert.ok(stamped)
    return stamped
  })
  const client = toyClient(server)
  const { name, uid = '' } = three[0]?.metadata ?? assert.fail()
  const provided = {
    that: 'retention',
    target: 'data',
    keeping: { keep: 2, onDemand: { keep: 2 } },
    slow: true,
    now: new Date('2026-01-05T12:00:00Z'),
  } as const
  const doomed = { kind: 'VolumeSnapshot', name, uid }
  const owner = { namespace: 'shop', name: 'nightly' }
  const caches = toyCaches(client)
  for (const { backup } of made.slice(1)) caches.backups.offer(backup)
  const look = async () => (await lookLast({ client, caches }, owner, doomed, provided, new Map(), signal)).is
  assert.equal(await look(), 'to-go')
  server.remove('volumesnapshots', 'nightly-data-3')
  assert.equal(await look(), 'stays')
})

test('snapshots, claims and Backups are listed once for all that go of a target; the Backup, by which people hold, is read for each besides', async () => {
  const { going, lists } = await prune(() => {})
  assert.equal(going.length, 2)
  const count = (kind: string) => lists.filter(each => each.kind === kind).length
  assert.deepEqual([count('VolumeSnapshot'), count('PersistentVolumeClaim'), count('Backup')], [1, 1, 3])
})

test('what is listed for those that go of a target does not grow with the snapshots and Backups of others', async () => {
  const { going, lists } = await prune(
    server => {
      for (let n = 0; n < 20; n++) {
        const { backup, snapshot } = kept(1, { target: `logs-${n}` })
        server.create('backups', backup)
        server.create('volumesnapshots', snapshot)
      }
    },
    { known: true },
  )
  assert.deepEqual(going, both)
  const most = (kind: string) => Math.max(...lists.flatMap(each => (each.kind === kind ? [each.count] : [])))
  assert.deepEqual([most('VolumeSnapshot'), most('Backup')], [3, 3])
})

test('F63: a label that is set between the list and the deletion keeps the snapshot', async () => {
  const { going } = await prune(() => {}, {
    onDelete: server =>
      server.update('volumesnapshots', 'nightly-data-2', each => ({
        ...each,
        metadata: { ...each.metadata, labels: { ...each.metadata.labels, [label.hold]: 'true' } },
      })),
  })
  assert.deepEqual(going, ['nightly-data-1'])
})
