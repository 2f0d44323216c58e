// What stands in a cluster before an operator looks at it, on a bare API server: namespaces, volumes, policies.
import type { Backup } from '../../../src/api/kinds/backup.ts'
import type { KubernetesObject } from '../../../src/api/kubernetes.ts'
import { apiVersion } from '../../../src/api/labels.ts'
import { claims } from '../../../src/controllers/shared/resources.ts'
import type { Client } from '../../../src/runtime/client/client.ts'
import type { ControlPlane } from '../control-plane/control-plane.ts'

export function namespaceObjects(name: string): readonly KubernetesObject[] {
  return [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name } },
    // Pods are refused without it, and nobody else makes it here.
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default', namespace: name } },
  ]
}

export const snapshotClass = {
  apiVersion: 'snapshot.storage.k8s.io/v1',
  kind: 'VolumeSnapshotClass',
  metadata: { name: 'only' },
  driver: 'csi.test',
  deletionPolicy: 'Delete',
}

/** A claim and its volume, once it is bound with `bind`. */
export function volume(namespace: string, name: string, app = 'shop'): readonly KubernetesObject[] {
  const volumeName = `${namespace}-${name}`
  const size = { storage: '16Mi' }
  const shared = { accessModes: ['ReadWriteOnce'], storageClassName: '' }
  const source = { csi: { driver: 'csi.test', volumeHandle: name }, claimRef: { namespace, name } }
  const spec = { ...shared, capacity: size, ...source }
  const wish = { ...shared, volumeName, resources: { requests: size } }
  return [
    { apiVersion: 'v1', kind: 'PersistentVolume', metadata: { name: volumeName }, spec } as KubernetesObject,
    {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name, namespace, labels: { app } },
      spec: wish,
    } as KubernetesObject,
  ]
}

/** What the controller-manager says of a claim that has its volume. */
export async function bind(admin: Client, namespace: string, claim: string): Promise<void> {
  const body = { status: { phase: 'Bound' } }
  await admin.patch(claims, namespace, claim, { kind: 'merge', body }, { subresource: 'status' })
}

export function policyObject(namespace: string, name: string, spec: object): KubernetesObject {
  const selector = { matchLabels: { app: 'shop' } }
  return {
    apiVersion,
    kind: 'BackupPolicy',
    metadata: { name, namespace },
    spec: { selector, ...spec },
  } as KubernetesObject
}

export function onDemand(namespace: string, name: string, policy: string, target?: string): Backup {
  const spec = { policy, ...(target === undefined ? {} : { target }) }
  return { apiVersion, kind: 'Backup', metadata: { name, namespace }, spec }
}

export async function applyAll(plane: ControlPlane, items: readonly KubernetesObject[]): Promise<void> {
  const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items })
  await plane.kubectl(['apply', '--server-side', '-f', '-'], { input })
}
