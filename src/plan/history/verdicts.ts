// What retention says of the backups of each target, by the same function that the mover uses; and what follows for snapshots.
import { isFinal } from '../../api/kinds/backup-phases.ts'
import type { Backup } from '../../api/kinds/backup.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { Condition, VolumeSnapshot } from '../../api/kubernetes.ts'
import { annotation, label } from '../../api/labels.ts'
import { runsDigest } from '../../api/mover/runs-digest.ts'
import { slotOfText } from '../../api/names.ts'
import { alone, deletion, type Action, type Group, type Unless } from '../core/actions.ts'
import { withCondition, type Verdict } from '../core/conditions.ts'
import { sameJson } from '../core/equal.ts'
import { asksForHold, heldCondition, isAccepted, isHeld, isHeldSnapshot, isReleased } from '../runs/marks.ts'
import type { RetentionWords } from '../runs/run.ts'
import { isAhead, rfc3339, timeOf } from '../../schedule/times.ts'
import { isGenuine, isUnfinished, targetOf } from '../view/owners.ts'
import { dueTime } from '../view/run-times.ts'
import type { JobStrategyView, RunView, SnapshotStrategyView, SnapshotView, View } from '../view/view.ts'
import type { RunsByTarget } from './numbers.ts'
import {
  mostDeletes,
  mostFailures,
  planRetention,
  type Keeping,
  type RetentionPlan,
  type RetentionRun,
} from './retention.ts'
import { judgeSizes, type SizeVerdict, type SizedRun } from './sizes.ts'

/** What a Backup should say of its hold. `unless`: what that rests on being unsaid. */
export type Told = { readonly verdict: Verdict; readonly unless?: Unless }

/** How many are kept now: `keepingOf` in numbers.ts. */
export type TargetsKeeping = Keeping & { readonly onDemand: Keeping }

export type TargetHistory = {
  readonly target: string
  readonly runs: readonly RetentionRun[]
  readonly plan: RetentionPlan
}

/** The runs of each target, as retention sees them. */
export function runsByTarget(
  { runs, snapshots }: Pick<View, 'runs' | 'snapshots'>,
  policy: BackupPolicy,
  strategy: JobStrategyView | SnapshotStrategyView,
  now: Date,
): RunsByTarget {
  return strategy.type === 'job'
    ? storedRuns(backupsInStore(runs, strategy), policy, now)
    : snapshotRuns(snapshots, now)
}

/** Retention's verdict on each target. */
export function retentionByTarget(runs: RunsByTarget, keeping: TargetsKeeping): readonly TargetHistory[] {
  return [...runs].map(([target, each]) => ({ target, runs: each, plan: planRetention(each, keeping) }))
}

/** The verdict on each run, as its Backup says it. */
export function retentionWords(histories: readonly TargetHistory[]): RetentionWords {
  const verdicts = histories.flatMap(({ plan }) => plan.verdicts)
  return new Map(verdicts.map(({ id, keep, reason }) => [id, { keep, reason }]))
}

/** What ends a snapshot: so many of a claim go in one pass, and those that cannot be deleted stand in the way of no other. */
export function pruning(target: string, name: string, ...actions: readonly Action[]): Group {
  return { name: `prune/${name}`, share: { of: `prune/${target}`, most: mostDeletes, mostFailures }, actions }
}

/** The good ones, oldest first. */
export function goodByAge(runs: TargetHistory['runs']): TargetHistory['runs'] {
  return runs.filter(run => run.good).toSorted((a, b) => a.slot.getTime() - b.slot.getTime())
}

