// A person asks for a Backup of all claims before an upgrade, and holds that one object: its children have the snapshots.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { applyContext } from '../../../test/histories/toy/apply-context.ts'
import { ToyApiServer, toyClient } from '../../../test/histories/toy/api-server.ts'
import { toyCaches } from '../../../test/histories/toy/caches.ts'
import { passOf } from '../../../test/histories/toy/pass.ts'
import {
  at,
  backup,
  claim,
  completed,
  failed,
  ready,
  snapshotOf,
  snapshotPolicy,
  stamp,
  world,
} from '../../../test/plan/world.ts'
import type { Backup, BackupStatus } from '../../api/kinds/backup.ts'
import { annotation, label } from '../../api/labels.ts'
import { snapshotName } from '../../plan/view/owners.ts'
import { childBackup } from '../../resources/backup-objects.ts'
import { ApiError } from '../../runtime/client/errors.ts'
import { FakeClock } from '../../runtime/fake-clock.ts'
import { lookLast } from './look-before-deletion.ts'

const now = at('12:00')
const signal = new AbortController().signal
const held = 'before-upgrade'
const targets = ['data', 'logs']

function put(server: ToyApiServer, each: Backup, time: Date, status?: BackupStatus): Backup {
  const { name } = server.create('backups', each).metadata
  const made = server.update('backups', name, one => ({
    ...one,
    metadata: { ...one.metadata, creationTimestamp: stamp(time) },
    ...(status ? { status } : {}),
  }))
  return made ?? assert.fail()
}

/** A Backup over both claims that is complete, with its children and their snapshots. */
function complete(server: ToyApiServer, name: string, time: Date): readonly Backup[] {
  const parent = put(server, backup(name), time, { phase: 'Completed', reason: 'Completed', targets })
  const children = targets.map(target => {
    const child = put(server, childBackup(parent, target), time)
    const snapshot = server.create('volumesnapshots', snapshotOf(child)).metadata.name
    server.update('volumesnapshots', snapshot, one => ({
      ...one,
      metadata: { ...one.metadata, creationTimestamp: stamp(time) },
      status: { ...ready, creationTime: stamp(time) },
    }))
    const status = completed(snapshot, time, { target, takenTime: stamp(time), snapshot: { name: snapshot } })
    return server.update('backups', child.metadata.name, one => ({ ...one, status })) ?? assert.fail()
  })
  return [parent, ...children]
}

function annotate(server: ToyApiServer, name: string, hold: string | undefined): void {
  const annotations: Readonly<Record<string, string>> = hold === undefined ? {} : { [annotation.hold]: hold }
  server.update('backups', name, each => ({ ...each, metadata: { ...each.metadata, annotations } }))
}

