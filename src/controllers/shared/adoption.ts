// Names are locks: which object under our name is ours, how ours is brought up to date, and what is said of a stranger's.
import type { CronJob, KubernetesObject } from '../../api/kubernetes.ts'
import { annotation, label } from '../../api/labels.ts'
import { isOurs } from '../../plan/view/lookup.ts'

/** Labels and annotations of others stay; the spec is ours alone. The resourceVersion refuses to overwrite what we have not seen. */
export function replaced(current: CronJob, desired: CronJob): CronJob {
  const { metadata } = current
  return {
    ...current,
    metadata: {
      ...metadata,
      labels: { ...metadata.labels, ...desired.metadata.labels },
      annotations: { ...metadata.annotations, ...desired.metadata.annotations },
      ownerReferences: desired.metadata.ownerReferences,
    },
    spec: desired.spec,
  }
}

/** Whether an object that has our name is ours: made by us, for the same owner and the same purpose. */
export function isSame(existing: KubernetesObject, wanted: KubernetesObject): boolean {
  if (!isOurs(existing)) return false
  const owner = (object: KubernetesObject) => object.metadata.ownerReferences?.find(({ controller }) => controller)?.uid
  const mark = (object: KubernetesObject, key: string) => object.metadata.labels?.[key]
  if (owner(existing) !== owner(wanted)) return false
  if (existing.metadata.annotations?.[annotation.backup] !== wanted.metadata.annotations?.[annotation.backup])
    return false
  return [label.policy, label.target, label.slot].every(key => mark(existing, key) === mark(wanted, key))
}

export function takenMessage({ kind, metadata }: KubernetesObject): string {
  return `a ${kind} named ${metadata.name} exists and was not made for this; delete or rename it`
}