/** Writes the verdicts where they changed, and deletes the snapshots that are no longer kept. */
export function planRetained(
  { runs, snapshots, strategy }: Pick<View, 'runs' | 'snapshots' | 'strategy'>,
  policy: BackupPolicy,
  histories: readonly TargetHistory[],
  keeping: TargetsKeeping,
  holds: ReadonlyMap<string, Told>,
  now: Date,
): readonly Group[] {
  const words = retentionWords(histories)
  const standing = snapshots.filter(({ snapshot }) => !snapshot.metadata.deletionTimestamp)
  const ofParents = Map.groupBy(standing, ({ parent }) => parent)
  const writes = runs.flatMap(({ backup, snapshot }): readonly Group[] => {
    const { status } = backup
    const ofTargets = ofParents.get(backup)
    // One over several targets of which some failed has the backups of the others.
    if (status?.phase !== 'Completed' && !(status?.phase === 'Failed' && ofTargets)) return []
    const write = (change: Partial<NonNullable<Backup['status']>>, unless?: Unless) => {
      const said: Readonly<Record<string, unknown>> = status
      if (Object.entries(change).every(([field, value]) => sameJson(said[field], value))) return []
      const object = { ...backup, status: { ...status, ...change } }
      return [alone(`verdict/${backup.metadata.name}`, { do: 'write-status', object, ...(unless ? { unless } : {}) })]
    }
    // Not before the deletion has begun: a verdict may be found wrong at the last look, and no phase follows Deleting.
    if (snapshot?.snapshot.metadata.deletionTimestamp) return write({ phase: 'Deleting' })
    const retention = words.get(status.run ?? '')
    const told = snapshot
      ? heldSnapshot(backup, snapshot)
      : ofTargets
        ? heldTargets(backup, ofTargets)
        : holds.get(backup.metadata.name)
    const conditions = told && withCondition(status.conditions, told.verdict, backup.metadata.generation, now)
    return write(
      {
        ...(retention ? { retention } : {}),
        // In its place and with its time where it says the same.
        ...(told && conditions && !says(heldCondition(backup), told.verdict) ? { conditions } : {}),
      },
      told?.unless,
    )
  })
  // The verdict first: once the snapshot goes nobody can tell any more why.
  if (strategy?.type !== 'snapshot') return writes
  const byName = new Map(snapshots.map(each => [each.snapshot.metadata.name, each]))
  const deletions = histories.flatMap(({ target, plan }) =>
    plan.goes.flatMap(({ id, message: because }): readonly Group[] => {
      const { snapshot, backup } = byName.get(id) ?? {}
      if (!snapshot || snapshot.metadata.deletionTimestamp) return []
      // Its success is written first: once the snapshot is gone nobody could tell that it was ever ready.
      if (backup && !isFinal(backup.status?.phase)) return []
      const provided = { that: 'retention', target, keeping, now } as const
      const message = `VolumeSnapshot ${id} of ${target}: ${because}`
      return [
        pruning(target, id, deletion(snapshot, because, { provided }), {
          do: 'event',
          about: policy,
          type: 'Normal',
          reason: 'Pruned',
          message,
        }),
      ]
    }),
  )
  return [...writes, ...deletions]
}

/**
 * The Completed Backups that lie in the store as the policy names it now; those of an earlier backend are not in its list. Somebody may have
 * copied one: a run is one backup, however many objects tell of it, and a hold on any of them holds it.
 */
export function backupsInStore(runs: readonly RunView[], strategy: Pick<JobStrategyView, 'store'>): readonly Backup[] {
  const stored = objectsInStore(runs, strategy)
  const loudest = new Map(stored.toSorted((a, b) => voice(a) - voice(b)).map(backup => [backup.status?.run, backup]))
  return stored.length === loudest.size ? stored : [...loudest.values()]
}

/** The same with the copies of each. */
export function objectsInStore(runs: readonly RunView[], { store }: Pick<JobStrategyView, 'store'>): readonly Backup[] {
  return runs
    .map(({ backup }) => backup)
    .filter(
      ({ status }) =>
        status?.phase === 'Completed' &&
        status.snapshot === undefined &&
        status.run !== undefined &&
        status.store === store?.location,
    )
}

/**
 * Whose word on the hold of their run counts: who holds comes before who releases, and that one before who says nothing. Of those that say the
 * same a hold that is known needs nothing more to be done, and a release that is not known does.
 */
function voice(backup: Backup): number {
  const known = heldCondition(backup)
  if (asksForHold(backup)) return known?.status === 'True' ? 5 : 4
  if (isHeld(backup)) return 3
  if (isReleased(backup)) return known?.reason === 'HoldReleased' ? 1 : 2
  return 0
}

/** The runs in the bucket, as the Backup objects tell them. */
function storedRuns(backups: readonly Backup[], policy: BackupPolicy, now: Date): ReadonlyMap<string, RetentionRun[]> {
  const byTarget = Map.groupBy(backups, ({ status }) => status?.target ?? '')
  return new Map(
    [...byTarget].map(([target, some]) => {
      const sizes = judgeSizes(some.flatMap(sizedBackup), areAll(target, some, policy))
      return [target, some.map(backup => storedRun(backup, sizes.get(backup.status?.run ?? ''), now))]
    }),
  )
}

