/**
 * What a mover says: its termination message (one line of JSON, rewritten at every step, so that also a killed mover has
 * said what it had reached) and its exit code.
 *
 * Kubernetes keeps 12 KiB / containers of a message, at most 4 KiB, and cuts the rest at either end. A message of a backup
 * has at most 1.5 KB, a page of the catalog and the end of a probe at most 3.5 KB (their pods have one container).
 */
import type { MoverReason, MoverWarningReason } from './reasons.ts'

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
  'restoring',
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
  /** How the store wants to be spoken to, in words: found out, where the policy leaves it open. */
  readonly mode?: string
}

/** What the folder has of one target. */
export type KeptOfTarget = Pick<KeptRuns, 'count' | 'digest'> & { readonly target: string }

/** One kept run in a page of the catalog. Times in ms since the epoch. */
export interface CatalogEntry {
  readonly run: string
  readonly slot: number
  readonly startedAt: number
  readonly finishedAt: number
  /** Absent of what is encrypted. */
  readonly bytes?: number
  readonly storedBytes: number
  /** sha256 of the (first) artifact's plain bytes. */
  readonly sha256?: string
  readonly suspect?: true
  /** Its manifest says that its size was compared with nothing. */
  readonly unchecked?: true
  /** Absent: scheduled. */
  readonly trigger?: 'on-demand'
  /** The bucket holds it, whatever annotation there is or is not (docs/design.md R28). */
  readonly held?: true
  /** Its data were not found, by the list and by a look at each that the list lacks: its manifest proves no backup. */
  readonly unproven?: true
}

/** The backup that a resolve task has chosen. */
export interface ResolvedBackup {
  readonly run: string
  readonly target: string
  /** ms since the epoch. */
  readonly slot: number
  readonly artifacts: number
  /** Plain bytes; absent of what is encrypted. */
  readonly bytes?: number
  readonly storedBytes: number
  readonly encrypted?: true
  /** The preset that made it, and the version of its server; absent of what is encrypted, or was made by an explicit command. */
  readonly preset?: string
  readonly serverVersion?: string
  /** Retention leaves it alone until the restore ends. */
  readonly pinned: boolean
}

/** One backup of a folder, for who has to choose. */
export interface FoundBackup {
  readonly run: string
  readonly target: string
  /** ms since the epoch. */
  readonly slot: number
  readonly storedBytes: number
}

/** How far a restore has come. */
export interface RestoreProgress {
  /** Absent of what is encrypted: names are secret. */
  readonly artifact?: string
  /** Plain bytes that were verified and given to the command; of what is encrypted as large a share of the stored ones. */
  readonly bytes: number
  readonly totalBytes?: number
}

export interface MoverMessage {
  readonly phase: MoverPhase
  readonly reason?: MoverReason
  /** At most 600 characters; what to do comes first or last. */
  readonly message?: string
  readonly run?: string
  readonly attempt?: string
  /** ms since the epoch. */
  readonly startedAt?: number
  readonly finishedAt?: number
  /** Of a backup: the slot it covers, ms since the epoch. */
  readonly slot?: number
  /** Plain bytes received from the command; absent where they are encrypted. */
  readonly bytes?: number
  readonly storedBytes?: number
  /** Whether its size could be compared with those of other backups (docs/design.md R24). */
  readonly sizeCheck?: 'compared' | 'unchecked'
  /** How many artifacts are complete. */
  readonly artifacts?: number
  /** sha256 of the (first) artifact's plain bytes. */
  readonly sha256?: string
  /** Key of the manifest, from the root of the bucket. */
  readonly manifest?: string
  readonly suspect?: boolean
  /** Failed, and not to be tried again, although its reason could be: it is too late after the slot. */
  readonly tooLate?: true
  /** `startedAt` of the attempt whose manifest was found to be no backup; it is gone, or could not be deleted. */
  readonly disproved?: number
  /** Exit status of the command, where it gave one. */
  readonly sourceStatus?: number
  /** The one upload that is open now. After a kill it is what must be aborted. */
  readonly openUpload?: { readonly key: string; readonly uploadId: string }
  readonly kept?: KeptRuns
  /** Runs that retention deleted in this pass. As many as fit; `kept.digest` shows whether some are missing. */
  readonly deleted?: readonly string[]
  readonly warnings?: readonly MoverWarning[]
  readonly probe?: ProbeFacts
  /** What a probe found in the folder, by target: as many as fit. */
  readonly folder?: readonly KeptOfTarget[]
  /** What the bucket says now of the run that a hold task named. */
  readonly hold?: { readonly run: string; readonly held: boolean }
  readonly catalog?: { readonly entries: readonly CatalogEntry[]; readonly next?: string }
  readonly resolved?: ResolvedBackup
  /** What there is, newest first, where none was named: at most 20. */
  readonly found?: readonly FoundBackup[]
  readonly restore?: RestoreProgress
  /** What a restore script says that it has done: at most 600 bytes of JSON. */
  readonly result?: Readonly<Record<string, unknown>>
  /** Set by the parser: the text was cut, and only what was whole of it is here. */
  readonly truncated?: true
}

/** Whether the message proves a backup (R1): nothing that follows takes this back, unless another attempt has `disproved` it. */
export function isCommitted(message: MoverMessage | undefined): boolean {
  return message?.phase === 'committed'
}

export const messageLimit = 1_500
/** Of `message`, in characters. */
const longestText = 600
export const catalogMessageLimit = 3_500

/**
 * One line of JSON of at most `limit` bytes. What is worth least goes first when it is too long: texts of warnings, names of deleted runs,
 * the key of the manifest (which follows from the run), and last of all the message, which says what to do. Phase, reason, open upload and
 * kept runs always fit.
 */
export function encodeMoverMessage(message: MoverMessage, limit = messageLimit): string {
  let current = withMessage(message, longestText)
  for (const shorten of shortenings) {
    if (size(current) <= limit) break
    current = shorten(current, limit)
  }
  return `${JSON.stringify(current)}\n`
}

const shortenings: readonly ((message: MoverMessage, limit: number) => MoverMessage)[] = [
  message => withWarnings(message, 160),
  (message, limit) => {
    const deleted = [...(message.deleted ?? [])]
    while (deleted.length > 0 && size({ ...message, deleted }) > limit) deleted.pop()
    return { ...message, deleted }
  },
  message => withWarnings(message, 80),
  (message, limit) => {
    const folder = [...(message.folder ?? [])]
    while (folder.length > 0 && size({ ...message, folder }) > limit) folder.pop()
    return { ...message, folder: message.folder && folder }
  },
  message => ({ ...message, manifest: undefined, attempt: undefined }),
  message => withWarnings(message, 0),
  message => withMessage(message, 300),
  message => withMessage(message, 150),
  message => withMessage(message, 60),
]

function withMessage(message: MoverMessage, length: number): MoverMessage {
  return message.message === undefined ? message : { ...message, message: cut(message.message, length) }
}

function withWarnings(message: MoverMessage, length: number): MoverMessage {
  return { ...message, warnings: message.warnings?.map(each => ({ ...each, message: cut(each.message, length) })) }
}

function size(message: MoverMessage): number {
  return Buffer.byteLength(JSON.stringify(message)) + 1
}

/** What to do stands at the beginning or at the end, and the words of others between: those go. */
function cut(text: string, length: number): string {
  if (text.length <= length) return text
  if (length === 0) return ''
  const half = Math.floor((length - 1) / 2)
  return `${text.slice(0, length - 1 - half)}…${text.slice(text.length - half)}`.toWellFormed()
}
