// Reads what a mover has said, whatever stands there.
import {
  moverPhases,
  type CatalogEntry,
  type FoundBackup,
  type KeptOfTarget,
  type KeptRuns,
  type MoverMessage,
  type MoverWarning,
  type ProbeFacts,
  type ResolvedBackup,
  type RestoreProgress,
} from './message.ts'
import { moverReasons, moverWarnings, type MoverReason } from './reasons.ts'

/** Characters. Kubernetes keeps 12 KiB for all containers of a pod: a longer text was not written by it. */
const longest = 12_288

/**
 * Reads a termination message, whatever it holds: another program may have written it, Kubernetes may have cut it. Never
 * throws. Only the first line counts: the mover overwrites in place, so that a kill can leave the end of a longer, older line.
 * @returns undefined when not even the phase can be read.
 */
export function parseMoverMessage(text: string | undefined): MoverMessage | undefined {
  if (text !== undefined && text.length > longest) return undefined
  const line = text?.split('\n', 1)[0]?.trim() ?? ''
  if (!line.startsWith('{')) return undefined
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    return salvage(line)
  }
  return fromJson(value)
}

type Json = Readonly<Record<string, unknown>>

function fromJson(value: unknown): MoverMessage | undefined {
  const json = object(value)
  const phase = moverPhases.find(candidate => candidate === json?.phase)
  if (json === undefined || phase === undefined) return undefined
  const openUpload = object(json.openUpload)
  const key = string(openUpload?.key)
  const uploadId = string(openUpload?.uploadId)
  return defined({
    phase,
    reason: reasonOf(json.reason),
    message: string(json.message),
    run: string(json.run),
    attempt: string(json.attempt),
    startedAt: time(json.startedAt),
    finishedAt: time(json.finishedAt),
    slot: time(json.slot),
    bytes: number(json.bytes),
    storedBytes: number(json.storedBytes),
    sizeCheck: (['compared', 'unchecked'] as const).find(check => check === json.sizeCheck),
    artifacts: number(json.artifacts),
    sha256: string(json.sha256),
    manifest: string(json.manifest),
    suspect: typeof json.suspect === 'boolean' ? json.suspect : undefined,
    tooLate: json.tooLate === true ? (true as const) : undefined,
    disproved: time(json.disproved),
    sourceStatus: number(json.sourceStatus),
    openUpload: key !== undefined && uploadId !== undefined ? { key, uploadId } : undefined,
    kept: keptOf(json.kept),
    deleted: Array.isArray(json.deleted) ? json.deleted.filter(run => typeof run === 'string') : undefined,
    warnings: Array.isArray(json.warnings) ? json.warnings.flatMap(warningOf) : undefined,
    probe: probeOf(json.probe),
    folder: Array.isArray(json.folder) ? json.folder.flatMap(folderOf) : undefined,
    hold: holdOf(json.hold),
    catalog: catalogOf(json.catalog),
    resolved: resolvedOf(json.resolved),
    found: Array.isArray(json.found) ? json.found.slice(0, mostFound).flatMap(foundOf) : undefined,
    restore: progressOf(json.restore),
    result: object(json.result),
  })
}

