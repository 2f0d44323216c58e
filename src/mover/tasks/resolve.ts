/** Chooses one backup of a folder for a restore, once, and pins it there. Whose folder it is does not matter: nothing else is written. */
import { catalogMessageLimit, type FoundBackup, type ResolvedBackup } from '../../api/mover/message.ts'
import type { ResolveTask } from '../../api/mover/task.ts'
import { recordSizes, type BackupRecord } from '../../api/record.ts'
import { readRun, readRuns, type CatalogRun } from '../../storage/bucket/catalog.ts'
import { layoutOf, parseManifestKey, type Layout, type ManifestName } from '../../storage/bucket/layout.ts'
import { removePin, writePin } from '../../storage/bucket/pins.ts'
import { stateOf, type SegmentsState } from '../../storage/bucket/segments.ts'
import type { ObjectStore } from '../../storage/object-store.ts'
import { isStoreError } from '../../storage/store-error.ts'
import { MoverFailure } from '../failure.ts'
import type { Report } from '../protocol/report.ts'
import { openStores } from '../stores.ts'

/** For who has to choose. */
const mostFound = 20
const readsAtOnce = 8
/** Each time what was chosen was deleted before it was pinned. */
const mostChoices = 5

interface Listed extends ManifestName {
  readonly key: string
}

interface Chosen {
  readonly key: string
  readonly record: BackupRecord
}

/** Newer than what is chosen, or as good as nothing. */
interface Passed {
  readonly run: string
  readonly why: string
}

interface Search {
  readonly task: ResolveTask
  readonly store: ObjectStore
  readonly layout: Layout
  readonly report: Report
  readonly signal: AbortSignal
}

/** @throws MoverFailure RunNotNamed (with what there is in the message), BackupNotFound, DataLost, ObjectArchived, FormatUnsupported. */
export async function runResolve(task: ResolveTask, report: Report, now: number, signal: AbortSignal): Promise<void> {
  report.update({ phase: 'probing' })
  const { quick: store } = await openStores(task, report.log)
  const { owner, backend } = task
  const layout = layoutOf({ prefix: backend.prefix, namespace: owner.namespace, policy: owner.policy })
  const search: Search = { task, store, layout, report, signal }
  for (let choices = 1; ; choices++) {
    const chosen = await choose(search)
    const pinned = await pin(search, chosen)
    // Who deletes it at this very moment sees the pin, and puts the manifest back.
    const { record } = (await readRun(store, layout, chosen.key, signal)) ?? {}
    if (record?.attempt === chosen.record.attempt) {
      report.update({ phase: 'done', resolved: resolvedOf(chosen.record, pinned), finishedAt: now })
      return
    }
    if (pinned) await removePin(store, layout, task.restore.uid, signal)
    if (choices === mostChoices)
      throw new MoverFailure(
        'BackupNotFound',
        `${chosen.key} was deleted while it was chosen, and so were those before it`,
      )
  }
}

async function choose(search: Search): Promise<Chosen> {
  const { task, layout } = search
  const listed = await list(search)
  if (listed.length === 0) {
    const where = task.target === undefined ? layout.root : `${layout.root} for the target ${task.target}`
    throw new MoverFailure(
      'BackupNotFound',
      `there is no backup in ${where}; is it this bucket, prefix, namespace and policy?`,
    )
  }
  const { pick } = task
  if (pick === 'nothing') return tellFound(search, listed, 'name one of these runs, or say newest, or a time')
  const targets = new Set(listed.map(({ target }) => target))
  if (typeof pick === 'object' && 'run' in pick) return named(search, listed, pick.run)
  if (targets.size > 1)
    return tellFound(search, listed, `name the target, of which there are ${targets.size} here, or a run`)
  const limit = pick === 'newest' ? Infinity : pick.before
  const candidates = listed.filter(({ slot }) => slot.getTime() <= limit)
  if (candidates.length === 0) {
    const oldest = listed.at(-1)?.slot.toISOString()
    throw new MoverFailure(
      'BackupNotFound',
      `no backup is as old as ${new Date(limit).toISOString()}; the oldest is of ${oldest}`,
    )
  }
  return newestGood(search, candidates)
}

/** All manifests of the target, or of all; newest first. */
async function list({ task, store, layout, signal }: Search): Promise<readonly Listed[]> {
  const listed: Listed[] = []
  for await (const { key } of store.list(layout.manifests, { signal })) {
    const name = parseManifestKey(layout, key)
    if (name && (task.target === undefined || name.target === task.target)) listed.push({ key, ...name })
  }
  return listed.sort((a, b) => b.slot.getTime() - a.slot.getTime() || (a.key < b.key ? 1 : -1))
}

/** @throws MoverFailure RunNotNamed always. */
async function tellFound(
  { store, layout, report, signal }: Search,
  listed: readonly Listed[],
  advice: string,
): Promise<never> {
  const keys = listed.slice(0, mostFound).map(({ key }) => key)
  const runs = await readRuns(store, layout, keys, signal)
  const found = runs.flatMap(({ record }): FoundBackup[] => {
    if (!record) return []
    const { run, target, slot } = record
    return [{ run, target, slot: Date.parse(slot), storedBytes: recordSizes(record).storedBytes }]
  })
  const message = `${advice}; ${listed.length} backups are in ${layout.root}`
  let shown = found
  const failed = () => ({
    ...report.message,
    phase: 'failed' as const,
    reason: 'RunNotNamed' as const,
    message,
    found: shown,
    finishedAt: Date.now(),
  })
  while (shown.length > 1 && Buffer.byteLength(JSON.stringify(failed())) > catalogMessageLimit)
    shown = shown.slice(0, -1)
  report.update(failed(), catalogMessageLimit)
  throw new MoverFailure('RunNotNamed', message)
}

