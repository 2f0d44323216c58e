/** The mark that says whose folder this is (docs/design.md R11): two clusters that share a bucket must not prune each other's backups. */
import { z } from 'zod'
import type { PrefixOwner } from '../../api/mover/task.ts'
import type { Layout } from './layout.ts'
import type { ObjectStore } from '../object-store.ts'
import { isSameOwner, ownerText } from './owner.ts'
import { isStoreError } from '../store-error.ts'
import { contentsOf, type Contents } from './unmarked.ts'

export class OwnershipError extends Error {
  readonly reason: 'PrefixOwnedByOther' | 'FormatUnsupported' | 'AccessDenied'

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
  /** Ids of the clusters from which it was taken over: what they have made in it is the owner's, too. */
  formerly: z.array(z.string().max(253)).max(100).optional(),
})
type Mark = z.infer<typeof markSchema>

export interface Claim {
  /** Whether the store honours `If-None-Match: *`, shown by writing once more what is there. */
  readonly conditionalPut: boolean
  /**
   * Since when this very policy has the folder, ms since the epoch: what lies there longer was made under another policy of the same
   * name, or in a cluster that is gone, and its rules may be others (docs/design.md R29). Undefined when the mark does not tell.
   */
  readonly adoptedAt: number | undefined
  /** Ids of the clusters from which the folder was taken over. */
  readonly formerly: readonly string[]
}

const largestMark = 64 << 10

/** A folder that a policy wants, at the time `now` (ms since the epoch). */
interface Wanted {
  readonly store: ObjectStore
  readonly layout: Layout
  readonly owner: PrefixOwner
  /** The id of the lost cluster whose folder it may take over. */
  readonly adopt: string | undefined
  readonly now: number
  readonly signal: AbortSignal | undefined
}

/** Whose folder it shall be. */
export interface Claimant {
  readonly owner: PrefixOwner
  /** The id of a lost cluster: the folder of the policy of this name there is taken over, and no other. */
  readonly adopt?: string
}

/**
 * Makes sure that the folder is ours: writes the mark where there is none, and anew where it is of an earlier policy of the same name,
 * with the time `now` (ms since the epoch), or of the cluster that is to be adopted.
 * @throws OwnershipError when somebody else owns it, a newer version wrote it, or nobody can tell because reading is denied.
 */
export async function claimFolder(
  store: ObjectStore,
  layout: Layout,
  { owner, adopt }: Claimant,
  now: number,
  signal?: AbortSignal,
): Promise<Claim> {
  const wanted: Wanted = { store, layout, owner, adopt, now, signal }
  let found: Buffer
  try {
    found = await readMark(wanted)
  } catch (error) {
    if (isStoreError(error, 'NotFound')) return claimEmpty(wanted)
    if (error instanceof OwnershipError) return claimUnread(wanted, error)
    throw error
  }
  return claimFound(wanted, found)
}

async function claimFound(wanted: Wanted, found: Buffer): Promise<Claim> {
  const known = parseMark(found, wanted.layout)
  if (isAdoptable(wanted, known)) return adoptFolder(wanted)
  checkOwner(known, wanted)
  const conditionalPut = (await tryMark(wanted, found)) === 'exists'
  return { conditionalPut, ...(await adopted(wanted, known)) }
}

function isAdoptable({ owner, adopt }: Wanted, mark: Mark): boolean {
  return adopt !== undefined && adopt !== owner.clusterId && isSameOwner(mark, { ...owner, clusterId: adopt })
}

async function adoptFolder(wanted: Wanted): Promise<Claim> {
  await rewriteMark(wanted, mark => {
    if (!isAdoptable(wanted, mark)) return undefined
    const formerly = new Set([...(mark.formerly ?? []), mark.clusterId])
    formerly.delete(wanted.owner.clusterId)
    return markOf(wanted, [...formerly])
  })
  // By us, by an earlier try of ours whose reply was lost, or by somebody else.
  return claimFound({ ...wanted, adopt: undefined }, await readMark(wanted))
}

/**
 * Replaces the mark by another one, where `next` gives one. Two clusters may both be told to take the folder over, and a mover of the lost one
 * may still write: the store's condition lets one of them have it. Where it knows none, an instant is left.
 */
async function rewriteMark(
  { store, layout, signal }: Wanted,
  next: (mark: Mark) => Buffer | undefined,
): Promise<'written' | 'not written'> {
  const { body, etag } = await store.getTagged(layout.owner, largestMark, signal)
  const mark = next(parseMark(body, layout))
  if (!mark) return 'not written'
  try {
    const outcome = await store.replaceIfUnchanged(layout.owner, mark, etag, signal)
    return outcome === 'replaced' ? 'written' : 'not written'
  } catch (error) {
    if (!isStoreError(error, 'ConditionalUnsupported')) throw error
    await store.put(layout.owner, mark, signal)
    return 'written'
  }
}

