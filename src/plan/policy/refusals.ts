// What the API server refuses, told where no more telling condition says it (docs/design.md R25).
import type { Reason } from '../../api/conditions.ts'
import type { Verdict } from '../core/conditions.ts'
import type { Refusal, Refusals } from '../core/actions.ts'
import { cronJobClockGroup, cronJobGroup } from './cron-job.ts'
import { dryStartGroup } from './dry-start.ts'
import { isGroup } from '../view/per-target.ts'
import { probeGroup } from './store-probe.ts'

/** More than so many are counted, not listed. */
const listed = 5

/** Ready tells of the first three, a run that cannot start tells so itself, and RetentionBlocked tells of what cannot be deleted. */
export function refusalVerdicts(refused: Refusals): readonly Verdict[] {
  const rest = [...refused].filter(
    ([group, refusal]) =>
      ![cronJobGroup, cronJobClockGroup, probeGroup, dryStartGroup].some(told => isGroup(told, group)) &&
      !group.startsWith('start/') &&
      !ofRetention(refusal),
  )
  if (rest.length === 0) return []
  return [
    {
      type: 'WritesRefused',
      status: 'True',
      reason: refusedReasons[rest[0]?.[1].action ?? 'create'],
      message: sentence(rest.map(([, refusal]) => refusal)),
    },
  ]
}

function ofRetention({ action, kind }: Refusal): boolean {
  return action === 'delete' && (kind === 'VolumeSnapshot' || kind === 'Backup')
}

/** Undefined where nothing that should go was refused to go. */
export function deletionVerdict(refused: Refusals): Verdict | undefined {
  const kept = [...refused.values()].filter(ofRetention)
  const denied = kept.filter(({ withheld }) => !withheld)
  const needed = kept.filter(({ withheld }) => withheld)
  const [first] = kept
  if (!first) return undefined
  const reason = denied.length > 0 ? 'DeletionRefused' : (first.withheld ?? 'DeletionRefused')
  const sentences = [
    ...(denied.length > 0 ? [sentence(denied)] : []),
    ...needed.slice(0, listed).map(each => each.words),
  ]
  const more = needed.length > listed ? [`and ${needed.length - listed} more`] : []
  return { type: 'RetentionBlocked', status: 'True', reason, message: [...sentences, ...more].join('; ') }
}

/** The reason in conditions and events for each kind of write. */
export const refusedReasons = {
  create: 'CreationRefused',
  replace: 'ChangeRefused',
  'patch-status': 'ChangeRefused',
  'write-status': 'ChangeRefused',
  label: 'ChangeRefused',
  delete: 'DeletionRefused',
} as const satisfies { readonly [A in Refusal['action']]: Reason }

const verbs = {
  create: 'create',
  replace: 'change',
  'patch-status': 'change',
  'write-status': 'write the status of',
  label: 'label',
  delete: 'delete',
} as const satisfies { readonly [A in Refusal['action']]: string }

function sentence(refusals: readonly Refusal[]): string {
  const each = refusals
    .slice(0, listed)
    .map(({ action, kind, name, words }) => `${verbs[action]} ${kind} ${name}: ${words}`)
  const more = refusals.length > listed ? `; and ${refusals.length - listed} more` : ''
  return `the API server refuses to ${each.join('; to ')}${more}. Each is tried again, at the latest after 10 minutes; everything else goes on`
}
