// Plans as tests read them: what is written, in its order, where nothing is refused.
import type { Backup, BackupStatus } from '../../src/api/kinds/backup.ts'
import type { BackupPolicy } from '../../src/api/kinds/backup-policy.ts'
import type { BackupPolicyStatus } from '../../src/api/kinds/backup-policy-status.ts'
import type { CronJob, Job, JobEvent, Pod, VolumeSnapshot } from '../../src/api/kubernetes.ts'
import { label } from '../../src/api/labels.ts'
import { commandTarget } from '../../src/api/names.ts'
import {
  nothingUndone,
  type Action,
  type Group,
  type Refusals,
  type Undone,
  type Written,
} from '../../src/plan/core/actions.ts'
import { planPolicy as plan } from '../../src/plan/policy/policy.ts'
import { planCatalog as readCatalog } from '../../src/plan/history/catalog.ts'
import { marksOf } from '../../src/plan/runs/marks.ts'
import { judgeJob } from '../../src/plan/jobs/verdict.ts'
import { planBackup as planRun, type CatalogKnowledge } from '../../src/plan/runs/run.ts'
import { viewOf } from '../../src/plan/view/view.ts'
import type { PolicyWorld } from '../../src/plan/view/world.ts'
import { policy, world as around } from './world.ts'

export function planPolicy(world: PolicyWorld, now: Date, refused: Refusals = new Map(), undone: Partial<Undone> = {}) {
  const { groups, conclude, wakeAt } = plan(world, now)
  const conclusion = conclude(refused, { ...nothingUndone, ...undone })
  return { groups, wakeAt, actions: [...actionsOf(groups), ...conclusion] }
}

export function actionsOf(groups: readonly Group[]): readonly Action[] {
  return groups.flatMap(({ actions }) => actions)
}

/** An action in two or three words: `create run Job`, `status Backup`, `delete VolumeSnapshot`, `event`. */
export function does(action: Action): string {
  switch (action.do) {
    case 'event':
      return 'event'
    case 'delete':
    case 'patch-status':
    case 'label':
      return `${action.do === 'patch-status' ? 'patch' : action.do} ${action.kind}`
    case 'write-status':
      return `status ${action.object.kind}`
    case 'replace':
      return `replace ${action.object.kind}`
    case 'create':
      return `create ${kindOf(action.object)}`
  }
}

function kindOf({ kind, metadata }: Written): string {
  if (kind === 'Job') return `${metadata.labels?.[label.role]} Job`
  if (kind === 'Backup') return metadata.ownerReferences ? 'child Backup' : 'Backup'
  return kind
}

type Of<Do extends Action['do'], Object = Written> = Extract<Action, { readonly do: Do }> & { readonly object: Object }
type Creation = Of<'create', Backup> & {
  readonly name: string
  readonly target: string | undefined
  readonly slot: Date
}
type BackupWrite = Of<'write-status', Backup> & { readonly backup: Backup; readonly status: BackupStatus }
type PolicyWrite = Of<'write-status', BackupPolicy> & { readonly status: BackupPolicyStatus }
type Deletion = Extract<Action, { readonly do: 'delete' }>
type Words = {
  readonly event: Extract<Action, { readonly do: 'event' }>
  readonly 'create CronJob': Of<'create', CronJob>
  readonly 'create run Job': Of<'create', Job>
  readonly 'create probe Job': Of<'create', Job>
  readonly 'create start Job': Of<'create', Job>
  readonly 'create catalog Job': Of<'create', Job>
  readonly 'create hold Job': Of<'create', Job>
  readonly 'create Backup': Creation
  readonly 'create child Backup': Creation
  readonly 'create VolumeSnapshot': Of<'create', VolumeSnapshot>
  readonly 'replace CronJob': Of<'replace', CronJob>
  readonly 'patch CronJob': Extract<Action, { readonly do: 'patch-status' }>
  readonly 'status Backup': BackupWrite
  readonly 'status BackupPolicy': PolicyWrite
  readonly 'delete Backup': Deletion
  readonly 'delete CronJob': Deletion
  readonly 'delete Job': Deletion
  readonly 'delete VolumeSnapshot': Deletion
  readonly 'label VolumeSnapshot': Extract<Action, { readonly do: 'label' }>
}

/** The actions of one kind, with what tests ask of their objects. */
export function only<Word extends keyof Words>(actions: readonly Action[], word: Word): readonly Words[Word][] {
  const found = actions.filter(action => does(action) === word).map(action => ({ ...action, ...read(action) }))
  return found as unknown as readonly Words[Word][]
}

function read(action: Action): object {
  if (!('object' in action)) return {}
  const { object } = action
  if (action.do === 'write-status') return { backup: object, status: (object as Backup).status }
  if (object.kind !== 'Backup') return {}
  const { target, slot } = (object as Backup).spec
  return { name: object.metadata.name, target, slot: new Date(slot ?? Number.NaN) }
}

/** The plan of one Backup in a world, of which it is a part or not. */
export function planBackup(world: PolicyWorld, of: Backup, catalog: CatalogKnowledge | undefined, now: Date) {
  const rest = world.backups.filter(({ metadata }) => metadata.name !== of.metadata.name)
  const view = viewOf({ ...world, backups: [...rest, of] })
  const run = view.runs.find(({ backup }) => backup === of)
  if (!run) throw new TypeError('the view lacks a run of its world')
  const { groups, ...plan } = planRun(view, run, catalog, marksOf(world.backups), now)
  return { ...plan, actions: actionsOf(groups) }
}

export function planCatalog(world: PolicyWorld, now: Date) {
  const view = viewOf(world)
  if (!view.policy || view.strategy.type !== 'job') throw new TypeError('only a policy with strategy job has a catalog')
  const { policy: of, strategy } = view
  const { groups, ...plan } = readCatalog({ ...view, policy: of, strategy, target: commandTarget }, now)
  return { ...plan, actions: actionsOf(groups) }
}

/** A Job as it is judged: with its own of all these pods and warnings. */
export function judge(
  job: Job,
  pods: readonly Pod[],
  jobEvents: readonly JobEvent[],
  before: Parameters<typeof judgeJob>[1],
  now: Date,
) {
  const { runJobs, probes, pages } = viewOf(around(policy(), { jobs: [job], pods, jobEvents }))
  const [view] = [...runJobs, ...probes, ...pages]
  if (!view) throw new TypeError('the view lacks a Job of its world')
  return judgeJob(view, before, now)
}
