// What the stories of strategy snapshot share: volumes, classes, policies, and typed looks at what the operator did with them.
import { basename } from 'node:path'
import type { TestContext } from 'node:test'
import { eventually } from '../dev/eventually.ts'
import type { Backup } from '../src/api/kinds/backup.ts'
import type { BackupPolicy } from '../src/api/kinds/backup-policy.ts'
import type { KubernetesObject, VolumeSnapshot, VolumeSnapshotClass } from '../src/api/kubernetes.ts'
import { apiVersion, label } from '../src/api/labels.ts'
import * as resources from '../src/controllers/shared/resources.ts'
import type { Resource } from '../src/runtime/client/resource.ts'
import { patience } from './cluster.ts'
import { storyNamespace } from './namespace.ts'
import { api, type Manifest } from './objects.ts'
import { backupEnd, never, onDemand, secret } from './stack.ts'

const storageClasses: Resource = {
  group: 'storage.k8s.io',
  version: 'v1',
  kind: 'StorageClass',
  plural: 'storageclasses',
  namespaced: false,
}

/** The CSI driver that makes the volumes of claims that name no class. */
export async function defaultDriver(): Promise<string> {
  const { items } = await api.list<KubernetesObject & { readonly provisioner: string }>(storageClasses)
  const marked = items.find(
    ({ metadata }) => metadata.annotations?.['storageclass.kubernetes.io/is-default-class'] === 'true',
  )
  if (!marked) throw new Error('the cluster has no default StorageClass')
  return marked.provisioner
}

/** The end of the names of this test file's classes, which belong to no namespace, while other files run beside it. */
const ofThisFile = `.${basename(process.argv[1] ?? '', '.test.ts')}`

/** The name of a class that only this test file uses. */
export const className = (what: string) => `e2e-${what}${ofThisFile}`

/** A class whose volumes are there without a pod that uses them. */
export const immediateClass = (driver: string): Manifest => ({
  apiVersion: 'storage.k8s.io/v1',
  kind: 'StorageClass',
  metadata: { name: className('immediate') },
  provisioner: driver,
  volumeBindingMode: 'Immediate',
})

/** Removes the classes of this file, also those that it left behind when it was killed the last time. */
export async function removeClasses(): Promise<void> {
  for (const kind of [storageClasses, resources.snapshotClasses]) {
    const { items } = await api.list(kind, { metadataOnly: true })
    const own = items.map(({ metadata }) => metadata.name).filter(name => isOfThisFile(name))
    await Promise.all(own.map(name => api.delete(kind, undefined, name)))
  }
}

function isOfThisFile(name: string): boolean {
  return name.startsWith('e2e-') && name.endsWith(ofThisFile)
}

type ClassOptions = {
  readonly deletionPolicy?: 'Delete' | 'Retain'
  readonly parameters?: Readonly<Record<string, string>>
  readonly isDefault?: boolean
}

export const snapshotClass = (name: string, driver: string, options: ClassOptions = {}): VolumeSnapshotClass => {
  const { deletionPolicy = 'Delete', parameters, isDefault = false } = options
  return {
    apiVersion: 'snapshot.storage.k8s.io/v1',
    kind: 'VolumeSnapshotClass',
    metadata: {
      name,
      annotations: isDefault ? { 'snapshot.storage.kubernetes.io/is-default-class': 'true' } : {},
    },
    driver,
    deletionPolicy,
    ...(parameters && { parameters }),
  }
}

export const claim = (namespace: string, name: string, spec: object = {}): Manifest => ({
  apiVersion: 'v1',
  kind: 'PersistentVolumeClaim',
  metadata: { name, namespace, labels: { app: namespace } },
  spec: {
    accessModes: ['ReadWriteOnce'],
    resources: { requests: { storage: '16Mi' } },
    storageClassName: className('immediate'),
    ...spec,
  },
})

/** A story that makes volumes by hand, which belong to no namespace. */
export async function storyWithVolumes(t: TestContext, name: string): Promise<string> {
  const remove = async () => {
    const of = async () =>
      (await api.list(resources.volumes, { metadataOnly: true })).items.filter(({ metadata }) =>
        metadata.name.startsWith(`${name}-`),
      )
    for (const { metadata } of await of()) await api.delete(resources.volumes, undefined, metadata.name)
    await eventually(`the volumes of ${name} to be gone`, async () => (await of()).length === 0, { seconds: 60 })
  }
  const namespace = await storyNamespace(t, name)
  await remove()
  t.after(remove)
  return namespace
}

type VolumeSource = { readonly volumeMode?: 'Block' | 'Filesystem' } & Readonly<Record<string, unknown>>

/** A claim bound to a volume that nobody provisioned. @param source the fields of the PersistentVolume that say what it is */
export const staticVolume = (namespace: string, name: string, source: VolumeSource): readonly Manifest[] => [
  {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name: `${namespace}-${name}` },
    spec: {
      capacity: { storage: '16Mi' },
      accessModes: ['ReadWriteOnce'],
      persistentVolumeReclaimPolicy: 'Retain',
      storageClassName: '',
      claimRef: { namespace, name },
      ...source,
    },
  },
  claim(namespace, name, {
    storageClassName: '',
    volumeName: `${namespace}-${name}`,
    ...(source.volumeMode && { volumeMode: source.volumeMode }),
  }),
]

