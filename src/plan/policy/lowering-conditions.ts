// What a lowered number of backups will cost, and until when it can be taken back (docs/design.md R29).
import { annotation } from '../../api/labels.ts'
import type { Verdict } from '../core/conditions.ts'
import { slowDeletesPerHour } from '../history/lowering.ts'
import type { Lowering } from '../history/numbers.ts'
import { rfc3339 } from '../../schedule/times.ts'
import type { PolicyFacts } from './facts.ts'

export function loweringVerdicts({ lowerings, policy }: PolicyFacts, now: Date): readonly Verdict[] {
  if (lowerings.length === 0) return []
  const what = lowerings.map(each => sentence(each, policy.spec.strategy.type, now)).join('; ')
  const message = `${what}. Set the number back, or annotate the Backups that must stay with ${annotation.hold}=true`
  return [{ type: 'RetentionPending', status: 'True', reason: 'RetentionLowered', message }]
}

function sentence({ trigger, value, previous, at, going }: Lowering, strategy: 'job' | 'snapshot', now: Date): string {
  const which = trigger === 'scheduled' ? 'scheduled backups' : 'backups on demand'
  const pace = `at most ${slowDeletesPerHour} an hour of each target`
  const numbers = `${value} ${which} of each target are to be kept, and ${previous} were`
  const go = `${going} ${going === 1 ? 'goes' : 'go'}`
  if (now >= at) return `${numbers}: with the next runs ${go}, ${pace}`
  const then = strategy === 'job' ? `with the runs after that ${go}` : `after that ${go}`
  return `${numbers}: until ${rfc3339(at)} none is deleted for it, ${then}, ${pace}`
}
