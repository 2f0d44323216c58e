// What a preset is to back up, looked up now and then: pods are too many to be watched for it, and what was inferred of them is little.
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { KubernetesObject } from '../../api/kubernetes.ts'
import { presetOf } from '../../plan/view/preset.ts'
import { selectorText } from '../../plan/view/selection.ts'
import type { PresetTarget, TargetFinder, Workloads } from '../../plan/view/world.ts'
import type { Client } from '../../runtime/client/client.ts'
import { keyOf, type Resource } from '../../runtime/client/resource.ts'
import type { Clock } from '../../runtime/clock.ts'
import { unlessUnanswered } from '../shared/asked.ts'
import { deployments, pods, replicaSets, services, statefulSets } from '../shared/resources.ts'

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
export type Found = { readonly targets: readonly PresetTarget[]; readonly pods: number }

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
  readonly #find: TargetFinder | undefined
  readonly #known = new Map<string, Known>()

  /** @param find undefined: this version has no presets */
  constructor(client: Client, clock: Clock, find: TargetFinder | undefined) {
    this.#client = client
    this.#clock = clock
    this.#find = find
  }

  /**
   * Asks the API server where what is known is too old.
   * @param isWanted somebody has asked for a Backup: it is of what stands now
   */
  async look(policy: BackupPolicy, isWanted: boolean, signal: AbortSignal): Promise<void> {
    const find = this.#find
    if (!find || presetOf(policy) === undefined) return
    const key = keyOf(policy)
    const of = generationOf(policy)
    const nowMs = this.#clock.monotonic()
    const before = this.#known.get(key)
    const known = before?.of === of ? before : undefined
    const isOld = !known || nowMs >= known.againAtMs
    const isOutrun = known?.found !== undefined && isWanted && nowMs >= known.lookedMs + goodForMs.wanted
    if (!isOld && !isOutrun) return
    const ask = (either: AbortSignal) => this.#workloads(policy, either)
    const workloads = await unlessUnanswered(ask, patienceMs, this.#clock, signal)
    const lookedMs = this.#clock.monotonic()
    if (!workloads) {
      const found = known && lookedMs < known.lookedMs + staleMs ? known.found : undefined
      const since = known?.lookedMs ?? lookedMs
      this.#known.set(key, { of, found, lookedMs: since, againAtMs: lookedMs + againMs, isSoon: true })
      return
    }
    const targets = find(policy, workloads)
    const isWhole = targets.length > 0 && targets.every(target => !('unresolved' in target))
    const againAtMs = lookedMs + goodForMs[isWhole ? 'all' : 'some']
    const found = { targets, pods: workloads.pods.length }
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

  /** Only kinds that own one of the pods are asked for; where there is no pod there is nothing to reach. */
  async #workloads({ metadata, spec }: BackupPolicy, signal: AbortSignal): Promise<Workloads> {
    const { namespace } = metadata
    const list = async (resource: Resource, more: { labelSelector?: string; metadataOnly?: true } = {}) => {
      const options = { namespace, pageSize, pick: withoutManagers, signal, ...more }
      return (await this.#client.list<KubernetesObject>(resource, options)).items
    }
    const selected = await list(pods, { labelSelector: selectorText(spec.selector) })
    const owners = new Set(selected.flatMap(pod => pod.metadata.ownerReferences?.map(({ kind }) => kind) ?? []))
    const ofKind = async (kind: string, ask: () => Promise<readonly KubernetesObject[]>) =>
      owners.has(kind) ? await ask() : []
    return {
      pods: selected,
      statefulSets: await ofKind('StatefulSet', () => list(statefulSets)),
      // A ReplicaSet only tells which Deployment it is of.
      replicaSets: await ofKind('ReplicaSet', () => list(replicaSets, { metadataOnly: true })),
      deployments: await ofKind('ReplicaSet', () => list(deployments)),
      services: selected.length > 0 ? await list(services) : [],
    }
  }
}

function generationOf({ metadata: { uid, generation } }: BackupPolicy): string {
  return `${uid}/${generation}`
}

/** Who has written which field is half of an object, and tells nothing here. */
function withoutManagers<T extends KubernetesObject>(object: T): T {
  const { managedFields: _, ...metadata } = object.metadata as T['metadata'] & { readonly managedFields?: unknown }
  return { ...object, metadata }
}
