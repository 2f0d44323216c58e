// The snapshot strategy on a real CSI driver, as its users live with it.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, suite, test, type TestContext } from 'node:test'
import { kubectl, kubectlJson } from '../dev/cluster-access.ts'
import { eventually } from '../dev/eventually.ts'
import { repository } from '../dev/paths.ts'
import type { Backup, BackupStatus } from '../src/api/kinds/backup.ts'
import type { KubernetesObject } from '../src/api/kubernetes.ts'
import { label } from '../src/api/labels.ts'
import { slotText } from '../src/api/names.ts'
import * as resources from '../src/controllers/shared/resources.ts'
import { cluster, execInPod, idlePod, patience, waitFor } from './cluster.ts'
import { installOperator } from './install.ts'
import { storyNamespace } from './namespace.ts'
import { api, put } from './objects.ts'
import {
  backupOf,
  backupsOf,
  claim,
  conditionOf,
  ended,
  forgetContents,
  className,
  immediateClass,
  policyOf,
  removeClasses,
  runNow,
  snapshotClass,
  defaultDriver,
  snapshotPolicy,
  snapshotsOf,
  contentOf,
  staticVolume,
  storyWithVolumes,
} from './snapshot-stack.ts'
import { backupStatus, jobPolicy, onDemand, patch, shell } from './stack.ts'

let driver: string
after(removeClasses)
before(async () => {
  await installOperator()
  driver = await defaultDriver()
  await put(immediateClass(driver))
})

const sample = readFileSync(join(repository, 'examples/sample-backuppolicy.yaml'), 'utf8')

type Claim = KubernetesObject & { readonly spec: { readonly volumeName: string } }
type Volume = KubernetesObject & { readonly spec: { readonly csi: object; readonly nodeAffinity?: object } }

const namesOf = (some: readonly { readonly metadata: { readonly name: string } }[]) =>
  some.map(({ metadata }) => metadata.name).toSorted()

async function childrenOf(parent: Backup): Promise<readonly Backup[]> {
  const { namespace = '', uid } = parent.metadata
  const all = await backupsOf(namespace, parent.spec.policy)
  return all.filter(({ metadata }) => metadata.ownerReferences?.some(owner => owner.uid === uid))
}

async function twoClaims(t: TestContext, name: string): Promise<string> {
  const namespace = await storyNamespace(t, name)
  await put(claim(namespace, 'data-0'), claim(namespace, 'data-1'))
  for (const each of ['data-0', 'data-1']) await waitFor(namespace, `pvc/${each}`, 'jsonpath={.status.phase}=Bound')
  return namespace
}

