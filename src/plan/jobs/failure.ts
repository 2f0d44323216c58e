// Why a run failed: the most telling of what its command, its mover, its pod and its Job have left behind.
import type { Reason } from '../../api/conditions.ts'
import type { Job, JobEvent, Pod } from '../../api/kubernetes.ts'
import type { MoverMessage } from '../../api/mover/message.ts'
import { commandWords } from './command-words.ts'
import { creationObstacle, hiddenObstacle, type LastWords, waitingObstacle } from './obstacles.ts'
import { commandStatusOf, statusOf } from './pods.ts'
import { trueCondition } from './true-condition.ts'
import { redact, tail } from '../core/redact.ts'
import { addSeconds, timeOf } from '../../schedule/times.ts'

export function failureOf(
  job: Job,
  pod: Pod | undefined,
  moverMessage: MoverMessage | undefined,
  events: readonly JobEvent[],
  before: LastWords | undefined,
) {
  const command = pod && commandStatusOf(pod)
  const ended = command?.state?.terminated
  const mover = pod && statusOf(pod, 'mover')?.state?.terminated
  const words = ended && ended.exitCode !== 0 && ended.message ? commandWords(ended.message) : undefined
  const stderr = words && tail(redact(words), 4096)
  const exitCode = pod && isKilledByDeadline(pod, job) ? undefined : moverMessage?.sourceStatus
  const detail = {
    ...(exitCode === undefined ? {} : { exitCode }),
    ...(stderr ? { stderr } : {}),
  }
  const hidden = hiddenObstacle(before)
  const because = (reason: Reason, message: string) => ({ reason, message: redact(message), ...detail })
  const outOfTime = (message: string) =>
    hidden ? because(hidden.reason, `${message}; before that, ${hidden.message}`) : because('DeadlineExceeded', message)

  if (ended?.reason === 'OOMKilled')
    return because(
      'OOMKilled',
      `the command used more memory than its limit; raise ${command?.name === 'restore' ? 'into' : 'strategy.job'}.resources.limits.memory`,
    )
  if (mover?.reason === 'OOMKilled')
    return because('OOMKilled', 'the mover used more memory than its limit; this is a defect, please report it')
  if (pod?.status?.reason === 'Evicted') return because('Evicted', pod.status.message ?? 'the pod was evicted')
  if (pod?.status?.reason === 'DeadlineExceeded') {
    const seconds = job.spec.template.spec.activeDeadlineSeconds
    return outOfTime(`the attempt did not end within activeDeadlineSeconds (${seconds} s)`)
  }
  if (moverMessage?.reason === 'SourceNotStarted') {
    const obstacle = pod && waitingObstacle(pod)
    if (obstacle) return because(obstacle.reason, obstacle.message)
    if (hidden) return because(hidden.reason, hidden.message)
  }
  if (moverMessage?.reason)
    return because(moverMessage.reason, moverMessage.message ?? 'the mover gave no further words')
  if (!pod) {
    const obstacle = creationObstacle(events)
    if (obstacle) return because(obstacle.reason, obstacle.message)
    if (hidden)
      return because(hidden.reason, `the Job ended before a pod could be made; before that, ${hidden.message}`)
  }
  const condition = trueCondition(job, 'Failed')
  if (condition?.reason === 'DeadlineExceeded')
    return outOfTime(`the run did not end within the deadline of its Job (${job.spec.activeDeadlineSeconds} s)`)
  if (mover) return because('MoverDied', `the mover ended with exit code ${mover.exitCode} and said nothing`)
  return because('JobFailed', condition?.message ?? 'the Job failed and no pod says why')
}

/**
 * The exit status is then that of the kubelet's signal, and the mover sees it or does not, before its own end. A command that ended before
 * the deadline, which came while the mover was cleaning up, has a status of its own.
 */
function isKilledByDeadline(pod: Pod, job: Job): boolean {
  if (pod.status?.reason !== 'DeadlineExceeded') return false
  const ended = timeOf(commandStatusOf(pod)?.state?.terminated?.finishedAt)
  const start = timeOf(pod.status.startTime)
  const seconds = job.spec.template.spec.activeDeadlineSeconds
  return !ended || !start || seconds === undefined || ended >= addSeconds(start, seconds)
}
