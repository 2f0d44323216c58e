/**
 * Pins: a run that a restore needs has `pins/<restore uid>.json`, until the restore ends or the pin expires. They live where the data
 * live, so that retention sees them whoever restores, and from which cluster.
 */
import { z } from 'zod'
import { timeOf } from './clock.ts'
import { pinKey, type Layout } from './layout.ts'
import type { ObjectInfo, ObjectStore } from '../object-store.ts'
import { isStoreError } from '../store-error.ts'

const pinSchema = z.object({
  version: z.literal(1),
  run: z.string().min(1).max(63),
  /** Key of the manifest, from the policy's folder. */
  manifest: z.string().min(1).max(1024),
  /** From then on it means nothing: the Job of the restore is certainly over. */
  expiresAt: z.iso.datetime(),
  restore: z.object({ uid: z.string().min(1).max(64), namespace: z.string().max(63), name: z.string().max(253) }),
})
export type Pin = Readonly<z.infer<typeof pinSchema>>

const largestPin = 64 << 10
/** One that cannot be read may be of any run, and of a newer version. No restore takes as long. */
const unreadableMs = 7 * 24 * 3_600_000

export async function writePin(
  store: ObjectStore,
  layout: Layout,
  pin: Omit<Pin, 'version'>,
  signal?: AbortSignal,
): Promise<void> {
  const body = `${JSON.stringify(pinSchema.parse({ version: 1, ...pin }), undefined, 2)}\n`
  await store.put(pinKey(layout, pin.restore.uid), Buffer.from(body), signal)
}

/** `restore`: the UID of the Restore. */
export async function removePin(
  store: ObjectStore,
  layout: Layout,
  restore: string,
  signal?: AbortSignal,
): Promise<void> {
  await store.delete([pinKey(layout, restore)], signal)
}

/** `all`: a pin that is there cannot be read. */
export type PinnedRuns = ReadonlySet<string> | 'all'

/**
 * The runs that have a pin which has not expired, by the clocks of the store and of this node (`now`, ms since the epoch). Asks the store,
 * never a memory.
 * @throws StoreError when the store does not tell: then every run counts as pinned.
 */
export async function pinnedRuns(
  store: ObjectStore,
  layout: Layout,
  now: number,
  signal?: AbortSignal,
): Promise<PinnedRuns> {
  const runs = new Set<string>()
  for await (const info of store.list(layout.pins, { signal })) {
    const pin = await readPin(store, info, signal)
    if (pin === undefined || (pin.expiresAt <= now && (await isOver(store, info.key, pin.expiresAt, now, signal))))
      continue
    if (pin.run === undefined) return 'all'
    runs.add(pin.run)
  }
  return runs
}

export function protects(pinned: PinnedRuns, run: string): boolean {
  return pinned === 'all' || pinned.has(run)
}

/** Undefined when it is gone. `run` is undefined where nobody knows it; `expiresAt` in ms since the epoch. */
async function readPin(
  store: ObjectStore,
  { key, modifiedAt }: ObjectInfo,
  signal?: AbortSignal,
): Promise<{ readonly run: string | undefined; readonly expiresAt: number } | undefined> {
  const unreadable = { run: undefined, expiresAt: modifiedAt + unreadableMs }
  try {
    const pin = parsePin((await store.get(key, largestPin, signal)).toString())
    return pin ? { run: pin.run, expiresAt: Date.parse(pin.expiresAt) } : unreadable
  } catch (error) {
    if (isStoreError(error, 'NotFound')) return undefined
    // Too large for a pin of ours.
    if (isStoreError(error, 'StoreRejected')) return unreadable
    throw error
  }
}

function parsePin(text: string): Pin | undefined {
  try {
    return pinSchema.parse(JSON.parse(text))
  } catch {
    return undefined
  }
}

async function isOver(store: ObjectStore, key: string, expiresAt: number, now: number, signal?: AbortSignal) {
  const head = await store.head(key, signal)
  return !head || expiresAt <= timeOf(now, head)
}
