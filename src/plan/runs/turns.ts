// Runs of one target that could start in one pass: whose turn it is, and what the others say meanwhile (docs/design.md R5, R30).
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { VolumeSnapshot } from '../../api/kubernetes.ts'
import { commandTarget } from '../../api/names.ts'
import type { Group } from '../core/actions.ts'
import { earliest } from '../../schedule/times.ts'
import { runJobName, snapshotName, targetOfRun } from '../view/owners.ts'
import type { BackupPlan } from './status.ts'
import { planWait, waitOf } from './wait.ts'

/**
 * On-demand Backups of one target at once: the first one starts, and the others find it running in the next pass. What a slot starts comes
 * before them, unless the Backup of the slot is not made: without it that run does not begin, and may not for long. Where the start of the
 * first one is refused there is no run to be found: they say for whom they wait, and wait as long as for a run.
 */
export function oneStart(groups: readonly Group[], policy: BackupPolicy, now: Date): BackupPlan {
  const byTarget = Map.groupBy(groups, startedTarget)
  byTarget.delete(undefined)
  const instead = new Map(
    [...byTarget].flatMap(([target = '', some]) => {
      const [first, ...others] = some.toSorted((a, b) => (order(a) < order(b) ? -1 : 1))
      if (!first) return []
      const record = first.needs?.find(({ was }) => was === 'made')?.group
      const late = others.filter(group => !isOfSlot(group))
      return late.map((group, place) => {
        const behindFirst = waiting(group, target, first, policy, now)
        if (record === undefined) return [group, behindFirst] as const
        const without = place === 0 ? [ifUndone(group, record)] : waiting(group, target, late[0] ?? first, policy, now)
        return [group, [...behindFirst, ...without]] as const
      })
    }),
  )
  const ends = [...instead.keys()].flatMap(({ run }) => (run ? [waitOf(run, policy, now).until] : []))
  const wakeAt = earliest(...ends.filter(end => end > now))
  return {
    // Behind the starts: only then it is known which was refused.
    groups: [...groups.filter(group => !instead.has(group)), ...[...instead.values()].flat()],
    ...(wakeAt ? { wakeAt } : {}),
  }
}

function ifUndone(group: Group, other: string): Group {
  return { ...group, needs: [...(group.needs ?? []), { group: other, was: 'undone' }] }
}

function isOfSlot({ run }: Group): boolean {
  return run?.spec.slot !== undefined
}

function order(group: Group): string {
  return isOfSlot(group) ? '' : `${group.run?.metadata.creationTimestamp} ${group.run?.metadata.uid}`
}

function waiting({ run }: Group, target: string, first: Group, policy: BackupPolicy, now: Date): readonly Group[] {
  if (!run || !first.run) return []
  const needs = [{ group: first.name, was: 'refused' }] as const
  const why = `Backup ${first.run.metadata.name} of the same target has its turn first, and the API server refuses to start that: its message has the words`
  const start = startsJob(first)
    ? ({ kind: 'job', name: runJobName(run) } as const)
    : ({ kind: 'snapshot', name: snapshotName(run) } as const)
  const { groups } = planWait(run, policy, { target, why, start }, now)
  return groups.map(group => ({ ...group, needs }))
}

function startsJob({ actions }: Group): boolean {
  return actions.some(action => action.do === 'create' && action.object.kind === 'Job')
}

/** The target of which this group starts a run. */
function startedTarget({ actions, run }: Group): string | undefined {
  const [object] = actions.flatMap(action => (action.do === 'create' ? [action.object] : []))
  if (object?.kind === 'Job') return (run && targetOfRun(run)) ?? commandTarget
  return object?.kind === 'VolumeSnapshot'
    ? (object as VolumeSnapshot).spec.source.persistentVolumeClaimName
    : undefined
}
