// What a lowered number of backups will cost, and until when it can be taken back (docs/design.md R29).
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import { annotation } from '../../api/labels.ts'
import type { Verdict } from '../core/conditions.ts'
import { slowDeletesPerHour } from '../history/lowering.ts'
import type { Lowering } from '../history/numbers.ts'
import type { RunTrigger } from '../history/retention.ts'
import { rfc3339 } from '../../schedule/times.ts'
import type { PolicyFacts } from './facts.ts'

/** How many Backups the sentence names. */
const named = 5

export function loweringVerdicts({ lowerings, policy }: PolicyFacts, now: Date): readonly Verdict[] {
  if (lowerings.length === 0) return []
  const what = lowerings.map(each => sentence(each, policy.spec.strategy.type, now)).join('; ')
  const back = lowerings.map(({ trigger, previous }) => `${fieldOf(policy, trigger)} back to ${previous}`)
  const message = `${what}. Set ${[...new Set(back)].join(' and ')}, or annotate the Backups that must stay with ${annotation.hold}=true`
  return [{ type: 'RetentionPending', status: 'True', reason: 'RetentionLowered', message }]
}

/** The field that the number is of. */
function fieldOf({ spec }: BackupPolicy, trigger: RunTrigger): string {
  return trigger === 'scheduled' || spec.onDemandRetention === undefined ? 'spec.retention' : 'spec.onDemandRetention'
}

function sentence({ trigger, value, previous, at, going }: Lowering, strategy: 'job' | 'snapshot', now: Date): string {
  const some = value === 1 ? 'backup' : 'backups'
  const which = trigger === 'scheduled' ? `scheduled ${some}` : `${some} on demand`
  const pace = `at most ${slowDeletesPerHour} an hour of each target`
  const numbers = `${value} ${which} of each target ${value === 1 ? 'is' : 'are'} to be kept, and ${previous} were`
  const more = going.length > named ? ` and ${going.length - named} more` : ''
  const go = `${going.length} ${going.length === 1 ? 'goes' : 'go'} (${going.slice(0, named).join(', ')}${more})`
  if (now >= at) return `${numbers}: with the next runs ${go}, ${pace}`
  const then = strategy === 'job' ? `with the runs after that ${go}` : `after that ${go}`
  return `${numbers}: until ${rfc3339(at)} none is deleted for it, ${then}, ${pace}`
}
