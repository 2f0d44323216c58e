// The status of a Restore: its only author. A final phase never changes.
import { isRestoreFinal, type RestorePhase } from '../../api/kinds/restore-phases.ts'
import type { Restore, RestoreStatus } from '../../api/kinds/restore.ts'
import type { Reason } from '../../api/conditions.ts'
import type { FoundBackup, MoverMessage, ResolvedBackup } from '../../api/mover/message.ts'
import type { Action, Unless } from '../core/actions.ts'
import { conditionsFrom, type Verdict } from '../core/conditions.ts'
import { sameJson } from '../core/equal.ts'
import { redact } from '../core/redact.ts'
import { durationText, isTime, rfc3339, timeOf } from '../../schedule/times.ts'

/** What is new of a Restore; the rest is as it was. */
export type RestoreFacts = Omit<Partial<RestoreStatus>, 'conditions' | 'duration' | 'startTime'> & {
  readonly phase: RestorePhase
  readonly reason: Reason
  readonly message: string
  /** The store refused the pin of the backup. */
  readonly unpinned?: boolean
}

/** @param end when it ended, where the phase is final */
export function restoreStatus(
  restore: Restore,
  { unpinned, ...facts }: RestoreFacts,
  now: Date,
  end = now,
): RestoreStatus {
  const { status, metadata } = restore
  const message = facts.message.slice(0, longestMessage)
  const startTime = status?.startTime ?? metadata.creationTimestamp ?? rfc3339(now)
  const isFinal = isRestoreFinal(facts.phase)
  const completionTime = isFinal ? rfc3339(end) : undefined
  const { conditions: before, completionTime: _, ...known } = status ?? {}
  const verdicts = [...phaseVerdicts({ ...facts, message }), ...pinVerdict(restore, unpinned, isFinal)]
  return {
    ...known,
    ...facts,
    message,
    startTime,
    ...(completionTime === undefined ? {} : { completionTime, duration: durationBetween(startTime, completionTime) }),
    conditions: conditionsFrom(verdicts, before, metadata.generation, now),
  }
}

/** Writes a status where it differs; the end of a Restore is told to people, and counted. */
export function writeRestore(restore: Restore, status: RestoreStatus, unless?: Unless): readonly Action[] {
  if (sameJson(restore.status, status)) return []
  const { phase, reason, message = '', policy = '' } = status
  const object = { ...restore, status }
  const write = { do: 'write-status', object, ...(unless ? { unless } : {}) } as const
  if (!isRestoreFinal(phase)) return [write]
  const type = phase === 'Completed' ? 'Normal' : 'Warning'
  return [
    { ...write, restored: { phase, policy } },
    { do: 'event', about: restore, type, reason: reason as Reason, message },
  ]
}

function phaseVerdicts({
  phase,
  reason,
  message,
}: Pick<RestoreFacts, 'phase' | 'reason' | 'message'>): readonly Verdict[] {
  if (phase === 'Completed') return [{ type: 'Ready', status: 'True', reason, message }]
  if (phase === 'Failed')
    return [
      { type: 'Ready', status: 'False', reason, message },
      { type: 'Stalled', status: 'True', reason, message },
    ]
  return [
    { type: 'Ready', status: 'Unknown', reason, message },
    { type: 'Reconciling', status: 'True', reason, message: 'the Restore is going on' },
  ]
}

/** After the end nothing needs the pin, and what was said of it is of no use. */
function pinVerdict({ status }: Restore, unpinned: boolean | undefined, isFinal: boolean): readonly Verdict[] {
  const stands = status?.conditions?.some(({ type, status: is }) => type === 'Unpinned' && is === 'True') ?? false
  if (isFinal || !(unpinned ?? stands)) return []
  const message =
    'the store refuses to keep the backup for this Restore, which goes on: if retention of the policy that wrote it takes it away meanwhile, it fails, and nothing that there is was changed; allow it to write below pins/, or suspend that policy'
  return [{ type: 'Unpinned', status: 'True', reason: 'PinRefused', message }]
}

function durationBetween(start: string, end: string): string {
  const [from, until] = [timeOf(start), timeOf(end)]
  return durationText(from && until ? (until.getTime() - from.getTime()) / 1000 : 0)
}