/** The head of a cut line: the mover writes the phase first, and a quote inside a text is escaped, so that this cannot be one. */
function salvage(line: string): MoverMessage | undefined {
  const phase = moverPhases.find(candidate => line.startsWith(`{"phase":"${candidate}"`))
  if (phase === undefined) return undefined
  const reason = reasonOf(/^\{"phase":"\w+","reason":"(\w+)"/.exec(line)?.[1])
  return defined({ phase, reason, truncated: true as const })
}

function reasonOf(value: unknown): MoverReason | undefined {
  return typeof value === 'string' && Object.hasOwn(moverReasons, value) ? (value as MoverReason) : undefined
}

function keptOf(value: unknown): KeptRuns | undefined {
  const json = object(value)
  const count = number(json?.count)
  const digest = string(json?.digest)
  if (count === undefined || digest === undefined) return undefined
  return defined({ count, digest, newest: string(json?.newest), oldest: string(json?.oldest) })
}

function warningOf(value: unknown): MoverWarning[] {
  const json = object(value)
  const reason = moverWarnings.find(candidate => candidate === json?.reason)
  return reason === undefined ? [] : [{ reason, message: string(json?.message) ?? '' }]
}

const longestMode = 200

function probeOf(value: unknown): ProbeFacts | undefined {
  const json = object(value)
  if (json === undefined) return undefined
  return defined({
    conditionalPut: json.conditionalPut === true,
    canList: json.canList === true,
    canDelete: json.canDelete === true,
    mode: string(json.mode)?.slice(0, longestMode),
  })
}

function folderOf(value: unknown): KeptOfTarget[] {
  const json = object(value)
  const [target, count, digest] = [string(json?.target), number(json?.count), string(json?.digest)]
  return target !== undefined && count !== undefined && digest !== undefined ? [{ target, count, digest }] : []
}

function holdOf(value: unknown): MoverMessage['hold'] {
  const json = object(value)
  const run = string(json?.run)
  return run !== undefined && typeof json?.held === 'boolean' ? { run, held: json.held } : undefined
}

/** A page with an entry that cannot be read is no page: the operator would take that run for deleted. */
function catalogOf(value: unknown): MoverMessage['catalog'] {
  const json = object(value)
  if (!Array.isArray(json?.entries)) return undefined
  const entries = json.entries.map(entryOf)
  if (!entries.every(entry => entry !== undefined)) return undefined
  return defined({ entries, next: string(json.next) })
}

const mostFound = 20

function foundOf(value: unknown): FoundBackup[] {
  const json = object(value)
  const [run, target] = [string(json?.run), string(json?.target)]
  const [slot, storedBytes] = [time(json?.slot), number(json?.storedBytes)]
  const isWhole = run !== undefined && target !== undefined && slot !== undefined && storedBytes !== undefined
  return isWhole ? [{ run, target, slot, storedBytes }] : []
}

function resolvedOf(value: unknown): ResolvedBackup | undefined {
  const json = object(value)
  const [found] = foundOf(value)
  const artifacts = number(json?.artifacts)
  if (!found || artifacts === undefined) return undefined
  return defined({
    ...found,
    artifacts,
    bytes: number(json?.bytes),
    encrypted: json?.encrypted === true ? (true as const) : undefined,
    preset: string(json?.preset),
    serverVersion: string(json?.serverVersion),
    pinned: json?.pinned === true,
  })
}

function progressOf(value: unknown): RestoreProgress | undefined {
  const json = object(value)
  const bytes = number(json?.bytes)
  if (bytes === undefined) return undefined
  return defined({ artifact: string(json?.artifact), bytes, totalBytes: number(json?.totalBytes) })
}

function entryOf(value: unknown): CatalogEntry | undefined {
  const json = object(value)
  const run = string(json?.run)
  const slot = number(json?.slot)
  const startedAt = number(json?.startedAt)
  const finishedAt = number(json?.finishedAt)
  const bytes = number(json?.bytes)
  const storedBytes = number(json?.storedBytes)
  if (run === undefined || slot === undefined || startedAt === undefined) return undefined
  if (finishedAt === undefined || storedBytes === undefined) return undefined
  const flag = (field: unknown) => (field === true ? (true as const) : undefined)
  return defined({
    run,
    slot,
    startedAt,
    finishedAt,
    bytes,
    storedBytes,
    sha256: string(json?.sha256),
    suspect: flag(json?.suspect),
    unchecked: flag(json?.unchecked),
    trigger: json?.trigger === 'on-demand' ? ('on-demand' as const) : undefined,
    held: flag(json?.held),
    unproven: flag(json?.unproven),
  })
}

function object(value: unknown): Json | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : undefined
}

function string(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

function number(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) ? value : undefined
}

/** Milliseconds since the epoch, with a year of four digits: it is written as RFC 3339. */
function time(value: unknown): number | undefined {
  const ms = number(value)
  return ms !== undefined && ms >= 0 && ms < 253_402_300_800_000 ? ms : undefined
}

/** Without the fields that are undefined, so that messages compare by value. */
function defined<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as T
}
