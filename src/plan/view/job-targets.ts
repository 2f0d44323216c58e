// What a policy with strategy job backs up: its explicit command, which is one target, or each workload that its preset has found.
import type { Reason } from '../../api/conditions.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { JobStrategy, PresetName } from '../../api/kinds/backup-policy-job.ts'
import type { TargetStatus } from '../../api/kinds/backup-policy-status.ts'
import { presetCommand } from '../../api/mover/pod.ts'
import { commandTarget } from '../../api/names.ts'
import type { DumpSource } from '../../resources/mover-pod.ts'
import { environmentOf, volumesOf } from '../../presets/dump-environment.ts'
import type { ResolvedTarget, Target } from '../../presets/preset.ts'
import { presets } from '../../presets/presets.ts'
import { presetOf } from './preset.ts'
import type { PolicyWorld } from './world.ts'

/** The status has room for all of them, which its marks need, beside those that are gone. */
export const mostTargets = 128
/** So many of those that are more are named. */
const mostSurplus = 16

/** Why no backup can be made of a target now. */
export type TargetProblem = { readonly reason: Reason; readonly message: string }

/**
 * `source`: what the container of its dump is given; `notes`: what was assumed there, in sentences. `problem`: it cannot be backed up now, and what stands of it goes on. `goneSince`: it was a
 * target, and is not found since then.
 */
export type JobTarget =
  | { readonly name: string; readonly source: DumpSource; readonly notes?: readonly string[] }
  | { readonly name: string; readonly problem: TargetProblem; readonly goneSince?: string }

/**
 * The targets, in the order of their names.
 * @param standing names of targets that something else tells of: CronJobs of ours that stand, and what the folder has that was not read yet
 */
export function jobTargets(
  policy: BackupPolicy,
  found: PolicyWorld['presetTargets'],
  standing: readonly string[] = [],
): readonly JobTarget[] {
  const { type, job } = policy.spec.strategy
  const preset = presetOf(policy)
  if (type !== 'job' || !job) return []
  if (preset === undefined) return [{ name: commandTarget, source: commandSource(job) }]
  const told =
    found?.targets.toSorted((a, b) => (a.name < b.name ? -1 : 1)).map(each => targetOf(job, preset, each)) ?? []
  const surplus = told.slice(mostTargets, mostTargets + mostSurplus)
  const targets = [...told.slice(0, mostTargets), ...surplus.map(target => oneTooMany(target, told.length))]
  const present = new Set(targets.map(({ name }) => name))
  return [...targets, ...absentTargets(policy, found, standing).filter(({ name }) => !present.has(name))]
}

/** As the policy states it. */
function commandSource(job: JobStrategy): DumpSource {
  const { volumes, ...rest } = job
  return volumes ? { ...rest, ...volumesOf(volumes) } : rest
}

function targetOf(job: JobStrategy, preset: PresetName, found: Target): JobTarget {
  const { name } = found
  if (name === commandTarget) return { name, problem: reserved }
  if (found.is === 'resolved') return { name, source: sourceOf(job, preset, found), notes: found.notes }
  const [{ reason }] = found.problems
  return { name, problem: { reason, message: found.problems.map(({ message }) => message).join('; ') } }
}

/** What the policy states wins over what was inferred: also of a variable of the same name the last counts. */
function sourceOf(
  { volumes, ...job }: JobStrategy,
  name: PresetName,
  { image, imagePullSecrets, connection }: ResolvedTarget,
): DumpSource {
  const preset = presets[name]
  const { env, ...files } = environmentOf(preset, connection, { ...job, volumes })
  // Those of the target open the registry of its image; another image is the policy's own affair.
  const ofTarget = job.image === undefined ? imagePullSecrets.map(secret => ({ name: secret })) : undefined
  return {
    ...job,
    ...files,
    image,
    imagePullSecrets: job.imagePullSecrets ?? ofTarget,
    command: [...presetCommand(preset.script, 'dump')],
    script: { programs: preset.programs },
    env: [...env, ...(job.env ?? [])] as DumpSource['env'],
  }
}

/** Whether it was a target, and is none now. */
export function isNotFound(target: JobTarget): boolean {
  return 'problem' in target && target.problem.reason === 'TargetNotFound'
}

function oneTooMany({ name }: JobTarget, all: number): JobTarget {
  const message = `the selector matches ${all} workloads, and of these the first ${mostTargets} by name are backed up; use several policies`
  return { name, problem: { reason: 'TooManyTargets', message } }
}

/**
 * Those of before that are not found now: a pod that restarts is away for a moment, and with its CronJob the run that goes on would go, too. Of
 * those whose CronJob is to go the status has no mark any more. A status may be lost, and a CronJob still tells of its target. What a lost cluster
 * has left is a target before its workload is there: Backups of it are what this is brought back from.
 */
function absentTargets(
  { status }: BackupPolicy,
  found: PolicyWorld['presetTargets'],
  standing: readonly string[],
): readonly JobTarget[] {
  const isUnknown = found === undefined
  const all = status?.targets ?? []
  const before = all.filter(({ accountedUntil }) => accountedUntil !== undefined)
  const told = new Set(all.map(({ name }) => name))
  const untold = standing.filter(name => !told.has(name)).map(name => ({ name, reason: '' }))
  return [...before, ...untold].map(({ name, goneSince, reason }: Before): JobTarget => {
    if (isUnknown && reason === notFound.reason) return { name, problem: notFound, ...since(goneSince) }
    if (isUnknown) return { name, problem: unknownTargets }
    if (found.withoutPods.includes(name)) return { name, problem: noPods }
    return { name, problem: notFound, ...since(goneSince) }
  })
}

type Before = Pick<TargetStatus, 'name' | 'reason' | 'goneSince'>

function since(goneSince: string | undefined): { readonly goneSince?: string } {
  return goneSince === undefined ? {} : { goneSince }
}

const reserved: TargetProblem = {
  reason: 'NameTaken',
  message: `a workload of the name ${commandTarget} cannot be backed up by a preset: explicit commands have that name`,
}

/** Also of what is no target for long, and has backups. */
export const notFound = {
  reason: 'TargetNotFound',
  message: 'the policy no longer selects it; its backups stay',
} as const satisfies TargetProblem

/** Its CronJob stays: what is scaled to zero by night has the same slots by day. */
const noPods: TargetProblem = {
  reason: 'NoPods',
  message: 'its workload has no pod now, and no backup can be made of it until it has one; scale it up',
}

/** Also of the whole policy. */
export const unknownTargets: TargetProblem = {
  reason: 'TargetsUnknown',
  message:
    'the API server does not say which workloads the selector matches; what stands goes on, and it is asked again',
}
