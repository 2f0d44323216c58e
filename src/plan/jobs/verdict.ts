// What a Job's objects say about its run. A mover's committed message decides success, whatever else is seen, unless another
// attempt has proved that manifest to be no backup (docs/design.md R1).
import type { Reason } from '../../api/conditions.ts'
import type { Job, Pod } from '../../api/kubernetes.ts'
import { annotation, label } from '../../api/labels.ts'
import type { MoverMessage } from '../../api/mover/message.ts'
import { isPermanent } from '../../api/mover/reasons.ts'
import { failureOf } from './failure.ts'
import { attemptsOf, hiddenObstacle, obstacleOf, type LastWords, waitingObstacle } from './obstacles.ts'
import { commandStatusOf, committedMessageOf, isOver, moverMessageOf, statusOf } from './pods.ts'
import { trueCondition } from './true-condition.ts'
import { redact } from '../core/redact.ts'
import { isRun } from '../view/chain.ts'
import type { JobView } from '../view/view.ts'
import { addSeconds, earliest, latest, timeOf } from '../../schedule/times.ts'

/** How long a failed attempt whose other container cannot start may hold the run up before the Job is deleted. Seconds. */
const stuckAttemptSeconds = 30
/** How long a state that no waiting cures (image, configuration, pod security) may last. Seconds. */
const hopelessSeconds = 300
/** A Job that its controller has not ended this long after its own deadline is on a lost node. Seconds (docs/design.md R1). */
const lostJobSeconds = 600

export type JobRun = {
  readonly phase: 'Pending' | 'Running' | 'Completed' | 'Failed'
  readonly reason: Reason
  readonly message: string
  /** The decisive, or else the newest, message of a mover. */
  readonly moverMessage: MoverMessage | undefined
  readonly startTime: Date | undefined
  readonly endTime: Date | undefined
  readonly attempts: number
  /** The pod of the newest attempt. */
  readonly pod?: string
  readonly exitCode?: number
  readonly stderr?: string
  /** When to look again, if nothing changes. */
  readonly wakeAt?: Date
}

/**
 * Judges a Job by itself, its pods and the warnings about it.
 * @param before what was said of the run so far: what Kubernetes shows only for a while is remembered there.
 */
export function judgeJob({ job, pods, warnings }: JobView, before: LastWords | undefined, now: Date): JobRun {
  const startTime = timeOf(job.status?.startTime ?? job.metadata.creationTimestamp)
  const attempts = attemptsOf(pods, before)
  const pod = pods.at(-1)?.metadata.name ?? before?.pod
  const base = { startTime, attempts, ...(pod === undefined ? {} : { pod }) } as const
  const committed = committedMessageOf(pods)
  if (committed)
    return {
      ...base,
      phase: 'Completed',
      reason: 'Completed',
      message: committed.suspect
        ? `the backup is complete, but far smaller than the largest good one; look at it: it counts once it has the annotation ${annotation.accepted}=true`
        : committed.sizeCheck === 'unchecked'
          ? 'the backup is complete, but its size could be compared with no other when it was made; it counts for retention once it can be, or is accepted'
          : 'the backup is complete',
      moverMessage: committed,
      endTime: endOf(committed, now),
    }

  // Its pod, which another container may keep from ending, does not matter (F76).
  const done = pods.map(moverMessageOf).find(message => message?.phase === 'done')
  if (done)
    return {
      ...base,
      phase: 'Completed',
      reason: 'Completed',
      message: 'the task is done',
      moverMessage: done,
      endTime: endOf(done, now),
    }
  const newest = pods.at(-1)
  const moverMessage = newest && moverMessageOf(newest)
  const complete = conditionTime(job, 'Complete')
  // The mover ends with 0 only after its manifest is written, so that a complete Job is proof even when its message is lost.
  if (complete) {
    const message = 'the backup is complete; what its mover said of it is lost, so that sizes are not known here'
    return { ...base, phase: 'Completed', reason: 'Completed', message, moverMessage: undefined, endTime: complete }
  }
  // Not at FailureTarget: until its pods have ended a mover may still commit.
  const failed = conditionTime(job, 'Failed')
  if (failed)
    return {
      ...base,
      ...failureOf(job, newest, moverMessage, warnings, before),
      phase: 'Failed',
      moverMessage,
      endTime: failed,
    }

  const deadline = lostAt(job)
  if (deadline && now >= deadline && job.spec.suspend) {
    const message = `Job ${job.metadata.name} was suspended until its deadline, and was deleted${soThat(job)}`
    return { ...base, phase: 'Failed', reason: 'JobSuspended', message, moverMessage, endTime: now }
  }
  if (deadline && now >= deadline) {
    const message = `the Job did not end long after its deadline; its node is probably lost. The Job was deleted${soThat(job)}`
    return { ...base, phase: 'Failed', reason: 'DeadlineExceeded', message, moverMessage, endTime: now }
  }
  const stuck = newest && stuckSince(newest)
  const stuckUntil = stuck && addSeconds(stuck, stuckAttemptSeconds)
  if (stuckUntil && now >= stuckUntil)
    return {
      ...base,
      ...failureOf(job, newest, moverMessage, warnings, before),
      phase: 'Failed',
      moverMessage,
      endTime: now,
    }

  // A pod that its deadline has ended no longer shows what kept it, and its Job ends a moment later.
  const over = newest === undefined || isOver(newest)
  const obstacle = obstacleOf(job, pods, attempts, warnings) ?? (over ? hiddenObstacle(before) : undefined)
  if (obstacle) {
    const hopeless = obstacle.hopeless && obstacle.since ? addSeconds(obstacle.since, hopelessSeconds) : undefined
    const { reason } = obstacle
    const message = redact(obstacle.message)
    if (hopeless && now >= hopeless) return { ...base, phase: 'Failed', reason, message, moverMessage, endTime: now }
    return {
      ...base,
      phase: 'Pending',
      reason,
      message,
      moverMessage,
      endTime: undefined,
      wakeAt: earliest(deadline, stuckUntil, hopeless),
    }
  }
  const running = newest?.status?.phase === 'Running'
  const attempt = attempts > 1 ? `, attempt ${attempts}` : ''
  const failedBefore = pods.map(moverMessageOf).findLast(message => message?.phase === 'failed')
  const because = failedBefore ? `; the attempt before failed (${failedBefore.reason}: ${failedBefore.message})` : ''
  return {
    ...base,
    phase: running ? 'Running' : 'Pending',
    reason: running ? 'Running' : 'PodPending',
    message: `${running ? beingDone(job) : 'waiting for the pod to start'}${attempt}${because}`,
    moverMessage,
    endTime: undefined,
    wakeAt: earliest(deadline, stuckUntil),
  }
}