/** Whether the bucket is known to hold these of the target and no others. */
function areAll(target: string, backups: readonly Backup[], { status }: BackupPolicy): boolean {
  const digest = status?.targets?.find(({ name }) => name === target)?.digest
  return digest !== undefined && digest === runsDigest(backups.flatMap(each => each.status?.run ?? []))
}

/** None where the words of its mover are lost: the manifest has the size, and the mover that deletes judges by it. */
export function sizedBackup(backup: Backup): readonly SizedRun[] {
  const { run = '', bytes, storedBytes, suspect = false, sizeCheck } = backup.status ?? {}
  if (bytes === undefined && storedBytes === undefined) return []
  return [
    {
      id: run,
      slot: dueTime(backup) ?? new Date(0),
      bytes,
      storedBytes,
      accepted: isAccepted(backup),
      suspect,
      unchecked: sizeCheck === 'unchecked',
    },
  ]
}

function storedRun(backup: Backup, size: SizeVerdict | undefined, now: Date): RetentionRun {
  const { spec, status } = backup
  const slot = dueTime(backup) ?? new Date(0)
  return {
    id: status?.run ?? '',
    backup: backup.metadata.name,
    slot,
    good: true,
    ahead: isAhead(slot, now),
    held: isHeld(backup),
    trigger: spec.slot === undefined ? 'on-demand' : 'scheduled',
    suspect: size === undefined ? status?.suspect === true && !isAccepted(backup) : size === 'suspect',
    unchecked: size === 'unchecked',
  }
}

/** The snapshots of each claim, as retention sees them. */
export function snapshotRuns(
  snapshots: readonly Pick<SnapshotView, 'snapshot' | 'backup' | 'parent' | 'volume'>[],
  now: Date,
): ReadonlyMap<string, RetentionRun[]> {
  return collect(
    snapshots
      .filter(({ snapshot }) => isGenuine(snapshot))
      .map(({ snapshot, backup, parent, volume }) => ({
        target: targetOf(snapshot, backup),
        run: snapshotRun({ snapshot, backup, parent, volume }, now),
      })),
  )
}

/**
 * How retention sees a VolumeSnapshot: only a ready one that nobody deletes is good, and only one that has a Backup counts, since anybody
 * who may create snapshots can give them our labels; one that was Skipped tells of no snapshot. One whose Backup is Completed was ready: where
 * it is so no more, its content is gone or broken, as the snapshot controller says of it then, and it is a backup without its data; so it is
 * where somebody made a snapshot anew under its name. The order is by our own clock, and that of the storage system decides only between those
 * of one second. That it was made last is told by the API server alone.
 */
export function snapshotRun(
  { snapshot, backup, parent, volume }: Pick<SnapshotView, 'snapshot' | 'backup' | 'parent' | 'volume'>,
  now: Date,
): RetentionRun {
  const { metadata, status } = snapshot
  const due = backup ? timeOf(backup.spec.slot) : slotOfText(metadata.labels?.[label.slot])
  const made = timeOf(metadata.creationTimestamp)
  const slot = due ?? made ?? new Date(0)
  const taken = timeOf(status?.creationTime)
  const ready = status?.readyToUse === true
  const told = backup?.status?.phase === 'Completed'
  const data = told && isCutAnew(snapshot, backup) ? 'replaced' : ready ? 'confirmed' : told ? 'missing' : undefined
  return {
    id: metadata.name,
    ...(backup ? { backup: backup.metadata.name } : {}),
    slot,
    ...(taken ? { taken } : {}),
    ...(made ? { made } : {}),
    ...(volume === undefined ? {} : { volume }),
    trigger: due === undefined ? 'on-demand' : 'scheduled',
    ahead: isAhead(slot, now),
    untold: backup === undefined || backup.status?.phase === 'Skipped',
    good: data !== undefined && !metadata.deletionTimestamp && backup?.status?.phase !== 'Failed',
    ...(data ? { data } : {}),
    held: isHeldSnapshot(snapshot) || isHeld(backup, parent),
    // One that goes on itself may be what the parent waits for.
    ...(told && parent && isUnfinished(parent) ? { part: parent.metadata.name } : {}),
  }
}

/**
 * Whether it was cut at another time than its Backup says: an export that was applied again makes one of today's data. One that a restore has
 * made of a content has the time that the driver gives it, which may be none, or that of a copy.
 */
