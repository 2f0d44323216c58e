// The targets of a policy as its status shows them: whether each can be backed up.
import type { StartStatus, StoreStatus, TargetStatus } from '../../api/kinds/backup-policy-status.ts'
import type { Reason } from '../../api/conditions.ts'
import type { Readiness } from '../view/selection.ts'
import type { JobStrategyView, SnapshotStrategyView } from '../view/view.ts'

export type Target = Pick<TargetStatus, 'name' | 'ready' | 'reason' | 'message'> & { readonly readiness?: Readiness }

export function targetsOf(
  strategy: JobStrategyView | SnapshotStrategyView,
  store: StoreStatus | undefined,
  start: StartStatus | undefined,
): readonly Target[] {
  const worst = store?.result === 'Usable' && start?.result === 'NotStartable' ? start : store
  return strategy.type === 'job' ? commandTargets(strategy, worst) : claimTargets(strategy)
}

function commandTargets({ targets }: JobStrategyView, said: StoreStatus | StartStatus | undefined): readonly Target[] {
  const ready = said?.result === 'Usable'
  return targets.map(({ name }) => ({
    name,
    ready,
    reason: said?.reason ?? 'Probing',
    message: said?.message ?? '',
  }))
}

/** Without the snapshot CRDs nothing can be said of any. */
function claimTargets({ targets }: SnapshotStrategyView): readonly Target[] {
  return targets.flatMap(({ name, readiness }) => {
    if (!readiness) return []
    const { ready } = readiness
    return readiness.ready
      ? {
          name,
          ready,
          reason: 'Ready',
          message: `snapshots are made with VolumeSnapshotClass ${readiness.className}`,
          readiness,
        }
      : { name, ready, reason: readiness.reason, message: readiness.message.slice(0, 1024), readiness }
  })
}

/** One reason for several targets. */
export function commonReason(targets: readonly Target[]): Reason {
  const [only, ...others] = new Set(targets.map(({ reason }) => reason))
  return others.length === 0 && only ? (only as Reason) : 'SeveralTargetsNotReady'
}