function soThat(job: Job): string {
  return isRun(job) ? ' so that the schedule goes on' : ''
}

function beingDone({ metadata }: Job): string {
  const role = metadata.labels?.[label.role]
  if (role === 'resolve') return 'the backup is being looked for'
  return role === 'restore' ? 'the backup is being restored' : 'the backup is being made'
}

/** Whether the Job has reached its end, as its controller sees it. */
export function isFinished(job: Job): boolean {
  return conditionTime(job, 'Complete') !== undefined || conditionTime(job, 'Failed') !== undefined
}

/** When a Job that has not ended is given up. */
export function lostAt(job: Job): Date | undefined {
  const start = timeOf(job.status?.startTime ?? job.metadata.creationTimestamp)
  return start && addSeconds(start, (job.spec.activeDeadlineSeconds ?? 0) + lostJobSeconds)
}

/**
 * Since when the mover has ended with a failure in a pod that cannot end, because its other container never starts, or because one that is
 * not ours goes on (F76). One that is only slow to start (its image is being pulled) finds the mover gone and ends, and the Job tries again.
 */
function stuckSince(pod: Pod): Date | undefined {
  if (isOver(pod)) return undefined
  const ended = statusOf(pod, 'mover')?.state?.terminated
  if (!ended || ended.exitCode === 0) return undefined
  const command = commandStatusOf(pod)
  const state = command?.state
  const others = pod.status?.containerStatuses?.filter(({ name }) => name !== 'mover' && name !== command?.name) ?? []
  if (state === undefined || state.terminated)
    return others.some(other => other.state?.running)
      ? latest(timeOf(ended.finishedAt), timeOf(state?.terminated?.finishedAt))
      : undefined
  if (state.waiting === undefined) return undefined
  const reason = moverMessageOf(pod)?.reason
  const pointless = reason !== undefined && (isPermanent(reason) || reason === 'SourceNotStarted')
  return pointless || waitingObstacle(pod) ? timeOf(ended.finishedAt) : undefined
}

/** Since when a condition of the Job is true. */
export function conditionTime(job: Job, type: string): Date | undefined {
  const condition = trueCondition(job, type)
  return (
    condition &&
    (timeOf(condition.lastTransitionTime) ??
      timeOf(job.status?.completionTime) ??
      timeOf(job.metadata.creationTimestamp))
  )
}

/** When a run ended. The mover tells it by the clock of its node, which may be ahead of ours: what has happened is not in the future. */
export function endOf({ finishedAt }: { readonly finishedAt?: number }, now: Date): Date {
  return new Date(Math.min(finishedAt ?? now.getTime(), now.getTime()))
}