function isCutAnew({ spec, status }: VolumeSnapshot, backup: Backup): boolean {
  const [cut, told] = [timeOf(status?.creationTime), timeOf(backup.status?.takenTime)]
  if (spec.source.persistentVolumeClaimName === undefined || !cut || !told) return false
  return rfc3339(cut) !== rfc3339(told)
}

/** Undefined where nobody has ever asked. */
function heldSnapshot(
  backup: Backup,
  { snapshot, parent }: Pick<SnapshotView, 'snapshot' | 'parent'>,
): Told | undefined {
  const { name } = snapshot.metadata
  if (isHeldSnapshot(snapshot)) {
    const ofParent = parent && asksForHold(parent) ? `of Backup ${parent.metadata.name} ` : ''
    const message = `VolumeSnapshot ${name} is labelled ${label.hold}=true: no retention deletes it, whatever becomes of this object. Only the annotation ${annotation.hold}=false ${ofParent}releases it`
    return { verdict: { type: 'Held', status: 'True', reason: 'Held', message } }
  }
  if (heldCondition(backup) === undefined) return undefined
  const message = `VolumeSnapshot ${name} has no label ${label.hold}: retention treats it like any other`
  return { verdict: { type: 'Held', status: 'False', reason: 'HoldReleased', message } }
}

/**
 * What a Backup over several targets says, which has no snapshot of its own; undefined where nobody has ever asked, or what is asked is about to
 * be done.
 */
function heldTargets(backup: Backup, ofTargets: readonly HeldView[]): Told | undefined {
  const known = heldCondition(backup)
  if (!asksForHold(backup) && known === undefined) return undefined
  // What others have labelled says nothing of a hold that was let go.
  if (isReleased(backup) && known?.status === 'False') return undefined
  // Of a snapshot whose Backup is gone this condition alone tells that the label is of this hold: it outlasts each label that is to go.
  if (ofTargets.some(each => labelToSet(each) !== undefined)) return undefined
  if (ofTargets.every(({ snapshot }) => isHeldSnapshot(snapshot))) {
    const message = `all VolumeSnapshots of its targets are labelled ${label.hold}=true: no retention deletes them, whatever becomes of this object. Only the annotation ${annotation.hold}=false releases them`
    return { verdict: { type: 'Held', status: 'True', reason: 'Held', message } }
  }
  const message = `not all VolumeSnapshots of its targets have the label ${label.hold}: retention treats those without it like any other`
  return { verdict: { type: 'Held', status: 'False', reason: 'HoldReleased', message } }
}

function says(condition: Condition | undefined, { status, reason, message }: Verdict): boolean {
  return condition?.status === status && condition.reason === reason && condition.message === message
}

/** Puts the holds of Backups on their snapshots, and takes those away that somebody took back (docs/design.md R28). */
export function planHolds(snapshots: readonly SnapshotView[]): readonly Group[] {
  return snapshots.flatMap((each): readonly Group[] => {
    const { name, uid = '', deletionTimestamp } = each.snapshot.metadata
    const value = labelToSet(each)
    if (deletionTimestamp || value === undefined) return []
    const action = { do: 'label', kind: 'VolumeSnapshot', name, uid, labels: { [label.hold]: value } } as const
    return [alone(`hold/${name}`, action)]
  })
}

type HeldView = Pick<SnapshotView, 'snapshot' | 'backup' | 'parent'>

/** Null: it is to be taken away; undefined: it is as it should be. */
function labelToSet({ snapshot, backup, parent }: HeldView): 'true' | null | undefined {
  // Where its Backup is gone no object of its own remembers the hold: what is known of the parent's is put where the data are.
  const isWanted = backup ? asksForHold(backup, parent) : isHeld(undefined, parent)
  if (!isHeldSnapshot(snapshot)) return isWanted ? 'true' : undefined
  // There the label may also be of a hold of its own: it goes only with a hold of the parent that is known.
  const isLetGo =
    isReleased(backup, parent) && (backup !== undefined || (parent && heldCondition(parent)?.status === 'True'))
  return isLetGo ? null : undefined
}

function collect(
  items: readonly { readonly target: string; readonly run: RetentionRun }[],
): ReadonlyMap<string, RetentionRun[]> {
  const byTarget = Map.groupBy(items, ({ target }) => target)
  return new Map([...byTarget].map(([target, some]) => [target, some.map(({ run }) => run)]))
}