/**
 * Whether the folder is still ours: another cluster may have adopted it, for which this one is lost. A mark that is gone is no other's.
 * @throws OwnershipError PrefixOwnedByOther; StoreError as `get`
 */
export async function checkStillOurs(
  store: Pick<ObjectStore, 'get'>,
  layout: Layout,
  owner: PrefixOwner,
  signal?: AbortSignal,
): Promise<void> {
  let body: Buffer
  try {
    body = await store.get(layout.owner, largestMark, signal)
  } catch (error) {
    if (isStoreError(error, 'NotFound', 'AccessDenied')) return
    throw error
  }
  checkOwner(parseMark(body, layout), { layout, owner })
}

/**
 * There is no mark, in the store's own words. One answer alone gives no folder away: without the store's condition our mark would replace
 * one that is there after all.
 */
async function claimEmpty(wanted: Wanted): Promise<Claim> {
  const { store, layout, owner, now, signal } = wanted
  const listed = await contentsOf(store, layout, owner, adopts(wanted), signal)
  const contents = listed.whose === 'not told' ? await contentsUnlisted(wanted) : listed
  if (contents.whose === 'theirs') return claimAfterAll(wanted, othersThere(contents, owner))
  if (contents.whose === 'unknown' && !(await honoursCondition(wanted))) {
    const why = `nobody knows whose folder ${layout.root} is: the store gives no owner.json, has ${contents.key}, and does not honour If-None-Match, so that a mark of ours could replace another's; choose another backend.prefix`
    return claimAfterAll(wanted, new OwnershipError('PrefixOwnedByOther', why))
  }
  const formerly = adopts(wanted)
  const mark = markOf(wanted, formerly)
  const first = await tryMark(wanted, mark)
  if (first === 'exists') return claimWritten(wanted)
  const conditionalPut = first === 'created' && (await tryMark(wanted, mark)) === 'exists'
  if (first !== 'created') await store.put(layout.owner, mark, signal)
  return { conditionalPut, adoptedAt: now, formerly }
}

/**
 * Whether there is a mark is not known: AWS answers 403 for an object that does not exist to those who may not list, and any store may
 * deny a reading once. The write finds out, but only in a store that honours its condition: another one would replace the mark of
 * another cluster, whose backups would then be pruned.
 */
async function claimUnread(wanted: Wanted, denial: OwnershipError): Promise<Claim> {
  const { store, layout, owner, signal } = wanted
  const formerly = adopts(wanted)
  const contents = await contentsOf(store, layout, owner, formerly, signal)
  if (contents.whose === 'theirs') return claimAfterAll(wanted, othersThere(contents, owner))
  const outcome = (await honoursCondition(wanted)) ? await tryMark(wanted, markOf(wanted, formerly)) : 'unsupported'
  if (outcome === 'unsupported') throw denial
  return outcome === 'created' ? { conditionalPut: true, adoptedAt: wanted.now, formerly } : claimWritten(wanted)
}

/**
 * Nothing else but the mark may be asked for: HEAD and one more GET must say that there is none. Demanding the store's condition, too, would
 * keep everybody out of a store that has none and lists nothing.
 */
async function contentsUnlisted({ store, layout, signal }: Wanted): Promise<Contents> {
  return (await store.head(layout.owner, signal)) ? { whose: 'unknown', key: layout.owner } : { whose: 'not told' }
}

/**
 * A folder of ours may have backups of another, which somebody has copied there: one wrong answer about the mark does not make it theirs.
 * @throws `verdict` where the mark cannot be read this time, either.
 */
async function claimAfterAll(wanted: Wanted, verdict: OwnershipError): Promise<Claim> {
  let found: Buffer
  try {
    found = await readMark(wanted)
  } catch (error) {
    throw isStoreError(error, 'NotFound') || error instanceof OwnershipError ? verdict : error
  }
  return claimFound(wanted, found)
}

function othersThere(contents: Extract<Contents, { whose: 'theirs' }>, owner: PrefixOwner): OwnershipError {
  return ownedByOther(`${contents.key} in a folder without a mark belongs to ${ownerText(contents.owner)}`, owner)
}

/** By somebody else since we looked, by our own try whose reply was lost, or before, and not to be read then. */
async function claimWritten(wanted: Wanted): Promise<Claim> {
  const known = parseMark(await readMark(wanted), wanted.layout)
  checkOwner(known, wanted)
  return { conditionalPut: true, ...(await adopted(wanted, known)) }
}

