// What goes wrong with volume snapshots, and what its owner is told: every failure has its own reason, and none costs a good backup.
import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { kubectl } from '../dev/cluster-access.ts'
import { eventually } from '../dev/eventually.ts'
import { cluster, patience, waitFor } from './cluster.ts'
import { installOperator } from './install.ts'
import { storyNamespace } from './namespace.ts'
import { put } from './objects.ts'
import {
  backupOf,
  backupsOf,
  claim,
  conditionOf,
  ended,
  className,
  immediateClass,
  lateSecret,
  policyOf,
  readyAfter,
  removeClasses,
  runNow,
  snapshotClass,
  defaultDriver,
  snapshotPolicy,
  snapshotsOf,
  staticVolume,
  storyWithVolumes,
} from './snapshot-stack.ts'
import { backupEnd, backupStatus, onDemand, patch } from './stack.ts'

/** Seconds that "at once" may take on a busy machine: what would wait, waits for a quarter of an hour and longer. */
const atOnce = 60

let driver: string
after(removeClasses)
before(async () => {
  await removeClasses()
  await installOperator()
  driver = await defaultDriver()
  await put(
    immediateClass(driver),
    snapshotClass(className('good'), driver),
    snapshotClass(className('late'), driver, { parameters: lateSecret.parameters }),
  )
})

const useClass = (volumeSnapshotClassName: string, more: object = {}) => ({
  strategy: { snapshot: { volumeSnapshotClassName, ...more } },
})

const bound = (namespace: string, name: string) => waitFor(namespace, `pvc/${name}`, 'jsonpath={.status.phase}=Bound')

