/**
 * What a mover says: its termination message (one line of JSON, rewritten at every step, so that also a killed mover has
 * said what it had reached) and its exit code.
 *
 * Kubernetes keeps 12 KiB / containers of a message, at most 4 KiB, and cuts the rest at either end. A message of a backup or a
 * probe has at most 1.5 KB, a page of the catalog at most 3.5 KB (its pod has one container).
 */

/**
 * Every reason for which a mover fails, with the exit code it ends with. The codes that no retry can cure are
 * `permanentExitCodes`; the Job's `podFailurePolicy` fails the Job on them.
 */
export const moverReasons = {
  /** The command ended with a status other than 0. */
  SourceExit: 10,
  /** The command was killed by a signal (137 = SIGKILL: usually its memory limit). */
  SourceSignalled: 10,
  /** The program is not in the image's PATH (status 127), or cannot be executed (126). */
  CommandNotFound: 10,
  /** The command's container died without giving a status: out of memory, eviction, killed. */
  SourceKilled: 11,
  /** The command's container did not start in time: image pull, configuration. */
  SourceNotStarted: 12,
  /** The command wrote nothing for too long. */
  SourceStalled: 13,
  /** The command ended with 0 and wrote nothing. */
  EmptyOutput: 14,
  /** The task is missing, or not one of this mover's version. */
  InvalidTask: 15,
  /** The store cannot serve now: 5xx, throttling, connections lost; retried before it was given up. */
  StoreUnavailable: 20,
  /** No connection: the name does not resolve, the port refuses, nothing answers. The message says which. */
  EndpointUnreachable: 20,
  /** The store says that it has no space left, or that a quota is reached. */
  StoreFull: 20,
  /** The endpoint is no URL, or what answers there is no S3 API. */
  InvalidEndpoint: 21,
  /** The certificate of the endpoint is not trusted, expired, or for another name. */
  TLSVerificationFailed: 21,
  /** The Secret named by the policy does not exist. */
  SecretNotFound: 21,
  /** The Secret exists, but has none of the accepted keys; the message names those looked for. */
  SecretKeyMissing: 21,
  BucketNotFound: 21,
  /** 403 or 401: wrong key, or no permission. */
  AccessDenied: 21,
  /** Reading is allowed, writing is not. */
  StoreReadOnly: 21,
  /** The clocks of node and store differ by more than the store accepts. */
  ClockSkew: 21,
  /** The store refuses a request that we must make (400, 501); the message holds its own words. */
  StoreRejected: 21,
  /** The manifest of this run was written by another Job. */
  RunExists: 22,
  /** The prefix belongs to another cluster, namespace or policy. */
  PrefixOwnedByOther: 23,
  /** The prefix was written by a newer version, or its owner mark cannot be read. */
  FormatUnsupported: 24,
  /** The helpers in the two containers did not keep to the protocol. */
  Protocol: 1,
  /** A defect of the mover. */
  Internal: 1,
  /** The pod was told to stop: deleted, evicted, or its deadline passed. */
  Terminated: 30,
} as const satisfies Readonly<Record<string, number>>
export type MoverReason = keyof typeof moverReasons

/** What a retry of the pod cannot cure: `podFailurePolicy` of the Job fails it at once. */
export const permanentExitCodes = [10, 14, 15, 21, 22, 23, 24] as const

export function exitCodeOf(reason: MoverReason): number {
  return moverReasons[reason]
}

export function isPermanent(reason: MoverReason): boolean {
  return (permanentExitCodes as readonly number[]).includes(moverReasons[reason])
}

/** Reasons of warnings: the backup (or the probe) succeeded all the same. */
export const moverWarnings = [
  /** The store refused a list or a delete (403, Object Lock): nothing is pruned. */
  'RetentionBlocked',
  /** Listing or deleting failed otherwise; the next run tries again. */
  'RetentionIncomplete',
  /** The newest backup is suspect: nothing is pruned until it is accepted or a good one follows. */
  'RetentionPaused',
  /** The store does not know `If-None-Match`: two attempts at once are told apart by look-then-write only. */
  'UnconditionalCommit',
  /** This backup is far smaller than the last good one. */
  'Suspect',
  /** An upload or an object of this attempt could not be removed; a later run does it. */
  'LeftoverUpload',
  /** A manifest of the target cannot be read; it is neither counted nor deleted. */
  'ManifestUnreadable',
] as const
export type MoverWarningReason = (typeof moverWarnings)[number]

export interface MoverWarning {
  readonly reason: MoverWarningReason
  readonly message: string
}

/** `committed` (a backup's manifest is written) and `done` (probe, catalog) are the successful ends; `failed` is the other. */
export const moverPhases = [
  'starting',
  'probing',
  'waiting',
  'receiving',
  'committing',
  'committed',
  'failed',
  'done',
] as const
export type MoverPhase = (typeof moverPhases)[number]

/** A summary of the target's manifests in the bucket after this run: all of them, also held and suspect ones. */
export interface KeptRuns {
  readonly count: number
  readonly newest?: string
  readonly oldest?: string
  /** `runsDigest` of the runs' names. */
  readonly digest: string
}

export interface ProbeFacts {
  /** Whether the store honours `If-None-Match: *`. */
  readonly conditionalPut: boolean
  readonly canList: boolean
  readonly canDelete: boolean
}

/** One kept run in a page of the catalog. Times in ms since the epoch. */
export interface CatalogEntry {
  readonly run: string
  readonly slot: number
  readonly startedAt: number
  readonly finishedAt: number
  readonly bytes: number
  readonly storedBytes: number
  /** sha256 of the (first) artifact's plain bytes. */
  readonly sha256?: string
  readonly suspect?: true
}

