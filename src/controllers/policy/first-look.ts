// Asks the API server before the first verdict on a Backup: the watches of several kinds are not of one moment, and whoever edits a policy,
// or labels a claim, and then asks for a Backup means what stands there now (docs/decisions/0012-a-backup-is-of-what-stands-now.md).
import type { Backup } from '../../api/kinds/backup.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { Reason } from '../../api/conditions.ts'
import { apiVersion } from '../../api/labels.ts'
import { controllerOf } from '../../plan/view/chain.ts'
import type { PersistentVolumeClaim, VolumeSnapshotClass } from '../../api/kubernetes.ts'
import { keyFrom } from '../../runtime/client/resource.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Log } from '../../runtime/log.ts'
import { named, unlessUnanswered } from '../shared/asked.ts'
import type { Reach } from '../shared/caches.ts'
import { claimEssence } from '../shared/essence.ts'
import { backupPolicies, claims, snapshotClasses } from '../shared/resources.ts'

type PolicyName = { readonly namespace: string; readonly name: string }

/** Backups that come faster than the API server answers wait for the next look: its policy does not wait with them. */
const mostLooks = 3

/** All looks of a pass take no longer: slots do not wait for what they do not need. Milliseconds. */
const patienceMs = 20_000
/** How soon it is looked again where the API server did not answer. Milliseconds. */
const soonestMs = 10_000
/** And not before so many times what it took: looks that are never answered take few of the operator's workers. */
const restFactor = 10

/** `againAt`: the API server did not answer; then the next plan is to look again. */
type FirstLook = { readonly later: ReadonlySet<string | undefined>; readonly againAt?: Date }

/** Looks, and does not where it was not answered a moment ago: the Backups wait, and what the policy has besides does not (F71). */
export class FirstLooks {
  readonly #reach: Reach
  readonly #clock: Clock
  readonly #log: Log
  /** Monotonic milliseconds until which it is not looked, by policy. */
  readonly #restingUntil = new Map<string, number>()

  constructor(reach: Reach, clock: Clock, log: Log) {
    this.#reach = reach
    this.#clock = clock
    this.#log = log
  }

  /** @returns `later`: the UIDs of Backups that are not to be judged yet */
  async look(policy: PolicyName, signal: AbortSignal): Promise<FirstLook> {
    const key = keyFrom(policy.namespace, policy.name)
    const beganMs = this.#clock.monotonic()
    const known = this.#restingUntil.get(key)
    const resting = known !== undefined && beganMs < known ? known : undefined
    if (resting === undefined) {
      const ask = (either: AbortSignal) => lookFirst(this.#reach, policy, either)
      const later = await unlessUnanswered(ask, patienceMs, this.#clock, signal)
      if (later) {
        this.#restingUntil.delete(key)
        return { later }
      }
    }
    const later = new Set(unjudged(this.#reach, policy).map(({ metadata }) => metadata.uid))
    if (later.size === 0) {
      this.#restingUntil.delete(key)
      return { later }
    }
    if (known === undefined)
      this.#log.warn({ policy: key }, 'the API server does not say what Backups on demand rest on; they wait for it')
    const nowMs = this.#clock.monotonic()
    const untilMs = resting ?? nowMs + Math.max(soonestMs, restFactor * (nowMs - beganMs))
    this.#restingUntil.set(key, untilMs)
    return { later, againAt: new Date(this.#clock.now().getTime() + untilMs - nowMs) }
  }
}

/**
 * Makes the caches at least as new as every Backup of the policy that is yet to be judged, also those that come meanwhile. What is found
 * stays in them, and they tell of it like of any other change.
 * @returns the UIDs of Backups that came later still, to be seen by the next plan, which they have asked for themselves.
 */
export async function lookFirst(
  reach: Reach,
  policy: PolicyName,
  signal: AbortSignal,
): Promise<ReadonlySet<string | undefined>> {
  const looked = new Set<string | undefined>()
  for (let looks = 0; reach.caches.policies.state === 'synced'; looks++) {
    const fresh = unjudged(reach, policy)
      .map(({ metadata }) => metadata.uid)
      .filter(uid => !looked.has(uid))
    if (fresh.length === 0 || looks === mostLooks) return new Set(fresh)
    for (const uid of fresh) looked.add(uid)
    await look(reach, policy, signal)
  }
  return new Set()
}

async function look({ client, caches }: Reach, { namespace, name }: PolicyName, signal: AbortSignal): Promise<void> {
  const policy = await named<BackupPolicy>(client, backupPolicies, namespace, name, signal)
  if (policy) caches.policies.offer(policy)
  if (caches.policies.get(namespace, name)?.spec.strategy.type !== 'snapshot') return
  const found = await client.list<PersistentVolumeClaim>(claims, { namespace, signal })
  for (const claim of found.items) caches.claims.offer(claimEssence(claim))
  if (caches.snapshotClasses.state !== 'synced') return
  const classes = await client.list<VolumeSnapshotClass>(snapshotClasses, { signal })
  for (const each of classes.items) caches.snapshotClasses.offer(each)
}

function unjudged({ caches }: Reach, { namespace, name }: PolicyName): readonly Backup[] {
  return caches.backups.byIndex('policy', keyFrom(namespace, name)).filter(isUnjudged)
}

/**
 * A person asked for it, and nothing final can be said yet. Those of a slot, and the children of another Backup, are made by ourselves from
 * what was known then.
 */
function isUnjudged({ metadata, spec, status }: Backup): boolean {
  const isChild = controllerOf({ metadata }, apiVersion, 'Backup') !== undefined
  if (spec.slot !== undefined || isChild || metadata.deletionTimestamp) return false
  return status?.phase === undefined || (status.phase === 'Pending' && waitsForOthers.has(status.reason))
}

/** Reasons of Backups that wait for what was perhaps created after them. */
const waitsForOthers: ReadonlySet<string | undefined> = new Set<Reason>(['PolicyNotFound', 'SnapshotCRDsMissing'])