/**
 * Tried on the object of the probe, which nobody else reads. One that is there already may be of a probe that goes on: it answers, and is
 * left alone. What a crash or a refused deletion leaves is in nobody's way: a probe overwrites and removes it.
 */
async function honoursCondition({ store, layout, signal }: Wanted): Promise<boolean> {
  const body = Buffer.from('conditional\n')
  try {
    if ((await store.putIfAbsent(layout.probe, body, signal)) === 'exists') return true
    const honours = (await store.putIfAbsent(layout.probe, body, signal)) === 'exists'
    await store.delete([layout.probe], signal).catch((error: unknown) => {
      if (!isStoreError(error)) throw error
    })
    return honours
  } catch (error) {
    if (isStoreError(error, 'ConditionalUnsupported')) return false
    throw error
  }
}

/** What a folder without a mark may hold besides what is ours. */
function adopts({ owner, adopt }: Wanted): readonly string[] {
  return adopt === undefined || adopt === owner.clusterId ? [] : [adopt]
}

function markOf({ owner, now }: Wanted, formerly: readonly string[]): Buffer {
  const before = formerly.length > 0 ? { formerly } : {}
  const mark = { version: 1, ...owner, adoptedAt: new Date(now).toISOString(), ...before }
  return Buffer.from(`${JSON.stringify(mark, undefined, 2)}\n`)
}

/** A mark of another policy UID, or without a time, is written anew. Where that is refused nobody knows the time, and nothing is pruned. */
async function adopted(wanted: Wanted, known: Mark): Promise<Pick<Claim, 'adoptedAt' | 'formerly'>> {
  const { owner, now } = wanted
  const { formerly = [] } = known
  const isKept = (mark: Mark) =>
    mark.adoptedAt !== undefined && (owner.policyUid === undefined || mark.policyUid === owner.policyUid)
  if (known.adoptedAt !== undefined && isKept(known)) return { adoptedAt: Date.parse(known.adoptedAt), formerly }
  try {
    const outcome = await rewriteMark(wanted, mark => {
      checkOwner(mark, wanted)
      return isKept(mark) ? undefined : markOf(wanted, mark.formerly ?? [])
    })
    if (outcome === 'written') return { adoptedAt: now, formerly }
  } catch (error) {
    if (isStoreError(error, 'AccessDenied', 'StoreRejected')) return { adoptedAt: undefined, formerly }
    throw error
  }
  const found = parseMark(await readMark(wanted), wanted.layout)
  checkOwner(found, wanted)
  const adoptedAt = found.adoptedAt !== undefined && isKept(found) ? Date.parse(found.adoptedAt) : undefined
  return { adoptedAt, formerly: found.formerly ?? [] }
}

async function tryMark({ store, layout, signal }: Wanted, mark: Uint8Array) {
  try {
    return await store.putIfAbsent(layout.owner, mark, signal)
  } catch (error) {
    if (isStoreError(error, 'ConditionalUnsupported')) return 'unsupported' as const
    throw error
  }
}

/** @throws OwnershipError AccessDenied; StoreError as `get`. */
async function readMark({ store, layout, signal }: Wanted): Promise<Buffer> {
  try {
    return await store.get(layout.owner, largestMark, signal)
  } catch (error) {
    if (!isStoreError(error, 'AccessDenied')) throw error
    throw new OwnershipError(
      'AccessDenied',
      `nobody knows whose folder ${layout.root} is: allow these credentials to read in it, and to list, without which a store answers 403 for what does not exist: ${error.message}`,
      { cause: error },
    )
  }
}

function parseMark(body: Buffer, layout: Layout): Mark {
  let value: unknown
  try {
    value = JSON.parse(body.toString())
  } catch (cause) {
    throw new OwnershipError(
      'FormatUnsupported',
      `${layout.owner} is not JSON, so that nobody knows whose folder this is; choose another prefix, or bring back what stood in it; do not remove it, because then whoever comes next may take the folder`,
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
  return parsed.data
}

/** @throws OwnershipError PrefixOwnedByOther */
function checkOwner(mark: Mark, { layout, owner }: Pick<Wanted, 'layout' | 'owner'>): void {
  if (!isSameOwner(mark, owner)) throw ownedByOther(`${layout.root} belongs to ${ownerText(mark)}`, owner)
}

function ownedByOther(what: string, owner: PrefixOwner): OwnershipError {
  return new OwnershipError(
    'PrefixOwnedByOther',
    `${what}, and this is ${owner.namespace}/${owner.policy} of cluster ${owner.clusterId}; choose another backend.prefix, or, when that cluster is lost, take its folder over with backend.adopt: <the id of that cluster>`,
  )
}