suite('the snapshot strategy', { concurrency: true }, () => {
  test('the sample of the README is Ready as it is, and says that no copy leaves the storage system', async t => {
    const namespace = await storyNamespace(t, 'e2e-snapshot-sample')
    const labelled = claim(namespace, 'pgdata')
    await put({ ...labelled, metadata: { ...labelled.metadata, labels: { app: 'postgres' } } })
    await kubectl(cluster, ['-n', namespace, 'apply', '--filename', '-'], { input: sample })
    await waitFor(namespace, 'backuppolicy/sample', 'condition=Ready')

    const offsite = await conditionOf(namespace, 'sample', 'OffsiteCopy', { status: 'False', reason: 'NotExported' })
    assert.match(offsite.message, /does not export them/)
    const loses = await conditionOf(namespace, 'sample', 'NamespaceDeletionLosesData', { status: 'True' })
    assert.match(loses.message, /pgdata/)
    const { status } = await policyOf(namespace, 'sample')
    assert.match(status?.nextRun ?? '', /T02:00:00/)
    assert.deepEqual(
      status?.targets?.map(({ name, ready }) => ({ name, ready })),
      [{ name: 'pgdata', ready: true }],
    )
    // Nothing is written into what the user wrote: applying it again is no change.
    const again = await kubectl(cluster, ['-n', namespace, 'apply', '--filename', '-'], { input: sample })
    assert.match(again, /unchanged/)
    // Its backend is not used, and so not probed either (docs/design.md R15).
    assert.equal((await runNow(namespace, 'now', 'sample')).status?.phase, 'Completed')
    assert.deepEqual((await api.list(resources.jobs, { namespace })).items, [])
    assert.equal((await policyOf(namespace, 'sample')).status?.store, undefined)
    // The policy tells of a run after its Backup does.
    await waitFor(namespace, 'backuppolicy/sample', 'jsonpath={.status.state}=Ready')
    const row = await kubectl(cluster, ['-n', namespace, 'get', 'bp', 'sample'])
    assert.match(row, /^NAME +SCHEDULE +STRATEGY +.*NEXT RUN +READY +STATUS/)
    assert.match(row, /\nsample +0 2 \* \* \* +snapshot +.*True +Ready/)
  })

  test('a slot makes one labelled VolumeSnapshot of each claim, which restores; retention keeps two of each', async t => {
    const namespace = await storyNamespace(t, 'e2e-snapshot-minutely')
    const policy = snapshotPolicy(namespace, 'minutely', { spec: { schedule: '* * * * *' } })
    await put(claim(namespace, 'data-0'), claim(namespace, 'data-1'), idlePod(namespace, 'writer', 'data-0'))
    await waitFor(namespace, 'pod/writer', 'condition=Ready')
    await execInPod(namespace, 'writer', ['sh', '-c', 'echo before >/data/file'])
    await put(policy)

    const [first, second, ...others] = await eventually(
      'the first slot to be complete',
      async () => {
        const backups = await backupsOf(namespace, 'minutely')
        return backups.length > 0 && backups.every(({ status }) => status?.phase === 'Completed') ? backups : undefined
      },
      { seconds: 60 + patience },
    )
    await patch(namespace, 'bp/minutely', { spec: { suspend: true } })
    assert.ok(first && second)
    assert.deepEqual(others, [])
    const slot = first.spec.slot ?? ''
    assert.match(slot, /:00\.?0*Z$/)
    assert.equal(second.spec.slot, slot)
    assert.deepEqual(new Set([first.status?.target, second.status?.target]), new Set(['data-0', 'data-1']))
    const ofSlot = `${label.policy}=minutely,${label.slot}=${slotText(new Date(slot))}`
    const found = await kubectl(cluster, ['-n', namespace, 'get', 'volumesnapshot', '-l', ofSlot, '-o', 'name'])
    assert.equal(found.trim().split('\n').length, 2)

    await t.test('the data come back as they were', async () => {
      await execInPod(namespace, 'writer', ['sh', '-c', 'echo after >/data/file'])
      const [taken] = await snapshotsOf(namespace, 'minutely', 'data-0')
      const dataSource = {
        apiGroup: 'snapshot.storage.k8s.io',
        kind: 'VolumeSnapshot',
        name: taken?.metadata.name,
      }
      const restored = claim(namespace, 'restored', { dataSource })
      await put(
        { ...restored, metadata: { ...restored.metadata, labels: {} } },
        idlePod(namespace, 'reader', 'restored'),
      )
      await waitFor(namespace, 'pod/reader', 'condition=Ready')
      assert.equal(await execInPod(namespace, 'reader', ['cat', '/data/file']), 'before\n')
    })

    await t.test(
      'F66: on demand it also runs while suspended, one child for each claim, and counts apart from the schedule',
      async () => {
        const annotate = (of: Backup, hold: string) =>
          kubectl(cluster, [
            '-n',
            namespace,
            'annotate',
            '--overwrite',
            'backup',
            of.metadata.name,
            `backup.dev/hold=${hold}`,
          ])
        let oldest: readonly Backup[] = []
        for (const name of ['one', 'two', 'three']) {
          const parent = await runNow(namespace, name, 'minutely')
          assert.equal(parent.status?.phase, 'Completed')
          const children = await childrenOf(parent)
          assert.deepEqual(children.map(({ status }) => `${status?.target} ${status?.phase}`).toSorted(), [
            'data-0 Completed',
            'data-1 Completed',
          ])
          if (name !== 'one') continue
          oldest = children
          for (const child of children) if (child.status?.target === 'data-1') await annotate(child, 'true')
        }
        const of = (target: string) => oldest.find(({ status }) => status?.target === target)
        const [held, pruned] = [of('data-1'), of('data-0')]
        assert.ok(held && pruned)
        await eventually(
          'the oldest of data-0 to be gone, and its Backup with it',
          async () => {
            const left = namesOf(await backupsOf(namespace, 'minutely'))
            return (
              (await snapshotsOf(namespace, 'minutely', 'data-0')).length === 3 && !left.includes(pruned.metadata.name)
            )
          },
          { seconds: patience },
        )
        assert.ok((await snapshotsOf(namespace, 'minutely', 'data-0')).every(({ status }) => status?.readyToUse))
        const ofHeld = await snapshotsOf(namespace, 'minutely', 'data-1')
        assert.equal(ofHeld.length, 4)
        assert.ok(namesOf(ofHeld).includes(held.status?.run ?? ''))
        const all = namesOf(await snapshotsOf(namespace, 'minutely'))
        for (const ofSlot of [first, second])
          assert.ok(all.includes(ofSlot?.status?.run ?? ''), 'the slot keeps its own')
        const target = async () =>
          (await policyOf(namespace, 'minutely')).status?.targets?.find(({ name }) => name === 'data-0')
        await eventually('the policy to count what is left', async () => (await target())?.kept === 3, {
          seconds: patience,
        })

        await annotate(held, 'false')
        await eventually(
          'what is no longer held to go',
          async () => (await snapshotsOf(namespace, 'minutely', 'data-1')).length === 3,
          { seconds: patience },
        )
      },
    )

    await t.test('a Backup object, or the policy, can be deleted without its data', async () => {
      const before = namesOf(await snapshotsOf(namespace, 'minutely'))
      await kubectl(cluster, ['-n', namespace, 'delete', 'backup', 'two'])
      await kubectl(cluster, ['-n', namespace, 'delete', 'bp', 'minutely'])
      // A Backup of a policy that is gone is looked at, which shows that the deletion has been seen and acted on.
      await put(onDemand(namespace, 'late', 'minutely'))
      await eventually(
        'the operator to miss the policy',
        async () => (await backupOf(namespace, 'late')).status?.reason === 'PolicyNotFound',
        { seconds: patience },
      )
      assert.deepEqual(namesOf(await snapshotsOf(namespace, 'minutely')), before)
      assert.equal((await backupOf(namespace, 'three')).status?.phase, 'Completed')
    })
  })

  test('one target is backed up alone; a class with Retain is respected and shown', async t => {
    t.after(() => forgetContents('e2e-snapshot-retain'))
    await forgetContents('e2e-snapshot-retain')
    const namespace = await twoClaims(t, 'e2e-snapshot-retain')
    const retaining = snapshotClass(className('retain'), driver, { deletionPolicy: 'Retain' })
    const snapshot = { volumeSnapshotClassName: className('retain') }
    await put(retaining, snapshotPolicy(namespace, 'retain', { snapshot, spec: { retention: 1 } }))
    await waitFor(namespace, 'backuppolicy/retain', 'condition=Ready')
    const { status } = await policyOf(namespace, 'retain')
    assert.equal(
      status?.conditions?.find(({ type }) => type === 'NamespaceDeletionLosesData'),
      undefined,
    )

    const backup = await runNow(namespace, 'first', 'retain', 'data-1')
    assert.equal(backup.status?.phase, 'Completed')
    assert.equal(backup.status.target, 'data-1')
    assert.equal(backup.status.snapshot?.deletionPolicy, 'Retain')
    assert.match(backup.status.snapshot.restoreSize ?? '', /^\d+/)
    assert.deepEqual(await childrenOf(backup), [])
    assert.deepEqual(await snapshotsOf(namespace, 'retain', 'data-0'), [])

    // Retention deletes the VolumeSnapshot; what the storage system keeps is the class's business.
    await runNow(namespace, 'second', 'retain', 'data-1')
    await eventually(
      'the first to be pruned',
      async () => namesOf(await backupsOf(namespace, 'retain')).join() === 'second',
      { seconds: patience },
    )
    const kept = await contentOf(backup.status.snapshot.contentName ?? '')
    assert.equal(kept.spec.deletionPolicy, 'Retain')

    // As docs/failure-modes.md says it for snapshots whose namespace is gone.
    const apiVersion = 'snapshot.storage.k8s.io/v1'
    const rescued = { namespace, name: 'rescued' }
    await put(
      {
        apiVersion,
        kind: 'VolumeSnapshotContent',
        metadata: { name: `${namespace}-rescued` },
        spec: {
          deletionPolicy: 'Retain',
          driver: kept.spec.driver,
          source: { snapshotHandle: kept.status?.snapshotHandle },
          volumeSnapshotRef: rescued,
        },
      },
      {
        apiVersion,
        kind: 'VolumeSnapshot',
        metadata: rescued,
        spec: { source: { volumeSnapshotContentName: `${namespace}-rescued` } },
      },
      claim(namespace, 'restored', {
        dataSource: { apiGroup: 'snapshot.storage.k8s.io', kind: 'VolumeSnapshot', name: 'rescued' },
      }),
    )
    await waitFor(namespace, 'pvc/restored', 'jsonpath={.status.phase}=Bound')
  })

  test('a claim of mode Block is snapshotted like any other; to strategy job it is nothing that the selector selects', async t => {
    const namespace = await storyWithVolumes(t, 'e2e-snapshot-block')
    await put(claim(namespace, 'data'))
    await waitFor(namespace, 'pvc/data', 'jsonpath={.status.phase}=Bound')
    // Not every driver provisions block volumes. They all snapshot by handle, so a second volume of mode Block has the same.
    const bound = await kubectlJson<Claim>(cluster, ['-n', namespace, 'get', 'pvc', 'data'])
    const { spec } = await kubectlJson<Volume>(cluster, ['get', 'pv', bound.spec.volumeName])
    const { csi, nodeAffinity } = spec
    const raw = staticVolume(namespace, 'raw', { volumeMode: 'Block', csi, ...(nodeAffinity && { nodeAffinity }) })
    const dumps = jobPolicy(namespace, 'dumps', shell('echo data'), { selector: { matchLabels: { app: namespace } } })
    await put(...raw, snapshotPolicy(namespace, 'app'), dumps)
    await waitFor(namespace, 'pvc/raw', 'jsonpath={.status.phase}=Bound')
    await conditionOf(namespace, 'app', 'TargetsReady', { status: 'True' })

    const parent = await runNow(namespace, 'both', 'app')
    assert.equal(parent.status?.phase, 'Completed')
    const children = await childrenOf(parent)
    assert.deepEqual(new Set(children.map(({ status }) => status?.target)), new Set(['data', 'raw']))
    const ofRaw = children.find(({ status }) => status?.target === 'raw')?.status?.snapshot
    assert.equal((await contentOf(ofRaw?.contentName ?? '')).spec.sourceVolumeMode, 'Block')

    const selected = await conditionOf(namespace, 'dumps', 'TargetsSelected', { status: 'False' })
    assert.equal(selected.reason, 'SelectorMatchedNothing')
    assert.match(selected.message, /no pod/)
  })

  test('an unknown target is waited for, a policy that selects nothing fails at once, and both say why', async t => {
    const namespace = await twoClaims(t, 'e2e-snapshot-nothing')
    await put(
      snapshotPolicy(namespace, 'some'),
      snapshotPolicy(namespace, 'none', { selector: { app: 'nobody' } }),
      onDemand(namespace, 'elsewhere', 'some', 'data-9'),
      onDemand(namespace, 'nothing', 'none'),
    )
    const nothing = await conditionOf(namespace, 'none', 'TargetsSelected', { status: 'False' })
    assert.match(
      nothing.message,
      /matches no PersistentVolumeClaim in .* kubectl get persistentvolumeclaims --show-labels/,
    )
    const ready = await conditionOf(namespace, 'none', 'Ready', { status: 'False', reason: 'SelectorMatchedNothing' })
    assert.match(ready.message, /label the claims/)
    assert.equal((await ended(namespace, 'nothing')).status?.reason, 'SelectorMatchedNothing')
    // F80: the claim may be applied together with the Backup.
    const waits = ({ reason }: BackupStatus) => reason === 'TargetNotFound'
    assert.equal((await backupStatus(namespace, 'elsewhere', 'TargetNotFound', waits)).phase, 'Pending')
    await put(claim(namespace, 'data-2', { storageClassName: className('immediate') }))
    const selecting = snapshotPolicy(namespace, 'none', { selector: { app: namespace } })
    await put(selecting)
    await conditionOf(namespace, 'none', 'Ready', { status: 'True' })
  })
})
