// What a preset is to back up, looked up now and then: pods are too many to be watched for it, and what was inferred of them is little.
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type {
  Deployment,
  ForeignPod,
  KubernetesObject,
  ObjectMeta,
  Service,
  StatefulSet,
} from '../../api/kubernetes.ts'
import { presetOf } from '../../plan/view/preset.ts'
import { selectorText } from '../../plan/view/selection.ts'
import type { FoundWorkloads } from '../../plan/view/world.ts'
import { podEssence } from '../../presets/pod-essence.ts'
import type { PresetWorld } from '../../presets/workloads.ts'
import type { Client } from '../../runtime/client/client.ts'
import { keyOf, type Resource } from '../../runtime/client/resource.ts'
import type { Clock } from '../../runtime/clock.ts'
import { unlessUnanswered } from './asked.ts'
import { findWorkloads } from './find-workloads.ts'
import { deployments, pods, services, statefulSets } from './resources.ts'

/** How long what was found is good for, and how long where a person is about to mend something, or waits. Milliseconds. */
const goodForMs = { all: 300_000, some: 60_000, wanted: 10_000 } as const
/** After an answer that failed it is asked again so much later; until then, and for this long in all, what was found before stands. */
const againMs = 30_000
const staleMs = 900_000
/** All lists of one look take no longer. */
const patienceMs = 10_000
/** Whole pods are large: so few come at once. */
const pageSize = 100

/** What the selector of a policy with a preset matches. */
export type Found = FoundWorkloads & { readonly pods: number }

/** The targets of a policy with a preset, by inference alone: pure. */
export type WorkloadFinder = (policy: BackupPolicy, world: PresetWorld) => FoundWorkloads

type Known = {
  /** The generation of the policy that it is of. */
  readonly of: string
  readonly found: Found | undefined
  /** Monotonic milliseconds. */
  readonly lookedMs: number
  readonly againAtMs: number
  /** That is sooner than every policy is looked at. */
  readonly isSoon: boolean
}

/** Keeps what the finder has inferred, and none of the objects that it was inferred from. */
export class WorkloadLooks {
  readonly #client: Client
  readonly #clock: Clock
  readonly #find: WorkloadFinder
  readonly #known = new Map<string, Known>()

  constructor(client: Client, clock: Clock, find: WorkloadFinder = findWorkloads) {
    this.#client = client
    this.#clock = clock
    this.#find = find
  }

  /**
   * Asks the API server where what is known is too old.
   * @param isWanted somebody has asked for a Backup: it is of what stands now
   */
  async look(policy: BackupPolicy, isWanted: boolean, signal: AbortSignal): Promise<void> {
    if (presetOf(policy) === undefined) return
    const key = keyOf(policy)
    const of = generationOf(policy)
    const nowMs = this.#clock.monotonic()
    const before = this.#known.get(key)
    const known = before?.of === of ? before : undefined
    const isOld = !known || nowMs >= known.againAtMs
    const isOutrun = known?.found !== undefined && isWanted && nowMs >= known.lookedMs + goodForMs.wanted
    if (!isOld && !isOutrun) return
    const ask = (either: AbortSignal) => this.#world(policy, either)
    const world = await unlessUnanswered(ask, patienceMs, this.#clock, signal)
    const lookedMs = this.#clock.monotonic()
    if (!world) {
      const found = known && lookedMs < known.lookedMs + staleMs ? known.found : undefined
      const since = known?.lookedMs ?? lookedMs
      this.#known.set(key, { of, found, lookedMs: since, againAtMs: lookedMs + againMs, isSoon: true })
      return
    }
    const workloads = this.#find(policy, world)
    const { targets } = workloads
    const isWhole = targets.length > 0 && targets.every(({ is }) => is === 'resolved')
    const againAtMs = lookedMs + goodForMs[isWhole ? 'all' : 'some']
    const found = { ...workloads, pods: world.pods.length }
    this.#known.set(key, { of, found, lookedMs, againAtMs, isSoon: !isWhole })
  }

  /** What the last look has found, of this very generation; undefined where nobody can say. */
  found(policy: BackupPolicy): Found | undefined {
    const known = this.#known.get(keyOf(policy))
    return known?.of === generationOf(policy) ? known.found : undefined
  }

  /** When to look again though nothing changes, where that is sooner than every policy is looked at. */
  againAt(policy: BackupPolicy): Date | undefined {
    const known = this.#known.get(keyOf(policy))
    // One that was edited is looked at anew, or is none with a preset any more.
    if (!known?.isSoon || known.of !== generationOf(policy)) return undefined
    const leftMs = Math.max(0, known.againAtMs - this.#clock.monotonic())
    return new Date(this.#clock.now().getTime() + leftMs)
  }

  forget(key: string): void {
    this.#known.delete(key)
  }

  /** Nothing whole stays in memory: pods that are not ours hold much, and some of it is secret. */
  async #world({ metadata, spec }: BackupPolicy, signal: AbortSignal): Promise<PresetWorld> {
    const { namespace = '' } = metadata
    const list = async <T extends KubernetesObject>(
      resource: Resource,
      pick: (item: T) => T,
      labelSelector?: string,
    ) => {
      const options = { namespace, pageSize, pick, signal, ...(labelSelector === undefined ? {} : { labelSelector }) }
      return (await this.#client.list<T>(resource, options)).items
    }
    return {
      namespace,
      pods: await list<ForeignPod>(pods, podEssence, selectorText(spec.selector)),
      statefulSets: await list<StatefulSet>(statefulSets, workloadEssence),
      deployments: await list<Deployment>(deployments, workloadEssence),
      services: await list<Service>(services, serviceEssence),
    }
  }
}

function generationOf({ metadata: { uid, generation } }: BackupPolicy): string {
  return `${uid}/${generation}`
}

function workloadEssence<T extends StatefulSet | Deployment>({ apiVersion, kind, metadata, spec }: T): T {
  const { serviceName, template } = (spec ?? {}) as Partial<StatefulSet['spec']>
  const labels = template?.metadata?.labels
  const kept = { serviceName, template: { metadata: { labels } } }
  return { apiVersion, kind, metadata: metadataEssence(metadata), spec: kept } as unknown as T
}

function serviceEssence({ apiVersion, kind, metadata, spec }: Service): Service {
  return { apiVersion, kind, metadata: metadataEssence(metadata), spec }
}

function metadataEssence({ name, namespace, labels, ownerReferences }: ObjectMeta): ObjectMeta {
  return { name, namespace, labels, ownerReferences }
}
