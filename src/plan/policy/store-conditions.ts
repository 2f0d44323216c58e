// Conditions about the store of a policy: whether retention may do its work there, and what the store cannot do.
import type { Reason } from '../../api/conditions.ts'
import { annotation } from '../../api/labels.ts'
import type { MoverWarningReason } from '../../api/mover/reasons.ts'
import type { Verdict } from '../core/conditions.ts'
import { backupName } from '../history/retention.ts'
import { goodByAge, type TargetHistory } from '../history/verdicts.ts'
import type { PolicyFacts } from './facts.ts'
import { deletionVerdict } from './refusals.ts'

/** What a mover says about a suspect newest backup is told from the objects instead, so that accepting it shows at once. */
const retentionWarnings: readonly MoverWarningReason[] = ['RetentionBlocked', 'RetentionIncomplete', 'RetentionPaused']

/** Told by conditions of their own, from what stands in objects. */
const toldElsewhere: readonly MoverWarningReason[] = [...retentionWarnings, 'Suspect', 'UnconditionalCommit']

export function storeVerdicts(facts: PolicyFacts): readonly Verdict[] {
  const { policy, strategy, warnings, store } = facts
  const backendHash = strategy.type === 'job' ? strategy.store?.hash : undefined
  const sameBackend = policy.status?.store?.backendHash === backendHash
  const before = policy.status?.conditions?.find(({ type }) => type === 'RetentionBlocked')
  // Of a pause because the newest is suspect the objects tell, so that accepting it shows at once.
  const isSuspect = warnings?.some(({ reason }) => reason === 'Suspect')
  const warning = warnings?.find(
    ({ reason }) => retentionWarnings.includes(reason) && !(isSuspect && reason === 'RetentionPaused'),
  )
  const refusal = deletionVerdict(facts.refused)
  const told = [suspectVerdict(facts.histories) ?? pausedVerdict(facts.histories), refusal].filter(
    each => each !== undefined,
  )
  const [first] = told
  const blocked: readonly Verdict[] = first
    ? [{ ...first, message: told.map(({ message }) => message).join('; and ') }]
    : warnings
      ? warning
        ? [{ type: 'RetentionBlocked', status: 'True', reason: warning.reason, message: warning.message }]
        : []
      : store?.retentionBlocked
        ? [{ type: 'RetentionBlocked', status: 'True', reason: 'RetentionBlocked', message: store.message }]
        : before &&
            sameBackend &&
            before.reason !== 'Suspect' &&
            before.reason !== 'DeletionRefused' &&
            policy.spec.strategy.type === 'job'
          ? [
              {
                type: 'RetentionBlocked',
                status: before.status,
                reason: before.reason as Reason,
                message: before.message,
              },
            ]
          : []
  const unconditional: readonly Verdict[] =
    store?.unconditionalCommit || warnings?.some(({ reason }) => reason === 'UnconditionalCommit')
      ? [
          {
            type: 'UnconditionalCommit',
            status: 'True',
            reason: 'UnconditionalCommit',
            message:
              'the store does not support If-None-Match: two attempts of one run that end at the same moment are told apart by looking first, not by the store',
          },
        ]
      : []
  return [...blocked, ...unconditional, ...warned(facts)]
}

/** Whatever the probe or the newest run warned of, and nothing else tells (F87). */
function warned({ warnings = [], store }: PolicyFacts): readonly Verdict[] {
  const all = [...(store?.warnings ?? []), ...warnings].filter(
    ({ reason }) => !(toldElsewhere as readonly string[]).includes(reason),
  )
  const [first] = all
  if (!first) return []
  const message = [...new Set(all.map(each => each.message))].join('; ')
  return [{ type: 'BackupWarned', status: 'True', reason: first.reason as Reason, message }]
}

/** A newest backup that is far smaller than the good ones before must be seen by a person before anything older goes (docs/design.md R14). */
function suspectVerdict(histories: readonly TargetHistory[]): Verdict | undefined {
  const newest = histories
    .flatMap(({ runs }) => goodByAge(runs.filter(({ ahead }) => !ahead)).at(-1) ?? [])
    .filter(({ suspect }) => suspect)
  if (newest.length === 0) return undefined
  const names = newest.map(backupName).join(', ')
  const message = `the newest backup, Backup ${names}, is far smaller than the largest good one. Nothing is deleted until a good one follows, or somebody has looked and annotated it with ${annotation.accepted}=true`
  return { type: 'RetentionBlocked', status: 'True', reason: 'Suspect', message }
}

/** One that is to be kept was compared in size with none: what it should replace may be needed (docs/design.md R24). */
function pausedVerdict(histories: readonly TargetHistory[]): Verdict | undefined {
  for (const { plan, runs } of histories) {
    const stopped = plan.verdicts.find(({ reason }) => reason === 'PruningStopped')
    const run = stopped && runs.find(({ id }) => id === stopped.id)
    if (!run) continue
    const message = `Backup ${backupName(run)} is ${stopped.message}. To accept one after a look: annotate it with ${annotation.accepted}=true`
    return { type: 'RetentionBlocked', status: 'True', reason: 'RetentionPaused', message }
  }
  return undefined
}
