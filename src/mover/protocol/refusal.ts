/** `.refused`: what a script of a preset will not do, in a dump and in a restore. */
import { refusals } from '../../api/mover/reasons.ts'
import { MoverFailure } from '../failure.ts'

/**
 * A reason in the first line, and then what happened, why, and what to do. A reason that no script may have is `Refused`.
 * @param sourceStatus the status with which the script ends, where it is told
 */
export function refusalOf(text: string, sourceStatus?: number): MoverFailure {
  const [first = '', ...rest] = text.split('\n')
  const word = first.trim()
  const reason = refusals.find(known => known === word)
  const sentence = rest.join(' ').trim() || 'the script does not say why'
  const message = reason !== undefined || word === '' ? sentence : `${word.slice(0, 63)}: ${sentence}`
  return new MoverFailure(reason ?? 'Refused', message, { sourceStatus })
}
