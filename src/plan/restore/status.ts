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

/** What the restore script says that it did: names in lists that are known, and whatever else as text. */
export function resultOf({ result }: MoverMessage): Pick<RestoreStatus, 'result'> {
  if (!result) return {}
  const lists = Object.fromEntries(
    resultLists.flatMap(key => {
      const list = namesOf(result[key])
      return list ? [[key, list]] : []
    }),
  )
  const rest = Object.entries(result).filter(([key]) => !Object.hasOwn(lists, key))
  const details = rest.length > 0 ? redact(JSON.stringify(Object.fromEntries(rest))).slice(0, 1024) : undefined
  return { result: { ...lists, ...(details === undefined ? {} : { details }) } }
}

const resultLists = ['databases', 'tables', 'previous', 'leftOut'] as const

function namesOf(value: unknown): readonly string[] | undefined {
  if (!Array.isArray(value) || !value.every(each => typeof each === 'string')) return undefined
  return value.slice(0, 64).map(each => each.slice(0, longestName))
}

/** It is part of the path of a script: what else the bucket says is no preset. */
const presetName = /^[a-z][a-z0-9]{0,31}$/
const longestMessage = 2048
const longestName = 253
const longestRun = 63
const mostAvailable = 20
