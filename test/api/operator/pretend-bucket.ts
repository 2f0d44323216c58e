// What movers find in a bucket, put there, delete from it and say of it, without a store: the runs of each policy and nothing else.
import type { CatalogEntry, FoundBackup, KeptOfTarget, MoverMessage } from '../../../src/api/mover/message.ts'
import { runsDigest } from '../../../src/api/mover/runs-digest.ts'
import type {
  BackupTask,
  CatalogTask,
  HoldTask,
  MoverTask,
  ResolveTask,
  RestoreTask,
} from '../../../src/api/mover/task.ts'
import { commandTarget, slotOfJobName, slotText } from '../../../src/api/names.ts'
import { planRetention } from '../../../src/plan/history/retention.ts'

/** So few that two runs are two pages: the second one is asked for with a cursor. */
const entriesOfPage = 1

export type Bucket = {
  /** A run that ended at its slot, as a mover of before left it. */
  readonly put: (policy: string, run: string, slot: Date) => void
  /** Somebody else deletes its manifest: no mover tells of it. */
  readonly lose: (policy: string, run: string) => void
  /** The folder of the policy has the mark of this cluster, which a task may adopt. */
  readonly mark: (policy: string, clusterId: string) => void
  readonly digest: (policy: string) => string
  /** What the mover of Job `run` says at its end. */
  readonly carryOut: (task: MoverTask, run: string, now: Date) => MoverMessage
}

export function createBucket(): Bucket {
  const policies = new Map<string, Map<string, CatalogEntry>>()
  const marks = new Map<string, string>()
  const runsOf = (policy: string) => {
    const runs = policies.get(policy) ?? new Map<string, CatalogEntry>()
    policies.set(policy, runs)
    return runs
  }
  return {
    put: (policy, run, slot) => void runsOf(policy).set(run, entryOf(run, slot, slot)),
    lose: (policy, run) => void runsOf(policy).delete(run),
    mark: (policy, clusterId) => void marks.set(policy, clusterId),
    digest: policy => runsDigest(runsOf(policy).keys()),
    carryOut: (task, run, now) => {
      const { policy, clusterId } = task.owner
      const runs = runsOf(policy)
      const marked = marks.get(policy)
      if (marked === clusterId || (marked !== undefined && marked === task.adopt)) marks.set(policy, clusterId)
      else if (marked !== undefined) return ownedBy(marked, task)
      if (task.kind === 'backup') return backUp(task, run, runs, now)
      if (task.kind === 'hold') return hold(task, runs)
      if (task.kind === 'resolve') return resolve(task, runs)
      if (task.kind === 'restore') return bringBack(task, runs, now)
      return {
        phase: 'done',
        ...(task.kind === 'catalog' ? readPage(task, runs) : { probe: usable, folder: told(runs) }),
      }
    },
  }
}

const usable = { conditionalPut: true, canList: true, canDelete: true }

function ownedBy(clusterId: string, { owner: { namespace, policy } }: MoverTask): MoverMessage {
  const message = `${namespace}/${policy}/ belongs to policy ${namespace}/${policy} of cluster ${clusterId}; take its folder over with backend.adopt: <the id of that cluster>`
  return { phase: 'failed', reason: 'PrefixOwnedByOther', message }
}

function told(runs: ReadonlyMap<string, CatalogEntry>): readonly KeptOfTarget[] {
  return runs.size === 0 ? [] : [{ target: commandTarget, count: runs.size, digest: runsDigest(runs.keys()) }]
}

/** The commit, then retention: the order of a mover. */
function backUp(task: BackupTask, run: string, runs: Map<string, CatalogEntry>, now: Date): MoverMessage {
  const slot = task.slot === undefined ? slotOfJobName(run, task.cronJob ?? '') : new Date(task.slot)
  const entry = entryOf(run, slot ?? now, now)
  runs.set(run, task.trigger === 'on-demand' ? { ...entry, trigger: 'on-demand' } : entry)
  const good = [...runs.values()].map(each => ({ id: each.run, slot: new Date(each.slot), good: true }))
  const held = [...task.held, ...[...runs.values()].flatMap(each => (each.held ? [each.run] : []))]
  const deleted = planRetention(good, { keep: task.retention, held }).deleteNow
  for (const each of deleted) runs.delete(each)
  const kept = { count: runs.size, digest: runsDigest(runs.keys()) }
  return { phase: 'committed', ...entry, manifest: `manifests/${keyOf(entry)}.json`, kept, deleted }
}

function hold({ run, held }: HoldTask, runs: Map<string, CatalogEntry>): MoverMessage {
  const { held: _, ...entry } = runs.get(run) ?? {}
  if (!('run' in entry)) return { phase: 'failed', reason: 'BackupNotFound', message: `there is no manifest of ${run}` }
  runs.set(run, held ? { ...entry, held } : entry)
  return { phase: 'done', hold: { run, held } }
}

function resolve({ pick }: ResolveTask, runs: ReadonlyMap<string, CatalogEntry>): MoverMessage {
  const newestFirst = [...runs.values()].toSorted((a, b) => b.slot - a.slot)
  if (pick === 'nothing')
    return { phase: 'failed', reason: 'RunNotNamed', message: 'no run is named', found: newestFirst.map(foundOf) }
  const chosen = newestFirst.find(({ run, slot }) => {
    if (pick === 'newest') return true
    return 'run' in pick ? run === pick.run : slot <= pick.before
  })
  if (!chosen) return { phase: 'failed', reason: 'BackupNotFound', message: 'there is no such backup in the bucket' }
  return { phase: 'done', resolved: { ...foundOf(chosen), artifacts: 1, bytes: chosen.bytes, pinned: true } }
}

function foundOf({ run, slot, storedBytes }: CatalogEntry): FoundBackup {
  return { run, target: commandTarget, slot, storedBytes }
}

function bringBack({ run }: RestoreTask, runs: ReadonlyMap<string, CatalogEntry>, now: Date): MoverMessage {
  const { bytes } = runs.get(run) ?? {}
  if (bytes === undefined)
    return { phase: 'failed', reason: 'BackupNotFound', message: `there is no manifest of ${run}` }
  const restore = { artifact: 'dump', bytes, totalBytes: bytes }
  return {
    phase: 'done',
    finishedAt: now.getTime(),
    restore,
    result: { databases: [{ database: 'shop', as: 'shop', previous: null }] },
  }
}

function readPage(
  { cursor = '' }: CatalogTask,
  runs: ReadonlyMap<string, CatalogEntry>,
): Pick<MoverMessage, 'catalog'> {
  const left = [...runs.values()]
    .filter(entry => keyOf(entry) > cursor)
    .toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1))
  const entries = left.slice(0, entriesOfPage)
  const last = entries.at(-1)
  return { catalog: { entries, ...(last && left.length > entries.length ? { next: keyOf(last) } : {}) } }
}

function entryOf(run: string, slot: Date, end: Date): CatalogEntry {
  const times = { startedAt: end.getTime(), finishedAt: end.getTime() }
  return { run, slot: slot.getTime(), ...times, bytes: 10, storedBytes: 10 }
}

/** Keys of manifests are in the order of slots (docs/design.md R11). */
function keyOf({ run, slot }: CatalogEntry): string {
  return `${slotText(new Date(slot))}-${run}`
}
