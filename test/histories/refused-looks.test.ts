// What is asked of the API server beside the watches is refused, or not answered: only what rests on the answer waits.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { KubernetesObject } from '../../src/api/kubernetes.ts'
import { ApiError, ConnectionError } from '../../src/runtime/client/errors.ts'
import { addSeconds } from '../../src/schedule/times.ts'
import {
  at,
  backup,
  claim,
  policy,
  snapshotClass,
  snapshotPolicy,
  stamp,
  startable,
  usableStore,
  volumeOf,
} from '../plan/world.ts'
import { ToyApiServer, type Plural } from './toy/api-server.ts'
import { ToyCronController } from './toy/cron-controller.ts'
import { ToyOperator } from './toy/operator.ts'

const refusal = new ApiError({ request: 'LIST', status: 500, reason: 'InternalError', message: 'no webhook answers' })
const silence = new ConnectionError('LIST', { cause: new Error('none within 34 s'), unsent: false })

/** As a person applies it. */
function fresh<T extends KubernetesObject>(object: T): T {
  const { resourceVersion: _, ...metadata } = object.metadata
  return { ...object, metadata }
}

/** Lists of the kind fail so until they are mended; watches go on. */
function refuse(server: ToyApiServer, refused: Plural, error: Error): { readonly mend: () => void } {
  const all = server.all.bind(server)
  server.all = plural => {
    if (plural === refused) throw error
    return all(plural)
  }
  return {
    mend: () => {
      server.all = all
    },
  }
}

/** Every five minutes: the world does what it does, and the operator looks at it. */
async function play(server: ToyApiServer, operator: ToyOperator, [from, to]: readonly [Date, Date], act: () => void) {
  for (server.now = from; server.now < to; server.now = addSeconds(server.now, 300)) {
    act()
    for (let pass = 0; pass < 3; pass++) await operator.pass()
  }
}

for (const refused of ['persistentvolumeclaims', 'volumesnapshotclasses'] as const)
  test(`F31: slots run while ${refused} are refused that a Backup on demand rests on, which runs when they are not`, async () => {
    const server = new ToyApiServer(at('01:00'))
    server.create('backuppolicies', fresh(snapshotPolicy({ schedule: '30 * * * *' })))
    const data = claim('data')
    server.create('persistentvolumeclaims', fresh(data))
    server.update('persistentvolumeclaims', 'data', each => ({ ...each, status: data.status }))
    server.create('persistentvolumes', fresh(volumeOf('data')))
    server.create('volumesnapshotclasses', fresh(snapshotClass('csi')))
    const operator = new ToyOperator(server, 'nightly', { onWrite: () => {} })
    const all = server.all.bind(server)
    const cut = () => {
      for (const { metadata, status } of all('volumesnapshots'))
        if (!status)
          server.update('volumesnapshots', metadata.name, each => ({
            ...each,
            status: { readyToUse: true, creationTime: stamp(server.now), boundVolumeSnapshotContentName: 'content' },
          }))
    }
    await play(server, operator, [at('01:00'), at('02:00')], cut)
    const { mend } = refuse(server, refused, refusal)
    server.create('backups', fresh(backup('now', { spec: { target: 'data' } })))
    await play(server, operator, [at('02:00'), at('06:00')], cut)
    const until = () => server.get('backuppolicies', 'nightly')?.status?.accountedUntil
    const phase = () => server.get('backups', 'now')?.status?.phase
    assert.deepEqual([until(), phase()], [stamp(at('05:30')), undefined])
    assert.ok(operator.wakeAt === undefined || operator.wakeAt > at('05:55'))
    mend()
    await play(server, operator, [at('06:00'), at('06:20')], cut)
    assert.equal(phase(), 'Completed')
  })

for (const [what, error] of [
  ['refused', refusal],
  ['not answered', silence],
] as const)
  test(`F71: slots are accounted for while the count of the selected pods, which is for a warning only, is ${what}`, async () => {
    const server = new ToyApiServer(at('01:00'))
    server.create('backuppolicies', fresh(policy({ schedule: '30 * * * *' })))
    const found = { store: usableStore(at('00:30')), start: startable(at('00:30')) }
    server.update('backuppolicies', 'nightly', each => ({ ...each, status: found }))
    const operator = new ToyOperator(server, 'nightly', { onWrite: () => {} })
    const runs = runsThatEnd(server)
    await play(server, operator, [at('01:00'), at('02:00')], runs)
    refuse(server, 'pods', error)
    await play(server, operator, [at('02:00'), at('06:00')], runs)
    assert.equal(server.get('backuppolicies', 'nightly')?.status?.accountedUntil, stamp(at('05:30')))
  })

test('F71: slots are accounted for, and what is refused is told, while nobody can be asked whether a probe has said more', async () => {
  const server = new ToyApiServer(at('01:00'))
  server.create('backuppolicies', fresh(policy({ schedule: '30 * * * *' })))
  const operator = new ToyOperator(server, 'nightly', { onWrite: () => {} })
  const runs = runsThatEnd(server)
  await play(server, operator, [at('01:00'), at('01:10')], runs)
  const before = server.get('backuppolicies', 'nightly')?.status?.store
  refuse(server, 'pods', refusal)
  await play(server, operator, [at('01:10'), at('06:00')], runs)
  const { accountedUntil, store, conditions } = server.get('backuppolicies', 'nightly')?.status ?? {}
  assert.deepEqual([accountedUntil, store], [stamp(at('05:30')), before])
  assert.match(conditions?.find(({ type }) => type === 'WritesRefused')?.message ?? '', /no webhook answers/)
})

/** Jobs of slots begin when they are due, and are complete at once. */
function runsThatEnd(server: ToyApiServer): () => void {
  const cron = new ToyCronController(server)
  const all = server.all.bind(server)
  return () => {
    cron.sync()
    for (const { metadata, status } of all('jobs')) {
      if (status?.conditions || !metadata.name.startsWith('backup-')) continue
      const time = stamp(server.now)
      const conditions = [{ type: 'Complete', status: 'True', lastTransitionTime: time }] as const
      server.update('jobs', metadata.name, each => ({
        ...each,
        status: { startTime: time, completionTime: time, conditions },
      }))
    }
  }
}
