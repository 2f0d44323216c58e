// Every resource that the controllers touch, and what for. The chart's roles are generated from this list: a verb that is not here is a
// verb that the operator does not have. test/chart/install.test.ts compares the rights of its account with the list (S1). That it asks
// for nothing else and uses each verb is seen in an audit log of the end-to-end tests (e2e/grants.ts).
import { group, version } from '../../api/labels.ts'
import type { Resource } from '../../runtime/client/resource.ts'

type Verb = 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete'

export type Grant = {
  readonly resource: Resource
  readonly verbs: readonly Verb[]
  readonly subresource?: string
  /** Only this one object. */
  readonly resourceName?: string
  /** Only in the operator's own namespace: a Role instead of the ClusterRole. */
  readonly ownNamespace?: true
}

const namespaced = (resourceGroup: string, resourceVersion: string, kind: string, plural: string): Resource => ({
  group: resourceGroup,
  version: resourceVersion,
  plural,
  kind,
  namespaced: true,
})
const clusterWide = (resourceGroup: string, resourceVersion: string, kind: string, plural: string): Resource => ({
  ...namespaced(resourceGroup, resourceVersion, kind, plural),
  namespaced: false,
})

export const backupPolicies = namespaced(group, version, 'BackupPolicy', 'backuppolicies')
export const backups = namespaced(group, version, 'Backup', 'backups')
export const restores = namespaced(group, version, 'Restore', 'restores')
export const cronJobs = namespaced('batch', 'v1', 'CronJob', 'cronjobs')
export const jobs = namespaced('batch', 'v1', 'Job', 'jobs')
export const pods = namespaced('', 'v1', 'Pod', 'pods')
export const services = namespaced('', 'v1', 'Service', 'services')
export const statefulSets = namespaced('apps', 'v1', 'StatefulSet', 'statefulsets')
export const deployments = namespaced('apps', 'v1', 'Deployment', 'deployments')
export const events = namespaced('', 'v1', 'Event', 'events')
export const claims = namespaced('', 'v1', 'PersistentVolumeClaim', 'persistentvolumeclaims')
export const volumes = clusterWide('', 'v1', 'PersistentVolume', 'persistentvolumes')
export const namespaces = clusterWide('', 'v1', 'Namespace', 'namespaces')
export const snapshots = namespaced('snapshot.storage.k8s.io', 'v1', 'VolumeSnapshot', 'volumesnapshots')
export const snapshotClasses = clusterWide(
  'snapshot.storage.k8s.io',
  'v1',
  'VolumeSnapshotClass',
  'volumesnapshotclasses',
)
export const snapshotContents = clusterWide(
  'snapshot.storage.k8s.io',
  'v1',
  'VolumeSnapshotContent',
  'volumesnapshotcontents',
)
export const leases = namespaced('coordination.k8s.io', 'v1', 'Lease', 'leases')

export const grants: readonly Grant[] = [
  { resource: backupPolicies, verbs: ['list', 'watch'] },
  { resource: backupPolicies, subresource: 'status', verbs: ['update'] },
  { resource: backups, verbs: ['get', 'list', 'watch', 'create', 'delete'] },
  { resource: backups, subresource: 'status', verbs: ['update'] },
  { resource: restores, verbs: ['list', 'watch'] },
  { resource: restores, subresource: 'status', verbs: ['update'] },
  { resource: cronJobs, verbs: ['get', 'list', 'watch', 'create', 'update', 'delete'] },
  { resource: cronJobs, subresource: 'status', verbs: ['patch'] },
  { resource: jobs, verbs: ['get', 'list', 'watch', 'create', 'delete'] },
  { resource: pods, verbs: ['list', 'watch'] },
  { resource: services, verbs: ['list'] },
  { resource: statefulSets, verbs: ['list'] },
  { resource: deployments, verbs: ['list'] },
  { resource: events, verbs: ['list', 'watch', 'create', 'patch'] },
  { resource: claims, verbs: ['list', 'watch'] },
  { resource: volumes, verbs: ['list', 'watch'] },
  { resource: snapshots, verbs: ['get', 'list', 'watch', 'create', 'patch', 'delete'] },
  { resource: snapshotClasses, verbs: ['list', 'watch'] },
  { resource: snapshotContents, verbs: ['get'] },
  { resource: namespaces, verbs: ['get'], resourceName: 'kube-system' },
  { resource: leases, verbs: ['get', 'create', 'update'], ownNamespace: true },
]
