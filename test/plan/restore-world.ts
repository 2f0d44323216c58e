// Restores as the API server gives them, with the Jobs that the operator made for them, and their plans as tests read them.
import { restoreSpec, type Restore, type RestoreStatus } from '../../src/api/kinds/restore.ts'
import type { Job, ObjectMeta, Pod } from '../../src/api/kubernetes.ts'
import type { MoverMessage, ResolvedBackup } from '../../src/api/mover/message.ts'
import { moverEnvironment } from '../../src/api/mover/pod.ts'
import { parseMoverTask, type MoverTask } from '../../src/api/mover/task.ts'
import { resolveJobName, restoreJobName } from '../../src/api/names.ts'
import { nothingUndone, type Action, type Refusals, type Undone } from '../../src/plan/core/actions.ts'
import { planRestore as plan } from '../../src/plan/restore/plan.ts'
import type { RestoreStep, RestoreWorld } from '../../src/plan/restore/world.ts'
import { storeLocation } from '../../src/resources/desired-state.ts'
import { annotation, label, restoreLabels } from '../../src/api/labels.ts'
import { actionsOf } from './planned.ts'
import { at, backend, controlledBy, job, namespace, pod, policy, saying, settings, stamp } from './world.ts'

/** What a person writes to have the newest backup back, by a command of his own. */
export const fromPolicy = {
  source: { policy: { name: 'nightly' } },
  into: { args: ['pg_restore', '-e', '-d', 'shop'] },
} as const

export function restore(
  spec: object = fromPolicy,
  more: { readonly metadata?: Partial<ObjectMeta>; readonly status?: RestoreStatus } = {},
): Restore {
  const metadata = { name: 'back', namespace, uid: 'uid-of-back', resourceVersion: '1', generation: 1 }
  return {
    apiVersion: 'backup.dev/v1alpha1',
    kind: 'Restore',
    metadata: { ...metadata, creationTimestamp: stamp(at('03:00')), ...more.metadata },
    spec: restoreSpec.parse(spec),
    ...(more.status ? { status: more.status } : {}),
  }
}

export function restoreWorld(of: Restore | undefined, more: Partial<RestoreWorld> = {}): RestoreWorld {
  const nothing = { backup: undefined, policy: policy(), workloads: undefined, jobs: [], pods: [], jobEvents: [] }
  return { namespace, name: 'back', settings, restore: of, ...nothing, ...more }
}

/** The Job of a step, as the caches keep it. */
export function jobOf(of: Restore, step: RestoreStep, status: Job['status'] = { startTime: stamp(at('03:00')) }): Job {
  const { name, uid = '' } = of.metadata
  return job(step === 'resolve' ? resolveJobName(name, uid) : restoreJobName(name, uid), step, {
    metadata: {
      creationTimestamp: stamp(at('03:00')),
      labels: { ...restoreLabels(name), [label.role]: step },
      annotations: { [annotation.store]: storeLocation({ ...backend, region: 'us-east-1' }) },
      ownerReferences: [controlledBy(of)],
    },
    status,
  })
}

/** A pod of it whose mover has said this. */
export function podSaying(of: Job, message: MoverMessage, attempt = 1, exitCode?: number): Pod {
  const phase = message.phase === 'failed' ? 'Failed' : 'Succeeded'
  return pod(of, attempt, { status: { phase, containerStatuses: [saying(message, exitCode)] } })
}

export const resolved: ResolvedBackup = {
  run: 'backup-nightly-29461320',
  target: 'command',
  slot: at('02:00').getTime(),
  artifacts: 1,
  bytes: 4096,
  storedBytes: 1024,
  pinned: true,
}

/** What the status says once the backup is chosen. */
export const chosen: NonNullable<RestoreStatus['backup']> = {
  run: resolved.run,
  target: 'command',
  slot: stamp(at('02:00')),
  store: storeLocation({ ...backend, region: 'us-east-1' }),
  artifacts: 1,
  bytes: 4096,
  storedBytes: 1024,
}

export const resolving: RestoreStatus = {
  phase: 'Resolving',
  reason: 'Resolving',
  message: '',
  startTime: stamp(at('03:00')),
}
export const restoring: RestoreStatus = { ...resolving, phase: 'Restoring', reason: 'PodPending', backup: chosen }

/** What a plan does, and the status with which it ends, where that differs. */
export function planRestore(
  world: RestoreWorld,
  now: Date,
  refused: Refusals = new Map(),
  undone: Partial<Undone> = {},
) {
  const { groups, conclude, wakeAt } = plan(world, now)
  const conclusion = conclude(refused, { ...nothingUndone, ...undone })
  const written = conclusion.find(action => action.do === 'write-status')
  return {
    groups,
    wakeAt,
    conclusion,
    actions: [...actionsOf(groups), ...conclusion],
    status: written && (written.object as Restore).status,
    unless: written?.unless,
    created: actionsOf(groups).flatMap(created),
  }
}

function created(action: Action): readonly Job[] {
  return action.do === 'create' ? [action.object as Job] : []
}

export function taskOf(of: Job | undefined): MoverTask {
  const mover = of?.spec.template.spec.containers.find(({ name }) => name === 'mover')
  return parseMoverTask(mover?.env?.find(({ name }) => name === moverEnvironment.task)?.value ?? '')
}