/** Somebody wants this very one: what is wrong with it is told. Of a suspect one he knows. */
async function named(search: Search, listed: readonly Listed[], run: string): Promise<Chosen> {
  const { store, layout, signal } = search
  const [found, ...others] = listed.filter(each => each.run === run)
  if (!found) throw new MoverFailure('BackupNotFound', `there is no manifest of the run ${run} in ${layout.root}`)
  if (others.length > 0) return tellFound(search, [found, ...others], `name the target of the run ${run}`)
  const read = await readRun(store, layout, found.key, signal)
  if (!read) throw new MoverFailure('BackupNotFound', `${found.key} was deleted just now`)
  if (!read.record) throw new MoverFailure('FormatUnsupported', `${found.key}: ${read.problem}`)
  const state = await stateOfData(search, read.record)
  if (state === 'missing') throw new MoverFailure('DataLost', `objects of the run ${run} are gone, or of another size`)
  if (state === 'archived') throw archived(run)
  return { key: found.key, record: read.record }
}

/**
 * The newest of which all objects are there; a suspect one only where no other is. Those that nobody can tell of come last: reading them
 * will tell. What was passed over is said.
 */
async function newestGood(search: Search, candidates: readonly Listed[]): Promise<Chosen> {
  const passed: Passed[] = []
  const pass = (run: string, why: string) => passed.push({ run, why })
  const spare: { suspect?: Chosen; unknown?: Chosen; archived?: Chosen } = {}
  for await (const { key, run, record, problem } of readOneByOne(search, candidates)) {
    if (!record) {
      pass(run, `${run} cannot be read (${problem})`)
      continue
    }
    const state = await stateOfData(search, record)
    const chosen = { key, record }
    if (state === 'whole' && !record.suspect) return telling(search, chosen, passed)
    if (state === 'whole') {
      spare.suspect ??= chosen
      pass(run, `${run} is suspect: far smaller than those before it`)
    } else if (state === 'missing') pass(run, `data of ${run} are gone`)
    else {
      spare[state] ??= chosen
      pass(run, state === 'archived' ? `${run} is in an archive` : `the store does not tell of the data of ${run}`)
    }
  }
  const chosen = spare.suspect ?? spare.unknown
  if (chosen) return telling(search, chosen, passed)
  if (spare.archived) throw archived(spare.archived.record.run)
  throw new MoverFailure('DataLost', `none of the ${candidates.length} backups can be restored: ${textOf(passed)}`)
}

/** The manifests in their order, some at once. */
async function* readOneByOne({ store, layout, signal }: Search, listed: readonly Listed[]): AsyncGenerator<CatalogRun> {
  for (let start = 0; start < listed.length; start += readsAtOnce) {
    const keys = listed.slice(start, start + readsAtOnce).map(({ key }) => key)
    yield* await readRuns(store, layout, keys, signal)
  }
}

function telling({ report }: Search, chosen: Chosen, passed: readonly Passed[]): Chosen {
  const { run, suspect } = chosen.record
  const others = passed.filter(each => each.run !== run)
  const advice = 'name its run to restore it all the same'
  if (others.length > 0)
    report.warn('NewerPassedOver', `${run} is restored, not a newer one: ${textOf(others)}; ${advice}`)
  if (suspect) report.warn('Suspect', `${run} is far smaller than those before it, and there is no better one`)
  return chosen
}

function textOf(passed: readonly Passed[]): string {
  return passed
    .slice(0, 3)
    .map(({ why }) => why)
    .join('; ')
}

/** By a list of this run's objects, and a look at each that it leaves in doubt. */
async function stateOfData({ store, layout, signal }: Search, record: BackupRecord): Promise<SegmentsState> {
  const objects = await Array.fromAsync(store.list(`${layout.data}${record.run}/`, { signal })).catch(
    (error: unknown) => {
      if (isStoreError(error, 'AccessDenied')) return []
      throw error
    },
  )
  return stateOf(store, layout, new Map(objects.map(object => [object.key, object])), record, signal)
}

function archived(run: string): MoverFailure {
  return new MoverFailure(
    'ObjectArchived',
    `bring the objects of ${run} back from their archive first, and let no lifecycle rule archive this folder`,
  )
}

/** @returns false where these credentials may not write there, or the folder takes no such object: a restore goes on all the same. */
async function pin({ task, store, layout, report, signal }: Search, { key, record }: Chosen): Promise<boolean> {
  const expiresAt = new Date(task.expiresAt).toISOString()
  const manifest = key.slice(layout.root.length)
  try {
    await writePin(store, layout, { run: record.run, manifest, expiresAt, restore: task.restore }, signal)
    return true
  } catch (error) {
    if (!isStoreError(error, 'AccessDenied', 'StoreRejected', 'ChecksumRefused')) throw error
    report.log.warn({ err: error }, 'the backup cannot be pinned: retention may delete it while it is restored')
    return false
  }
}

function resolvedOf(record: BackupRecord, pinned: boolean): ResolvedBackup {
  const { run, target, slot, artifacts, engine } = record
  return {
    run,
    target,
    slot: Date.parse(slot),
    artifacts: artifacts.length,
    ...recordSizes(record),
    ...(artifacts.some(({ codecs }) => codecs.includes('age')) ? { encrypted: true as const } : {}),
    ...(engine ? { preset: engine.preset, serverVersion: engine.serverVersion } : {}),
    pinned,
  }
}
