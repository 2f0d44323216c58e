/** What a restore script tells the mover by `artifact .NAME` (docs/storage-format.md tells of the same in backups). */
import { buffer } from 'node:stream/consumers'
import { moverReasons, type MoverReason } from '../../api/mover/reasons.ts'
import { MoverFailure } from '../failure.ts'
import { openFifo } from '../protocol/fifo.ts'

/** Bytes. */
const longest = 1 << 20
const longestResult = 600
/** The end of the text follows its status at once. */
const endWithinMs = 30_000

/** All that is written into the FIFO `a.<sequence>`. */
export async function hear(fifo: string, signal: AbortSignal): Promise<string> {
  const socket = openFifo(fifo)
  let length = 0
  socket.on('data', (data: Buffer) => {
    length += data.length
    if (length > longest) socket.destroy(new MoverFailure('Protocol', `a text of more than ${longest} bytes was told`))
  })
  const stop = () => socket.destroy(signal.reason as Error)
  signal.addEventListener('abort', stop, { once: true })
  try {
    return (await buffer(socket)).toString()
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

/** @throws MoverFailure Protocol when the text does not end. */
export async function ended(text: Promise<string>): Promise<string> {
  const { promise, reject } = Promise.withResolvers<never>()
  const late = () =>
    reject(new MoverFailure('Protocol', 'what was told does not end: who wrote it left a process behind'))
  const timer = setTimeout(late, endWithinMs)
  try {
    return await Promise.race([text, promise])
  } finally {
    clearTimeout(timer)
  }
}

/** `.refused`: a reason in its first line, and what happened, why, and what to do. A reason that we do not know is `Refused`. */
export function refusalOf(text: string): MoverFailure {
  const [first = '', ...rest] = text.split('\n')
  const word = first.trim()
  const isKnown = Object.hasOwn(moverReasons, word) && scriptReasons.includes(word as MoverReason)
  const sentence = rest.join(' ').trim() || 'the script does not say why'
  const message = isKnown || word === '' ? sentence : `${word.slice(0, 63)}: ${sentence}`
  return new MoverFailure(isKnown ? (word as MoverReason) : 'Refused', message)
}

/** What a script may say; nothing that speaks of the mover's own work. */
const scriptReasons: readonly MoverReason[] = [
  'ServerUnreachable',
  'LoginRefused',
  'ClientOlderThanServer',
  'RightsMissing',
  'RowSecurity',
  'LargeObjectsUnreadable',
  'ExtensionUnsupported',
  'NameUnsupported',
  'NonTransactionalTables',
  'ClientOlderThanDump',
  'ServerOlderThanDump',
  'ExtensionMissing',
  'TargetNotEmpty',
  'SwapBlocked',
  'SwapUnsupported',
  'NotInBackup',
  'GlobalsUnsafe',
  'Refused',
]

/** `.result`: what was done, as an object of JSON. @throws MoverFailure Protocol for anything else. */
export function resultOf(text: string): Readonly<Record<string, unknown>> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    value = undefined
  }
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
  if (!isObject || Buffer.byteLength(JSON.stringify(value)) > longestResult)
    throw new MoverFailure(
      'Protocol',
      `the result of the restore script is not an object of JSON of at most ${longestResult} bytes`,
    )
  return value as Readonly<Record<string, unknown>>
}
