// From the pods that a selector matches to the workloads that they are of: up the chain of controllers, as far as it can be seen.
import type { Deployment, ForeignPod, KubernetesObject, ObjectMeta, Service, StatefulSet } from '../api/kubernetes.ts'
import type { Workload } from './preset.ts'

export type PresetWorld = {
  readonly namespace: string
  /** The pods that the policy selects. */
  readonly pods: readonly ForeignPod[]
  /** All of the namespace. */
  readonly statefulSets: readonly StatefulSet[]
  readonly deployments: readonly Deployment[]
  readonly services: readonly Service[]
}

export type WorkloadPods = {
  readonly workload: Workload
  /** Never empty; the one that tells most first: the primary, then those that run. */
  readonly pods: readonly [ForeignPod, ...ForeignPod[]]
  /** Names of the governing Services of its StatefulSets. */
  readonly governingServices: readonly string[]
}

/** The workloads of the pods, by name. Pods of Jobs, and those that ended, run no server. */
export function workloadsOf(world: PresetWorld): readonly WorkloadPods[] {
  const chains = world.pods
    .filter(({ status }) => status?.phase !== 'Succeeded' && status?.phase !== 'Failed')
    .flatMap(pod => {
      const chain = chainOf(pod, world)
      return chain ? [{ pod, ...chain }] : []
    })
  const groups = Map.groupBy(chains, ({ workload }) => keyOf(workload))
  return [...groups.values()]
    .flatMap(group => {
      const [first, ...others] = group.map(({ pod }) => pod).sort(byTelling)
      const [member] = group
      if (!first || !member) return []
      const governing = new Set(group.flatMap(({ governingService }) => governingService ?? []))
      return [{ workload: member.workload, pods: [first, ...others] as const, governingServices: [...governing] }]
    })
    .sort((a, b) => compare(a.workload.name, b.workload.name) || compare(keyOf(a.workload), keyOf(b.workload)))
}

/** As people write it. */
export function nameOf({ kind, name }: Workload): string {
  return `${kind} ${name}`
}

function keyOf({ apiVersion, kind, name }: Workload): string {
  return JSON.stringify([apiVersion.split('/')[0], kind, name])
}

type Chain = { readonly workload: Workload; readonly governingService: string | undefined }

function chainOf(pod: ForeignPod, world: PresetWorld): Chain | undefined {
  const owner = controllerOf(pod.metadata)
  if (!owner) {
    const workload = { apiVersion: 'v1', kind: 'Pod', name: pod.metadata.name }
    return { workload, governingService: undefined }
  }
  if (owner.kind === 'Job') return undefined
  const deployment = deploymentOf(pod, owner, world)
  if (deployment) {
    const itself = { apiVersion: 'apps/v1', kind: 'Deployment', name: deployment.metadata.name }
    return { workload: controllerOf(deployment.metadata) ?? itself, governingService: undefined }
  }
  const statefulSet = owner.kind === 'StatefulSet' ? named(world.statefulSets, owner.name) : undefined
  const governingService = statefulSet?.spec.serviceName || undefined
  return { workload: (statefulSet && controllerOf(statefulSet.metadata)) ?? owner, governingService }
}

/** A Deployment calls its ReplicaSets by its own name and a hash that the pods carry as well, so that nobody needs to read ReplicaSets. */
function deploymentOf({ metadata }: ForeignPod, owner: Workload, world: PresetWorld): Deployment | undefined {
  const ending = `-${metadata.labels?.['pod-template-hash']}`
  if (owner.kind !== 'ReplicaSet' || !owner.name.endsWith(ending)) return undefined
  return named(world.deployments, owner.name.slice(0, -ending.length))
}

export function controllerOf({ ownerReferences = [] }: ObjectMeta): Workload | undefined {
  const owner = ownerReferences.find(({ controller }) => controller)
  return owner && { apiVersion: owner.apiVersion, kind: owner.kind, name: owner.name }
}

function named<T extends KubernetesObject>(objects: readonly T[], name: string): T | undefined {
  return objects.find(({ metadata }) => metadata.name === name)
}

/** What labels say of a server among its copies; undefined where they do not say it. */
export type Role = 'primary' | 'replica'

const roleLabel = /(role|component)$/i
const roles: Readonly<Record<string, Role>> = {
  primary: 'primary',
  master: 'primary',
  leader: 'primary',
  replica: 'replica',
  secondary: 'replica',
  slave: 'replica',
  standby: 'replica',
  read: 'replica',
}

/** Of the labels of a pod, or of the selector of a Service. */
export function roleOf(labels: Readonly<Record<string, string>> = {}): Role | undefined {
  const said = Object.entries(labels).flatMap(([key, value]) => (roleLabel.test(key) ? (roles[value] ?? []) : []))
  return said.includes('primary') ? 'primary' : said[0]
}

function byTelling(a: ForeignPod, b: ForeignPod): number {
  return rank(a) - rank(b) || compare(a.metadata.name, b.metadata.name)
}

function rank({ metadata, status }: ForeignPod): number {
  const role = roleOf(metadata.labels)
  return (
    (role === 'primary' ? 0 : role === 'replica' ? 8 : 4) +
    (status?.phase === 'Running' ? 0 : 2) +
    (metadata.deletionTimestamp ? 1 : 0)
  )
}

/** By code units: the same on every machine. */
export function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
