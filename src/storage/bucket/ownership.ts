/** The mark that says whose folder this is (docs/design.md R11): two clusters that share a bucket must not prune each other's backups. */
import { z } from 'zod'
import type { PrefixOwner } from '../../api/mover/task.ts'
import type { Layout } from './layout.ts'
import type { ObjectStore } from '../object-store.ts'
import { isStoreError } from '../store-error.ts'

export class OwnershipError extends Error {
  readonly reason: 'PrefixOwnedByOther' | 'FormatUnsupported'

  constructor(reason: OwnershipError['reason'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'OwnershipError'
    this.reason = reason
  }
}

const markSchema = z.object({
  version: z.literal(1),
  clusterId: z.string(),
  namespace: z.string(),
  policy: z.string(),
  policyUid: z.string().optional(),
  /** Since when the policy of this UID has the folder. */
  adoptedAt: z.iso.datetime().optional(),
})
type Mark = z.infer<typeof markSchema>

export interface Claim {
  /** Whether the store honours `If-None-Match: *`, shown by writing the mark that is there once more. */
  readonly conditionalPut: boolean
  /**
   * Since when this very policy has the folder, ms since the epoch: what lies there longer was made under another policy of the same
   * name, or in a cluster that is gone, and its rules may be others (docs/design.md R29). Undefined when the mark does not tell.
   */
  readonly adoptedAt: number | undefined
}

const largestMark = 64 << 10

/**
 * Makes sure that the folder is ours: writes the mark where there is none, and anew where it is of an earlier policy of the same name,
 * with the time `now` (ms since the epoch).
 * @throws OwnershipError when somebody else owns it, or a newer version wrote it.
 */
export async function claimFolder(
  store: ObjectStore,
  layout: Layout,
  owner: PrefixOwner,
  now: number,
  signal?: AbortSignal,
): Promise<Claim> {
  const found = await readMark(store, layout, signal)
  const known = found && checkMark(found, layout, owner)
  const fresh = markOf(owner, now)
  const mark = found ?? fresh
  const first = await tryMark(store, layout, mark, signal)
  const conditionalPut = first === 'exists'
  if (known) return { conditionalPut, adoptedAt: await adopted(store, layout, { known, owner, fresh, now }, signal) }
  if (first === 'unsupported') await store.put(layout.owner, mark, signal)
  if (first !== 'exists') {
    const second = first === 'unsupported' ? first : await tryMark(store, layout, mark, signal)
    return { conditionalPut: second === 'exists', adoptedAt: now }
  }
  // Written by somebody else since we looked, by our own try whose reply was lost, or not to be read by us.
  const { adoptedAt } = checkMark(await store.get(layout.owner, largestMark, signal), layout, owner)
  return { conditionalPut: true, adoptedAt: timeOf(adoptedAt) }
}

function markOf(owner: PrefixOwner, now: number): Buffer {
  const mark = { version: 1, ...owner, adoptedAt: new Date(now).toISOString() }
  return Buffer.from(`${JSON.stringify(mark, undefined, 2)}\n`)
}

/** A mark of another policy UID, or without a time, is written anew. Where that is refused nobody knows the time, and nothing is pruned. */
async function adopted(
  store: ObjectStore,
  layout: Layout,
  { known, owner, fresh, now }: { known: Mark; owner: PrefixOwner; fresh: Buffer; now: number },
  signal?: AbortSignal,
): Promise<number | undefined> {
  const sameUid = owner.policyUid === undefined || known.policyUid === owner.policyUid
  if (sameUid && known.adoptedAt !== undefined) return timeOf(known.adoptedAt)
  try {
    await store.put(layout.owner, fresh, signal)
    return now
  } catch (error) {
    if (isStoreError(error, 'AccessDenied', 'StoreRejected')) return undefined
    throw error
  }
}

function timeOf(time: string | undefined): number | undefined {
  return time === undefined ? undefined : Date.parse(time)
}

async function tryMark(store: ObjectStore, layout: Layout, mark: Uint8Array, signal?: AbortSignal) {
  try {
    return await store.putIfAbsent(layout.owner, mark, signal)
  } catch (error) {
    if (isStoreError(error, 'ConditionalUnsupported')) return 'unsupported' as const
    throw error
  }
}

/** AWS answers 403 for an object that does not exist to those who may not list: the write that follows finds out. */
async function readMark(store: ObjectStore, layout: Layout, signal?: AbortSignal): Promise<Buffer | undefined> {
  try {
    return await store.get(layout.owner, largestMark, signal)
  } catch (error) {
    if (isStoreError(error, 'NotFound', 'AccessDenied')) return undefined
    throw error
  }
}

function checkMark(body: Buffer, layout: Layout, owner: PrefixOwner): Mark {
  let value: unknown
  try {
    value = JSON.parse(body.toString())
  } catch (cause) {
    throw new OwnershipError(
      'FormatUnsupported',
      `${layout.owner} is not JSON, so that nobody knows whose folder this is; remove it, or choose another prefix`,
      { cause },
    )
  }
  const parsed = markSchema.safeParse(value)
  if (!parsed.success) {
    throw new OwnershipError(
      'FormatUnsupported',
      `${layout.owner} was written by a newer version, or by another program; upgrade, or choose another prefix`,
      { cause: parsed.error },
    )
  }
  const { clusterId, namespace, policy } = parsed.data
  if (clusterId === owner.clusterId && namespace === owner.namespace && policy === owner.policy) return parsed.data
  throw new OwnershipError(
    'PrefixOwnedByOther',
    `${layout.root} belongs to policy ${namespace}/${policy} of cluster ${clusterId}, and this is ${owner.namespace}/${owner.policy} of cluster ${owner.clusterId}; choose another backend.prefix, or, when that cluster is lost, set the chart's clusterId to its id`,
  )
}