/** One that is to be held, and a later one, of a policy that keeps one of each claim. */
function stage() {
  const server = new ToyApiServer(now)
  const [parent, ...children] = complete(server, held, at('10:00'))
  complete(server, 'another', at('11:00'))
  const number = { value: 1, since: stamp(at('00:00')) }
  server.create('backuppolicies', snapshotPolicy({ retention: 1, onDemandRetention: 1 }))
  const of = server.update('backuppolicies', 'nightly', each => ({
    ...each,
    status: { retention: number, onDemandRetention: number, accountedUntil: stamp(at('02:00')) },
  }))
  const claims = targets.map(name => claim(name))
  const refused = new Set<string>()
  const client = toyClient(server, ({ plural, verb, name }, _before, _body, run) => {
    if (plural === 'volumesnapshots' && verb === 'update' && refused.has(name))
      throw new ApiError({ request: `PATCH ${name}`, status: 500, message: 'failed calling webhook' })
    run()
  })
  const caches = toyCaches(client)
  for (const each of claims) caches.claims.offer(each)
  const context = applyContext(client, new FakeClock(now), { caches })
  const standing = () => server.all('volumesnapshots').filter(({ metadata }) => !metadata.deletionTimestamp)
  /** @param meanwhile what happens after it was seen */
  const pass = async (meanwhile = () => {}) => {
    for (const each of server.all('backups')) caches.backups.offer(each)
    for (const each of server.all('volumesnapshots')) caches.snapshots.offer(each)
    const seen = world(of, { claims, backups: server.all('backups'), snapshots: standing() })
    meanwhile()
    await passOf(context, seen, now, /^(hold|prune|verdict|clean)\//)
  }
  return {
    server,
    parent: parent ?? assert.fail(),
    children,
    reach: { client, caches },
    pass,
    /** Names of snapshots whose changes are answered with an error. */
    refused,
    /** Of the snapshots of the one that is to be held, whether each is labelled. */
    labelled: () =>
      standing()
        .filter(({ metadata }) => metadata.name.startsWith(held))
        .map(({ metadata }) => metadata.labels?.[label.hold] === 'true'),
    told: (name: string) => {
      const said = server.get('backups', name)?.status?.conditions?.find(({ type }) => type === 'Held')
      return said && `${said.status} ${said.reason}`
    },
  }
}

test('F63: a hold on a Backup over several claims keeps the snapshot of each, and all of their objects tell it', async () => {
  const { server, children, pass, labelled, told } = stage()
  annotate(server, held, 'true')
  for (let n = 0; n < 3; n++) await pass()
  assert.deepEqual(labelled(), [true, true])
  for (const name of [held, ...children.map(({ metadata }) => metadata.name)])
    assert.equal(told(name), 'True Held', name)
  assert.equal(told('another'), undefined)
})

test('F63: a hold on a Backup over several claims stays without its annotation, and goes from all of them once it is taken back', async () => {
  const { server, children, pass, labelled, told } = stage()
  annotate(server, held, 'true')
  for (let n = 0; n < 2; n++) await pass()
  annotate(server, held, undefined)
  for (let n = 0; n < 2; n++) await pass()
  assert.deepEqual([labelled(), told(held)], [[true, true], 'True Held'])
  annotate(server, held, 'false')
  await pass()
  assert.deepEqual(labelled(), [false, false])
  await pass()
  assert.deepEqual(labelled(), [], 'retention treats them like any others')
  assert.equal(told(held), 'False HoldReleased')
  for (const { metadata } of children) assert.notEqual(told(metadata.name), 'True Held')
})

test('F63: a hold on one of the claims is its own, whatever is said of the whole', async () => {
  for (const hold of [undefined, 'false']) {
    const { server, children, pass, labelled, told } = stage()
    annotate(server, held, hold)
    annotate(server, children[0]?.metadata.name ?? '', 'true')
    for (let n = 0; n < 3; n++) await pass()
    assert.deepEqual([labelled(), told(held)], [[true], undefined])
  }
})

test('F63: a hold on a Backup over several claims that no cache knows yet is read right before the deletions', async () => {
  const { server, pass, labelled } = stage()
  await pass(() => annotate(server, held, 'true'))
  assert.equal(labelled().length, 2)
  await pass()
  assert.deepEqual(labelled(), [true, true])
})

test('F63: a hold on a Backup over several claims keeps the snapshot also of the one whose object somebody has deleted', async () => {
  const { server, children, pass, labelled, told } = stage()
  server.remove('backups', children[1]?.metadata.name ?? '')
  annotate(server, held, 'true')
  await pass()
  assert.deepEqual([labelled(), told(held)], [[true, true], undefined])
  await pass()
  assert.equal(told(held), 'True Held')
  annotate(server, held, 'false')
  for (let n = 0; n < 2; n++) await pass()
  assert.deepEqual([labelled(), told(held)], [[], 'False HoldReleased'])
})

test('F63: a hold that is known and that nobody has released is put on a snapshot whose Backup is gone, and stays told', async () => {
  const { server, children, pass, labelled, told } = stage()
  annotate(server, held, 'true')
  for (let n = 0; n < 2; n++) await pass()
  // As an operator before this rule has left it, and a restore without annotations.
  const [, gone = assert.fail()] = children
  server.remove('backups', gone.metadata.name)
  server.update('volumesnapshots', snapshotName(gone), each => {
    const { [label.hold]: _, ...labels } = each.metadata.labels ?? {}
    return { ...each, metadata: { ...each.metadata, labels } }
  })
  annotate(server, held, undefined)
  assert.deepEqual(labelled(), [true, false])
  for (let n = 0; n < 3; n++) {
    await pass()
    assert.deepEqual([labelled(), told(held)], [[true, true], 'True Held'])
  }
})

test('F63: a hold is told as released only once no snapshot has its label, also where the Backup of one is gone or goes meanwhile', async () => {
  for (const goes of ['before', 'meanwhile', 'never']) {
    const { server, children, pass, refused, labelled, told } = stage()
    const [, child = assert.fail()] = children
    annotate(server, held, 'true')
    for (let n = 0; n < 2; n++) await pass()
    if (goes === 'before') server.remove('backups', child.metadata.name)
    annotate(server, held, 'false')
    refused.add(snapshotName(child))
    for (let n = 0; n < 2; n++) await pass()
    assert.deepEqual([labelled(), told(held)], [[true], 'True Held'], goes)
    if (goes === 'meanwhile') server.remove('backups', child.metadata.name)
    refused.clear()
    for (let n = 0; n < 3; n++) await pass()
    assert.deepEqual([labelled(), told(held)], [[], 'False HoldReleased'], goes)
  }
})

test('F63: a hold that no cache knows yet is read right before the deletions though the objects of the claims are gone', async () => {
  const { server, children, pass, labelled } = stage()
  for (const { metadata } of children) server.remove('backups', metadata.name)
  await pass(() => annotate(server, held, 'true'))
  assert.equal(labelled().length, 2)
})

test('F63: a failed Backup stays for the hold of the whole that no cache knows yet, and goes where that is another object', async () => {
  const { server, parent, reach } = stage()
  const of = (whole: Backup) => put(server, childBackup(whole, 'more'), now, failed('run', now, { target: 'more' }))
  const look = async (child: Backup) => {
    const { name, uid = '' } = child.metadata
    const provided = { that: 'no-snapshot', name: snapshotName(child) } as const
    const owner = { namespace: 'shop', name: 'nightly' }
    return (await lookLast(reach, owner, { kind: 'Backup', name, uid }, provided, new Map(), signal)).is
  }
  const child = of(parent)
  assert.equal(await look(child), 'to-go')
  annotate(server, held, 'true')
  assert.equal(await look(child), 'stays')
  const madeAnew = of({ ...parent, metadata: { ...parent.metadata, uid: 'of-one-that-is-gone' } })
  assert.equal(await look(madeAnew), 'to-go')
})
