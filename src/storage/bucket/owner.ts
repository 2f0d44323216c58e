/** Whose a folder or a backup is: cluster, namespace and policy. UIDs are recorded, not compared (docs/design.md R11). */
import type { PrefixOwner } from '../../api/mover/task.ts'

export type Owner = Pick<PrefixOwner, 'clusterId' | 'namespace' | 'policy'>

export function isSameOwner(a: Owner, b: Owner): boolean {
  return a.clusterId === b.clusterId && a.namespace === b.namespace && a.policy === b.policy
}

/** For people. */
export function ownerText({ clusterId, namespace, policy }: Owner): string {
  return `policy ${namespace}/${policy} of cluster ${clusterId}`
}
