// Conditions that keep the time of their last change.
import type { BackupConditionType, PolicyConditionType, Reason, RestoreConditionType } from '../../api/conditions.ts'
import type { Condition } from '../../api/kubernetes.ts'
import { rfc3339 } from '../../schedule/times.ts'

export type Verdict = {
  readonly type: PolicyConditionType | BackupConditionType | RestoreConditionType
  readonly status: Condition['status']
  readonly reason: Reason
  readonly message: string
}

/** The verdicts as conditions, in their order; `previous` gives the times of those whose status did not change. */
export function conditionsFrom(
  verdicts: readonly Verdict[],
  previous: readonly Condition[] | undefined,
  generation: number | undefined,
  now: Date,
): Condition[] {
  return verdicts.map(({ message, ...verdict }) => {
    const before = previous?.find(({ type }) => type === verdict.type)
    const lastTransitionTime = before?.status === verdict.status ? before.lastTransitionTime : rfc3339(now)
    return {
      ...verdict,
      message: message.slice(0, 2048),
      lastTransitionTime,
      ...(generation === undefined ? {} : { observedGeneration: generation }),
    }
  })
}

/** The condition of one more type, or of another status, beside those that stand. */
export function withCondition(
  conditions: readonly Condition[] | undefined,
  verdict: Verdict,
  generation: number | undefined,
  now: Date,
): Condition[] {
  const [changed] = conditionsFrom([verdict], conditions, generation, now)
  const others = (conditions ?? []).filter(({ type }) => type !== verdict.type)
  return changed ? [...others, changed] : others
}
