/** Whose a folder or a backup is: cluster, namespace and policy. UIDs are recorded, not compared (docs/design.md R11). */
import type { PrefixOwner } from '../../api/mover/task.ts'

export type Owner = Pick<PrefixOwner, 'clusterId' | 'namespace' | 'policy'>

export function isSameOwner(a: Owner, b: Owner): boolean {
  return a.clusterId === b.clusterId && a.namespace === b.namespace && a.policy === b.policy
}

/** This owner, and who it was in clusters from which it has taken the folder over. */
export function isOneOf(one: Owner, { clusterId, namespace, policy }: Owner, formerly: readonly string[]): boolean {
  return [clusterId, ...formerly].some(id => isSameOwner(one, { clusterId: id, namespace, policy }))
}

/** For people. */
export function ownerText({ clusterId, namespace, policy }: Owner): string {
  return `policy ${namespace}/${policy} of cluster ${clusterId}`
}