type PolicyOptions = {
  readonly selector?: Readonly<Record<string, string>>
  readonly spec?: object
  readonly snapshot?: object
}

/** A snapshot policy over the claims of the story that never fires by itself, unless `spec` says otherwise. */
export const snapshotPolicy = (namespace: string, name: string, options: PolicyOptions = {}): Manifest => ({
  apiVersion,
  kind: 'BackupPolicy',
  metadata: { name, namespace },
  spec: {
    selector: { matchLabels: options.selector ?? { app: namespace } },
    schedule: never,
    retention: 2,
    strategy: { type: 'snapshot', ...(options.snapshot && { snapshot: options.snapshot }) },
    ...options.spec,
  },
})

async function existing<T extends KubernetesObject>(
  resource: Resource,
  namespace: string | undefined,
  name: string,
): Promise<T> {
  const found = await api.get<T>(resource, namespace, name)
  if (!found) throw new Error(`there is no ${resource.kind} ${namespace ?? ''}/${name}`)
  return found
}

export const policyOf = (namespace: string, name: string) =>
  existing<BackupPolicy>(resources.backupPolicies, namespace, name)
export const backupOf = (namespace: string, name: string) => existing<Backup>(resources.backups, namespace, name)

/** Backups of a policy, oldest first. */
export async function backupsOf(namespace: string, policy: string): Promise<readonly Backup[]> {
  const { items } = await api.list<Backup>(resources.backups, { namespace })
  const order = ({ metadata }: Backup) => `${metadata.creationTimestamp} ${metadata.name}`
  return items.filter(({ spec }) => spec.policy === policy).toSorted((a, b) => (order(a) < order(b) ? -1 : 1))
}

/** VolumeSnapshots as a person finds them: by the labels of policy and, optionally, target. */
export async function snapshotsOf(
  namespace: string,
  policy: string,
  target?: string,
): Promise<readonly VolumeSnapshot[]> {
  const labelSelector = `${label.policy}=${policy}${target ? `,${label.target}=${target}` : ''}`
  return (await api.list<VolumeSnapshot>(resources.snapshots, { namespace, labelSelector })).items
}

/** The Backup once it has ended, in whatever phase. */
export async function ended(namespace: string, name: string): Promise<Backup> {
  await backupEnd(namespace, name)
  return backupOf(namespace, name)
}

/** Creates an on-demand Backup and gives it back when it has ended. */
export async function runNow(namespace: string, name: string, policy: string, target?: string): Promise<Backup> {
  await api.create(resources.backups, onDemand(namespace, name, policy, target))
  return await ended(namespace, name)
}

type ConditionState = { readonly status: string; readonly reason: string; readonly message: string }

/** The policy's condition once it is about the present spec and has this status or reason. */
export function conditionOf(
  namespace: string,
  policy: string,
  type: string,
  wanted: Partial<ConditionState>,
  seconds = patience,
): Promise<ConditionState> {
  return eventually(
    `${type} of BackupPolicy ${namespace}/${policy} to be ${wanted.status ?? ''} ${wanted.reason ?? ''}`,
    async () => {
      const { metadata, status } = await policyOf(namespace, policy)
      const condition = status?.conditions?.find(each => each.type === type)
      const met =
        status?.observedGeneration === metadata.generation &&
        (wanted.status ?? condition?.status) === condition?.status &&
        (wanted.reason ?? condition?.reason) === condition?.reason
      return met ? condition : undefined
    },
    { seconds },
  )
}

type Content = KubernetesObject & {
  readonly spec: {
    readonly driver: string
    readonly deletionPolicy: string
    readonly volumeSnapshotRef: { readonly namespace: string }
    /** What the snapshot controller says of the source: `Block` or `Filesystem`. */
    readonly sourceVolumeMode?: string
  }
  readonly status?: { readonly snapshotHandle?: string }
}

/** Deletes what class policy Retain has kept of a story's snapshots, also on the storage system. */
export async function forgetContents(namespace: string): Promise<void> {
  const { items } = await api.list<Content>(resources.snapshotContents)
  for (const { metadata } of items.filter(({ spec }) => spec.volumeSnapshotRef.namespace === namespace)) {
    const body = { spec: { deletionPolicy: 'Delete' } }
    await api.patch(resources.snapshotContents, undefined, metadata.name, { kind: 'merge', body })
    await api.delete(resources.snapshotContents, undefined, metadata.name)
  }
}

export const contentOf = (name: string) => existing<Content>(resources.snapshotContents, undefined, name)

/** Class parameters that make every snapshot, and its deletion, fail until a Secret appears, with any CSI driver. */
export const lateSecret = {
  name: 'comes-later',
  parameters: {
    'csi.storage.k8s.io/snapshotter-secret-name': 'comes-later',
    'csi.storage.k8s.io/snapshotter-secret-namespace': '${volumesnapshot.namespace}',
  },
  object: (namespace: string) => secret(namespace, 'comes-later', { key: 'value' }),
} as const

/** Class parameters with which a snapshot is cut at once and ready after so long; undefined where the driver is not our own. */
export function readyAfter(driver: string, seconds: number): Readonly<Record<string, string>> | undefined {
  return driver === 'reflink.csi.test' ? { readyAfter: String(seconds) } : undefined
}