suite('snapshots that fail', { concurrency: true }, () => {
  test('one that is never cut fails at its deadline, goes, and evicts nothing, however often', async t => {
    const namespace = await storyNamespace(t, 'e2e-snapshot-never')
    const snapshot = { volumeSnapshotClassName: className('good') }
    await put(claim(namespace, 'data'), snapshotPolicy(namespace, 'app', { snapshot, spec: { retention: 1 } }))
    await bound(namespace, 'data')
    const good = await runNow(namespace, 'good', 'app')
    assert.equal(good.status?.phase, 'Completed')

    await patch(namespace, 'bp/app', { spec: useClass(className('late'), { cutTimeoutSeconds: 10 }) })
    await conditionOf(namespace, 'app', 'Ready', { status: 'True' })
    await put(onDemand(namespace, 'bad-1', 'app'), onDemand(namespace, 'bad-2', 'app'))
    for (const name of ['bad-1', 'bad-2']) {
      const { status } = await ended(namespace, name)
      assert.equal(status?.phase, 'Failed')
      assert.equal(status.reason, 'SnapshotNotCut')
      assert.match(
        status.message ?? '',
        /did not cut VolumeSnapshot \S+ within 10 s, and it was deleted; .*cannot get credentials/,
      )
    }
    await put(lateSecret.object(namespace))
    const left = () => snapshotsOf(namespace, 'app')
    await eventually('the failed snapshots to be cleaned up', async () => (await left()).length === 1, {
      seconds: patience,
    })
    assert.equal((await left())[0]?.metadata.name, good.status.run)
    assert.equal((await policyOf(namespace, 'app')).status?.targets?.[0]?.kept, 1)
    const last = await conditionOf(namespace, 'app', 'LastBackupSucceeded', { status: 'False' })
    assert.equal(last.reason, 'SnapshotNotCut')
    // The next run can start all the same.
    await conditionOf(namespace, 'app', 'Ready', { status: 'True' })

    await patch(namespace, 'bp/app', { spec: useClass(className('good')) })
    const better = await runNow(namespace, 'better', 'app')
    assert.equal(better.status?.phase, 'Completed')
    await conditionOf(namespace, 'app', 'LastBackupSucceeded', { status: 'True' })
    await eventually(
      'only the newest good one to be left',
      async () => (await left()).map(({ metadata }) => metadata.name).join() === better.status?.run,
      { seconds: patience },
    )
  })

  test('F67: one that is cut at once and ready late is slow for a while, and Completed in the end', async t => {
    const parameters = readyAfter(driver, 45)
    if (!parameters) return t.diagnostic(`${driver} has no parameter that makes a snapshot ready late`)
    const namespace = await storyNamespace(t, 'e2e-snapshot-slow')
    const snapshot = { volumeSnapshotClassName: className('slow'), readyTimeoutSeconds: 10 }
    await put(
      snapshotClass(className('slow'), driver, { parameters }),
      claim(namespace, 'data'),
      snapshotPolicy(namespace, 'app', { snapshot }),
    )
    await bound(namespace, 'data')
    await put(onDemand(namespace, 'one', 'app'), onDemand(namespace, 'two', 'app'))
    for (const name of ['one', 'two']) {
      const slow = await eventually(
        `${name} to be slow`,
        async () => {
          const { status } = await backupOf(namespace, name)
          return status?.reason === 'SnapshotSlow' ? status : undefined
        },
        { seconds: patience },
      )
      assert.equal(slow.phase, 'Running')
      assert.ok(slow.takenTime)
    }
    for (const name of ['one', 'two']) assert.equal((await ended(namespace, name)).status?.phase, 'Completed')
  })

  test('an error of the storage system is shown at once and decides nothing: the run completes when it is over', async t => {
    const namespace = await storyNamespace(t, 'e2e-snapshot-error')
    const snapshot = { volumeSnapshotClassName: className('late') }
    await put(claim(namespace, 'data'), snapshotPolicy(namespace, 'app', { snapshot }))
    await bound(namespace, 'data')
    await put(onDemand(namespace, 'now', 'app'))
    const shown = await eventually(
      'the error to be shown',
      async () => {
        const { status } = await backupOf(namespace, 'now')
        return status?.reason === 'SnapshotError' ? status : undefined
      },
      { seconds: patience },
    )
    assert.equal(shown.phase, 'Running')
    assert.match(shown.message ?? '', /the storage system says: .*cannot get credentials/)
    await put(lateSecret.object(namespace))
    const { status } = await ended(namespace, 'now')
    assert.equal(status?.phase, 'Completed')
    assert.equal(status.reason, 'Completed')
  })

  test('one failing claim of three does not stop the others, and is named', async t => {
    const namespace = await storyWithVolumes(t, 'e2e-snapshot-partial')
    const snapshot = { volumeSnapshotClassName: className('good') }
    await put(
      claim(namespace, 'data-0'),
      claim(namespace, 'data-1'),
      ...staticVolume(namespace, 'plain', { hostPath: { path: '/nowhere' } }),
      snapshotPolicy(namespace, 'app', { snapshot }),
    )
    for (const name of ['data-0', 'data-1', 'plain']) await bound(namespace, name)
    const unready = await conditionOf(namespace, 'app', 'TargetsReady', { status: 'False', reason: 'NotACsiVolume' })
    assert.match(unready.message, /^plain: /)
    await conditionOf(namespace, 'app', 'Ready', { status: 'True' })

    const parent = await runNow(namespace, 'all', 'app')
    assert.equal(parent.status?.phase, 'Failed')
    assert.equal(parent.status.reason, 'PartiallyFailed')
    assert.equal(parent.status.message, '1 of 3 targets failed: plain: NotACsiVolume')
    const children = (await backupsOf(namespace, 'app')).filter(({ metadata }) => metadata.name !== 'all')
    assert.deepEqual(
      new Map(children.map(({ spec, status }) => [spec.target, status?.phase])),
      new Map([
        ['data-0', 'Completed'],
        ['data-1', 'Completed'],
        ['plain', 'Failed'],
      ]),
    )
    assert.equal((await snapshotsOf(namespace, 'app')).length, 2)
  })

  test('what is wrong before anything is created is told at once, each with its own reason', async t => {
    const namespace = await storyWithVolumes(t, 'e2e-snapshot-refused')
    const classes = [className('twice-a'), className('twice-b')]
    const csi = (of: string) => ({ csi: { driver: of, volumeHandle: 'none' } })
    const rows = [
      ['unserved', csi('unserved.csi.test'), undefined, 'NoSnapshotClass', /has driver unserved\.csi\.test/],
      [
        'twice',
        csi('twice.csi.test'),
        undefined,
        'AmbiguousSnapshotClass',
        /e2e-twice-a\S*, e2e-twice-b\S* are all .* default/,
      ],
      [
        'foreign',
        csi('foreign.csi.test'),
        className('twice-a'),
        'DriverMismatch',
        /is of driver twice\.csi\.test, but/,
      ],
      [
        'unnamed',
        csi('twice.csi.test'),
        'nobody',
        'SnapshotClassNotFound',
        /nobody does not exist; classes .* e2e-twice-a/,
      ],
      ['plain', { hostPath: { path: '/nowhere' } }, undefined, 'NotACsiVolume', /use strategy job/],
      ['lost', csi('twice.csi.test'), undefined, 'PVCLost', /phase Lost/],
      ['pending', undefined, undefined, 'PVCPending', /gets one when a pod uses it/],
    ] as const
    const waiting = {
      ...immediateClass(driver),
      metadata: { name: className('waiting') },
      volumeBindingMode: 'WaitForFirstConsumer',
    }
    await put(
      ...classes.map(name => snapshotClass(name, 'twice.csi.test', { isDefault: true })),
      waiting,
      ...rows.flatMap(([name, source, volumeSnapshotClassName]) => {
        const objects = source
          ? staticVolume(namespace, name, source)
          : [claim(namespace, name, { storageClassName: className('waiting') })]
        const labelled = objects.map(object => ({ ...object, metadata: { ...object.metadata, labels: { row: name } } }))
        const snapshot = volumeSnapshotClassName ? { volumeSnapshotClassName } : undefined
        return [...labelled, snapshotPolicy(namespace, name, { selector: { row: name }, snapshot })]
      }),
    )
    for (const [name, source] of rows) if (source) await bound(namespace, name)
    const volume = `pv/${namespace}-lost`
    await kubectl(cluster, ['delete', '--wait=false', volume])
    // Kubernetes protects a volume in use; storage that is really gone does not ask.
    await kubectl(cluster, ['patch', volume, '--type=merge', '--patch', '{"metadata":{"finalizers":null}}'])
    await waitFor(namespace, 'pvc/lost', 'jsonpath={.status.phase}=Lost')

    for (const [name, , , reason, message] of rows) {
      const ready = await conditionOf(namespace, name, 'Ready', { status: 'False', reason })
      assert.match(ready.message, message)
    }
    await put(...rows.map(([name]) => onDemand(namespace, name, name)))
    for (const [name, , , reason, message] of rows) {
      // F80: a volume may be on its way, so that a Backup waits for it.
      const coming = reason === 'PVCPending'
      const status = coming
        ? await backupStatus(namespace, name, reason, seen => seen.reason === reason, atOnce)
        : await backupEnd(namespace, name, atOnce)
      assert.deepEqual([status.phase, status.reason, status.target], [coming ? 'Pending' : 'Failed', reason, name])
      assert.match(status.message ?? '', message)
      assert.deepEqual(await snapshotsOf(namespace, name), [])
    }
    // What is put right is seen without touching the policy.
    await put(snapshotClass(className('served-later'), 'unserved.csi.test'))
    await conditionOf(namespace, 'unserved', 'Ready', { status: 'True' })
  })
})