export interface MoverMessage {
  readonly phase: MoverPhase
  readonly reason?: MoverReason
  /** At most 300 characters. */
  readonly message?: string
  readonly run?: string
  readonly attempt?: string
  /** ms since the epoch. */
  readonly startedAt?: number
  readonly finishedAt?: number
  /** Of a backup: the slot it covers, ms since the epoch. */
  readonly slot?: number
  /** Plain bytes received from the command. */
  readonly bytes?: number
  readonly storedBytes?: number
  /** How many artifacts are complete. */
  readonly artifacts?: number
  /** sha256 of the (first) artifact's plain bytes. */
  readonly sha256?: string
  /** Key of the manifest, from the root of the bucket. */
  readonly manifest?: string
  readonly suspect?: boolean
  /** Exit status of the command, where it gave one. */
  readonly sourceStatus?: number
  /** The one upload that is open now. After a kill it is what must be aborted. */
  readonly openUpload?: { readonly key: string; readonly uploadId: string }
  readonly kept?: KeptRuns
  /** Runs that retention deleted in this pass. As many as fit; `kept.digest` shows whether some are missing. */
  readonly deleted?: readonly string[]
  readonly warnings?: readonly MoverWarning[]
  readonly probe?: ProbeFacts
  readonly catalog?: { readonly entries: readonly CatalogEntry[]; readonly next?: string }
  /** Set by the parser: the text was cut, and only what was whole of it is here. */
  readonly truncated?: true
}

/** Whether the message proves a backup (R1): nothing that follows takes this back. */
export function isCommitted(message: MoverMessage | undefined): boolean {
  return message?.phase === 'committed'
}

export const messageLimit = 1_500
export const catalogMessageLimit = 3_500

/**
 * One line of JSON of at most `limit` bytes. What is worth least goes first when it is too long: texts, names of deleted runs,
 * warnings, the key of the manifest (which follows from the run). Phase, reason, open upload and kept runs always fit.
 */
export function encodeMoverMessage(message: MoverMessage, limit = messageLimit): string {
  let current: MoverMessage =
    message.message === undefined ? message : { ...message, message: cut(message.message, 300) }
  for (const shorten of shortenings) {
    if (size(current) <= limit) break
    current = shorten(current, limit)
  }
  return `${JSON.stringify(current)}\n`
}

const shortenings: readonly ((message: MoverMessage, limit: number) => MoverMessage)[] = [
  message => ({
    ...message,
    warnings: message.warnings?.map(warning => ({ ...warning, message: cut(warning.message, 80) })),
  }),
  message => ({ ...message, message: message.message && cut(message.message, 150) }),
  (message, limit) => {
    const deleted = [...(message.deleted ?? [])]
    while (deleted.length > 0 && size({ ...message, deleted }) > limit) deleted.pop()
    return { ...message, deleted }
  },
  message => ({ ...message, warnings: message.warnings?.map(({ reason }) => ({ reason, message: '' })) }),
  message => ({ ...message, manifest: undefined, attempt: undefined }),
  message => ({ ...message, message: message.message && cut(message.message, 60) }),
]

function size(message: MoverMessage): number {
  return Buffer.byteLength(JSON.stringify(message)) + 1
}

function cut(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`
}

/**
 * Reads a termination message, whatever it holds: another program may have written it, Kubernetes may have cut it. Never
 * throws. Only the first line counts: the mover overwrites in place, so that a kill can leave the end of a longer, older line.
 * @returns undefined when not even the phase can be read.
 */
export function parseMoverMessage(text: string | undefined): MoverMessage | undefined {
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
    startedAt: number(json.startedAt),
    finishedAt: number(json.finishedAt),
    slot: number(json.slot),
    bytes: number(json.bytes),
    storedBytes: number(json.storedBytes),
    artifacts: number(json.artifacts),
    sha256: string(json.sha256),
    manifest: string(json.manifest),
    suspect: typeof json.suspect === 'boolean' ? json.suspect : undefined,
    sourceStatus: number(json.sourceStatus),
    openUpload: key !== undefined && uploadId !== undefined ? { key, uploadId } : undefined,
    kept: keptOf(json.kept),
    deleted: Array.isArray(json.deleted) ? json.deleted.filter(run => typeof run === 'string') : undefined,
    warnings: Array.isArray(json.warnings) ? json.warnings.flatMap(warningOf) : undefined,
    probe: probeOf(json.probe),
    catalog: catalogOf(json.catalog),
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

function probeOf(value: unknown): ProbeFacts | undefined {
  const json = object(value)
  if (json === undefined) return undefined
  return {
    conditionalPut: json.conditionalPut === true,
    canList: json.canList === true,
    canDelete: json.canDelete === true,
  }
}

/** A page with an entry that cannot be read is no page: the operator would take that run for deleted. */
function catalogOf(value: unknown): MoverMessage['catalog'] {
  const json = object(value)
  if (!Array.isArray(json?.entries)) return undefined
  const entries = json.entries.map(entryOf)
  if (!entries.every(entry => entry !== undefined)) return undefined
  return defined({ entries, next: string(json.next) })
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
  if (finishedAt === undefined || bytes === undefined || storedBytes === undefined) return undefined
  const suspect = json?.suspect === true ? (true as const) : undefined
  return defined({ run, slot, startedAt, finishedAt, bytes, storedBytes, sha256: string(json?.sha256), suspect })
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

/** Without the fields that are undefined, so that messages compare by value. */
function defined<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as T
}
