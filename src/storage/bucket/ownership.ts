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
})

const largestMark = 64 << 10

/**
 * Makes sure that the folder is ours: writes the mark where there is none.
 * @returns whether the store honours `If-None-Match: *`, shown by writing the mark that is there once more.
 * @throws OwnershipError when somebody else owns it, or a newer version wrote it.
 */
export async function claimFolder(
  store: ObjectStore,
  layout: Layout,
  owner: PrefixOwner,
  signal?: AbortSignal,
): Promise<{ readonly conditionalPut: boolean }> {
  const found = await readMark(store, layout, signal)
  if (found) checkMark(found, layout, owner)
  const mark = found ?? Buffer.from(`${JSON.stringify({ version: 1, ...owner }, undefined, 2)}\n`)
  const first = await tryMark(store, layout, mark, signal)
  if (first === 'unsupported') {
    if (!found) await store.put(layout.owner, mark, signal)
    return { conditionalPut: false }
  }
  if (found) return { conditionalPut: first === 'exists' }
  if (first === 'exists') {
    // Written by somebody else since we looked, or by our own try whose reply was lost.
    checkMark(await store.get(layout.owner, largestMark, signal), layout, owner)
    return { conditionalPut: true }
  }
  return { conditionalPut: (await tryMark(store, layout, mark, signal)) === 'exists' }
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

function checkMark(body: Buffer, layout: Layout, owner: PrefixOwner) {
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
  if (clusterId === owner.clusterId && namespace === owner.namespace && policy === owner.policy) return
  throw new OwnershipError(
    'PrefixOwnedByOther',
    `${layout.root} belongs to policy ${namespace}/${policy} of cluster ${clusterId}, and this is ${owner.namespace}/${owner.policy} of cluster ${owner.clusterId}; choose another backend.prefix, or, when that cluster is lost, set the chart's clusterId to its id`,
  )
}
