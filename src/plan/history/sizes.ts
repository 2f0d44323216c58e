/**
 * Whether a backup shrank so much that a person should look before older ones go (docs/design.md R14, R24). Manifests never change,
 * so that every look judges the sizes of all runs of a target anew: what one run could not compare, the next one does.
 */

/**
 * A run and its sizes. Plain bytes are compared where both have them, because compressed ones also shrink with the kind of content; of what
 * is encrypted only stored bytes are known, and then those of both are compared.
 */
export interface SizedRun {
  readonly id: string
  readonly slot: Date
  /** Plain bytes; undefined of what is encrypted, and where its manifest cannot be read. */
  readonly bytes?: number | undefined
  /** Undefined where its manifest cannot be read, or nobody remembers. */
  readonly storedBytes?: number | undefined
  /** Of each artifact whose name and plain bytes are known, by its name. */
  readonly artifacts?: ReadonlyMap<string, number>
  /** A person has looked: it is good, and later runs are compared with it and not with older ones. */
  readonly accepted: boolean
  /** What its manifest says: it was found far too small when it was made. */
  readonly suspect: boolean
  /** What its manifest says: nothing was there to compare it with, because the store did not tell. */
  readonly unchecked: boolean
}

export type SizeVerdict =
  /** Compared with the runs before it, or the first of all. */
  | 'fine'
  /** Far smaller than the largest good one before it, or one of its artifacts is. */
  | 'suspect'
  /** There is nothing to compare it with, although it is not the first. */
  | 'unchecked'

/** Below this the relative size of a dump says little: a few rows are half of it. */
const smallBytes = 1 << 20
const half = 0.5
const tenth = 0.1

/**
 * Less than half of the reference, or, where that is smaller than 1 MiB, less than a tenth. Half, because a table or two that were
 * cleaned up should not wake anybody, and because the usual accident (`pg_dump nosuch | gzip`, a schema that lost its tables, a user
 * who may see nothing) leaves close to nothing. The price of a false alarm is only that nothing is pruned until somebody accepts it.
 */
export function isFarSmaller(bytes: number, reference: number): boolean {
  return bytes < reference * (reference >= smallBytes ? half : tenth)
}

/**
 * Judges all runs of one target, in any order, each against the largest good run since the newest accepted one before it. One that
 * was found suspect stays so until it is accepted, also when what it was compared with is gone.
 * @param isWhole whether these are known to be all: then there is nothing that the first one could have been compared with
 */
export function judgeSizes(runs: readonly SizedRun[], isWhole = true): ReadonlyMap<string, SizeVerdict> {
  return judge(runs, isWhole).verdicts
}

/** Plain or stored bytes of the largest good run since the newest accepted one; undefined where none can be compared with. */
export function referenceSize(runs: readonly SizedRun[], of: 'bytes' | 'storedBytes' = 'bytes'): number | undefined {
  return judge(runs, false).references[of]
}

/** What runs are compared with: the largest good one since the newest accepted one, in sum and of each artifact by its name. */
interface References {
  readonly bytes: number | undefined
  readonly storedBytes: number | undefined
  readonly artifacts: ReadonlyMap<string, number>
}

function judge(runs: readonly SizedRun[], isWhole: boolean) {
  const verdicts = new Map<string, SizeVerdict>()
  const shrunk = new Map<string, readonly string[]>()
  let references: References = { bytes: undefined, storedBytes: undefined, artifacts: new Map() }
  let first = isWhole
  for (const run of [...runs].sort(oldestFirst)) {
    const smaller = shrunkArtifacts(run, references)
    const verdict = verdictOf(run, references, smaller, first)
    verdicts.set(run.id, verdict)
    shrunk.set(run.id, smaller)
    first = false
    if (isSized(run) && verdict === 'fine') references = referencesAfter(references, run)
  }
  return { verdicts, shrunk, references }
}

function referencesAfter(before: References, run: SizedRun): References {
  const { bytes, storedBytes, artifacts: own = new Map<string, number>() } = run
  if (run.accepted) return { bytes, storedBytes, artifacts: own }
  const artifacts = new Map(before.artifacts)
  for (const [name, size] of own) artifacts.set(name, Math.max(size, artifacts.get(name) ?? 0))
  return {
    bytes: larger(bytes, before.bytes),
    storedBytes: larger(storedBytes, before.storedBytes),
    artifacts,
  }
}

function larger(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined || other === undefined ? (one ?? other) : Math.max(one, other)
}

function isSized({ bytes, storedBytes }: Pick<SizedRun, 'bytes' | 'storedBytes'>): boolean {
  return bytes !== undefined || storedBytes !== undefined
}

/** One that is gone, or new, is no smaller one: what a target holds may change, and the sum tells when it is much. */
function shrunkArtifacts({ artifacts = new Map() }: SizedRun, references: References): readonly string[] {
  return [...artifacts].flatMap(([name, bytes]) => {
    const reference = references.artifacts.get(name)
    return reference !== undefined && isFarSmaller(bytes, reference) ? [name] : []
  })
}

function verdictOf(run: SizedRun, references: References, shrunk: readonly string[], first: boolean): SizeVerdict {
  if (run.accepted) return 'fine'
  if (run.suspect || shrunk.length > 0) return 'suspect'
  if (!isSized(run)) return 'unchecked'
  for (const sizeOf of ['bytes', 'storedBytes'] as const) {
    const [size, reference] = [run[sizeOf], references[sizeOf]]
    if (size !== undefined && reference !== undefined) return isFarSmaller(size, reference) ? 'suspect' : 'fine'
  }
  // A whole list in which nothing is older is a check of the first run.
  return first || !run.unchecked ? 'fine' : 'unchecked'
}

/** What the operator puts into a task: the size that runs are compared with, so coarse that the CronJob is not written anew for each run. */
export function sizeHint(bytes: number): number {
  if (bytes < 1) return 0
  let power = 1
  while (power <= bytes / 2) power *= 2
  return power
}

/**
 * The verdict on a run that is about to be committed, and which of its artifacts are far smaller than before. `others`: the other runs of the target, undefined where the store did not tell
 * them. `hint`: the operator's, of plain bytes, or of stored ones where the run has no others, which also finds a ruin where a list was refused, out of date or cut.
 */
export function judgeNewSize(
  run: Pick<SizedRun, 'id' | 'slot' | 'bytes' | 'storedBytes' | 'artifacts'>,
  others: readonly SizedRun[] | undefined,
  hint: number | undefined,
): { readonly verdict: SizeVerdict; readonly shrunk: readonly string[] } {
  const own: SizedRun = { ...run, accepted: false, suspect: false, unchecked: true }
  const judged = others && judge([...others.filter(({ id }) => id !== run.id), own], true)
  const shrunk = judged?.shrunk.get(run.id) ?? []
  const size = run.bytes ?? run.storedBytes
  if (hint !== undefined && size !== undefined && isFarSmaller(size, hint)) return { verdict: 'suspect', shrunk }
  const verdict = judged?.verdicts.get(run.id)
  if (verdict === 'suspect' || verdict === 'fine') return { verdict, shrunk }
  return { verdict: hint === undefined ? 'unchecked' : 'fine', shrunk }
}

function oldestFirst(a: SizedRun, b: SizedRun): number {
  const byTime = a.slot.getTime() - b.slot.getTime()
  if (byTime !== 0) return byTime
  return a.id < b.id ? -1 : 1
}