/** What the bucket said of the backup. Undefined where it is no backup that can be named. */
export function backupFacts(resolved: ResolvedBackup, store: string): RestoreStatus['backup'] {
  const { run, target, slot, artifacts, bytes, storedBytes, encrypted, preset, serverVersion } = resolved
  if (!isTime(slot) || run.length > longestRun || target.length > longestName) return undefined
  return {
    run,
    target,
    slot: rfc3339(new Date(slot)),
    store,
    artifacts,
    storedBytes,
    ...(bytes === undefined ? {} : { bytes }),
    ...(encrypted ? { encrypted } : {}),
    ...(preset !== undefined && presetName.test(preset) ? { preset } : {}),
    ...(serverVersion === undefined ? {} : { serverVersion: serverVersion.slice(0, 64) }),
  }
}

/** What there is to choose from, each once: the key of the list is the run. */
export function availableBackups(found: readonly FoundBackup[]): NonNullable<RestoreStatus['available']> {
  const named = found.filter(({ run, target }) => run.length <= longestRun && target.length <= longestName)
  const once = new Map(named.map(each => [each.run, each]))
  return [...once.values()].slice(0, mostAvailable).map(({ run, target, slot, storedBytes }) => ({
    run,
    target,
    slot: rfc3339(new Date(slot)),
    storedBytes,
  }))
}

export function progressOf({ restore }: MoverMessage): Pick<RestoreStatus, 'progress'> {
  if (!restore) return {}
  const { artifact, bytes, totalBytes } = restore
  const percent = totalBytes ? Math.max(0, Math.min(100, Math.floor((bytes / totalBytes) * 100))) : undefined
  return {
    progress: {
      ...(artifact === undefined ? {} : { artifact: artifact.slice(0, longestName) }),
      bytes,
      ...(totalBytes === undefined ? {} : { totalBytes }),
      ...(percent === undefined ? {} : { percent }),
    },
  }
}

/** What the restore script says that it did: what is known of it in its own fields, and whatever else as text. */
export function resultOf({ result }: MoverMessage): Pick<RestoreStatus, 'result' | 'into'> {
  if (!result) return {}
  const { databases, leftOut, ...rest } = result
  const made = listOf(databases, madeOf)
  const left = listOf(leftOut, each => textOf(each))
  const details = Object.keys(rest).length > 0 ? redact(JSON.stringify(rest)).slice(0, 1024) : undefined
  const into = made.map(({ database, as, table }) => [as ?? database, table].filter(Boolean).join('.')).join(', ')
  return {
    result: {
      ...(made.length > 0 ? { databases: made } : {}),
      ...(left.length > 0 ? { leftOut: left } : {}),
      ...(details === undefined ? {} : { details }),
    },
    ...(into === '' ? {} : { into: into.slice(0, longestName) }),
  }
}

type Made = NonNullable<NonNullable<RestoreStatus['result']>['databases']>[number]

/** A name alone, or an object that says more of it. */
function madeOf(value: unknown): Made | undefined {
  if (typeof value !== 'object' || value === null) {
    const database = textOf(value)
    return database === undefined ? undefined : { database }
  }
  const fields = value as Readonly<Record<string, unknown>>
  const [database, as, table, previous] = ['database', 'as', 'table', 'previous'].map(key => textOf(fields[key]))
  if (database === undefined) return undefined
  return {
    database,
    ...(as === undefined ? {} : { as }),
    ...(table === undefined ? {} : { table }),
    ...(previous === undefined ? {} : { previous }),
  }
}

function listOf<T>(value: unknown, read: (each: unknown) => T | undefined): T[] {
  if (!Array.isArray(value)) return []
  return value.slice(0, mostListed).flatMap(each => read(each) ?? [])
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value.slice(0, longestName) : undefined
}

/** Those that are known already, and what a mover warns of now; each once. */
export function warningsOf({ status }: Restore, { warnings = [] }: MoverMessage): Pick<RestoreStatus, 'warnings'> {
  const said = warnings.map(({ reason, message }) => redact(`${reason}: ${message}`).slice(0, 1024))
  const all = [...new Set([...(status?.warnings ?? []), ...said])].slice(0, 8)
  return all.length > 0 ? { warnings: all } : {}
}

const mostListed = 64
/** It is part of the path of a script: what else the bucket says is no preset. */
const presetName = /^[a-z][a-z0-9]{0,31}$/
const longestMessage = 2048
const longestName = 253
const longestRun = 63
const mostAvailable = 20
