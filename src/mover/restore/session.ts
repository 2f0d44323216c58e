/** The restore command's container, from its start to its end: it is given what it wants, and believed in what it says of itself. */
import { join } from 'node:path'
import { MoverFailure } from '../failure.ts'
import { refusalOf } from '../protocol/refusal.ts'
import type { ControlChannel } from '../protocol/control.ts'
import type { Lifeline } from '../protocol/fifo.ts'
import { startFeeding, type Feeding } from './feeding.ts'
import { ended as endOf, hear } from './told.ts'

export interface SessionOptions {
  readonly shared: string
  readonly control: ControlChannel
  readonly lifeline: Pick<Lifeline, 'cut'>
  readonly startTimeoutSeconds: number
  readonly stallTimeoutSeconds: number
  /** What the command gets for this name; @throws MoverFailure when there is none. */
  readonly wanted: (name: string) => Wanted
  readonly onStart: () => void
  readonly onBytes: (bytes: number) => void
  readonly onResult: (text: string) => void
  readonly signal: AbortSignal
}

export interface Wanted {
  readonly chunks: (signal: AbortSignal) => AsyncIterable<Buffer>
  /** Every byte of it was verified. */
  readonly onVerified?: () => void
  /** An artifact, not what is only told of one. */
  readonly isArtifact: boolean
}

interface Current extends Wanted {
  readonly feeding: Feeding
  status: number | undefined
  isVerified: boolean
}

/**
 * Returns when the container ended with status 0, every command in it that was given an artifact did so, too, and every byte of what
 * they were given was verified.
 * @throws MoverFailure for every other end.
 */
export async function runSession(options: SessionOptions): Promise<void> {
  const { shared, control, startTimeoutSeconds, stallTimeoutSeconds, signal } = options
  const broken = new AbortController()
  const until = AbortSignal.any([signal, broken.signal])
  const next = (ms: number) => control.next(ms, () => notStarted(startTimeoutSeconds), until)
  const heard = new Map<string, { readonly name: string; readonly text: Promise<string> }>()
  const fed = new Map<string, Current>()
  let restored = 0
  let failed: number | undefined
  let refusal: MoverFailure | undefined
  let hasResult = false

  function give(sequence: string, name: string): Current {
    const wanted = options.wanted(name)
    if (wanted.isArtifact && [...fed.values()].some(other => other.isArtifact))
      throw new MoverFailure('Protocol', 'two commands want an artifact at once: let one follow the other')
    const feeding = startFeeding({
      fifo: join(shared, `r.${sequence}`),
      chunks: wanted.chunks,
      stallTimeoutMs: stallTimeoutSeconds * 1000,
      onBytes: bytes => {
        if (wanted.isArtifact) options.onBytes(bytes)
      },
      signal: until,
    })
    const giving: Current = { ...wanted, feeding, status: undefined, isVerified: false }
    void watch(giving)
    return giving
  }

  /** Those whose command has ended, and with 0 only when all of it was verified. */
  function forgetOver() {
    for (const [sequence, { status, isVerified, feeding }] of fed) {
      if (status === undefined || (status === 0 && !isVerified)) continue
      feeding.release()
      fed.delete(sequence)
    }
  }

  /** What cannot be verified ends all; what a command that failed did not take ends nothing more. */
  async function watch(giving: Current): Promise<void> {
    try {
      await giving.feeding.verified
      giving.isVerified = true
      if (giving.isArtifact) restored++
      giving.onVerified?.()
    } catch (error) {
      if (giving.status === undefined || giving.status === 0) broken.abort(error)
    }
  }

  /** The command of `feed` ended, or what `artifact` told is at its end. */
  async function done(sequence: string, status: number): Promise<void> {
    const told = heard.get(sequence)
    if (told) {
      heard.delete(sequence)
      const text = await endOf(told.text)
      if (status !== 0) return
      if (told.name === '.refused') refusal = refusalOf(text)
      else {
        options.onResult(text)
        hasResult = true
      }
      return
    }
    const current = fed.get(sequence)
    if (current?.status !== undefined || !current)
      throw new MoverFailure('Protocol', `a command ended that was given nothing (${sequence})`)
    current.status = status
    if (status === 0) return current.feeding.commandEnded()
    failed ??= status
    current.feeding.stop()
  }

  try {
    const first = await next(startTimeoutSeconds * 1000)
    if (first.event === 'dead') throw killed()
    if (first.event !== 'hello') throw new MoverFailure('Protocol', `${first.event} came instead of hello`)
    options.onStart()
    for (;;) {
      const event = await next(Infinity)
      switch (event.event) {
        case 'want':
          forgetOver()
          fed.set(event.sequence, give(event.sequence, event.name))
          break
        case 'artifact': {
          if (event.name !== '.refused' && event.name !== '.result')
            throw new MoverFailure('Protocol', `a restore script told ${event.name}, which nobody asked it`)
          const text = hear(join(shared, `a.${event.sequence}`), until)
          text.catch(() => {})
          heard.set(event.sequence, { name: event.name, text })
          break
        }
        case 'done':
          await done(event.sequence, event.status)
          break
        case 'exit':
          if (refusal) throw refusal
          if (event.status !== 0) throw endedWith(event.status)
          if (failed !== undefined) throw ignored(failed)
          forgetOver()
          if (fed.size > 0) throw killed()
          if (restored === 0 && !hasResult) throw nothingRestored()
          return
        case 'dead':
          throw killed()
        case 'hello':
        case 'writers':
        case 'ended':
          throw new MoverFailure('Protocol', `${event.event} came in the middle of a restore`)
      }
    }
  } catch (error) {
    options.lifeline.cut()
    await dead(control)
    throw error
  } finally {
    for (const { feeding } of fed.values()) feeding.release()
    broken.abort(new MoverFailure('SourceKilled', 'the session is over'))
  }
}

/** A command that is killed ends at once; on a busy node its container takes a moment. */
const deathWithinMs = 10_000

/** Until the container is dead, which the cut lifeline kills: our end of its input stays open for as long. */
async function dead(control: ControlChannel): Promise<void> {
  const late = () => new MoverFailure('SourceStalled', 'it did not end')
  const limit = AbortSignal.timeout(deathWithinMs)
  try {
    for (;;) if ((await control.next(deathWithinMs, late, limit)).event === 'dead') return
  } catch {
    // Nothing is heard of it, and nothing more can be done about it.
  }
}

function notStarted(seconds: number): MoverFailure {
  return new MoverFailure('SourceNotStarted', `the restore command's container did not start in ${seconds} s`)
}

function killed(): MoverFailure {
  const why = 'died before all was restored, without giving a status: out of memory, evicted or killed'
  return new MoverFailure('SourceKilled', `the restore command's container ${why}`)
}

function ignored(status: number): MoverFailure {
  const why = 'let the script end with the status of what failed in it'
  const message = `${why}: a command that was given an artifact ended with status ${status}, and the script with 0`
  return new MoverFailure('SourceExit', message, { sourceStatus: status })
}

function nothingRestored(): MoverFailure {
  const message = 'the restore command ended with status 0, and asked for no artifact: nothing was restored'
  return new MoverFailure('RestoreUnproven', message, { sourceStatus: 0 })
}

/** A shell's statuses: 126 and 127 are its own, above 128 is a signal. */
function endedWith(status: number): MoverFailure {
  const options = { sourceStatus: status }
  if (status === 127 || status === 126) {
    const why = status === 127 ? 'was not found' : 'cannot be executed'
    const message = `the program of the restore command ${why} in the image (status ${status})`
    return new MoverFailure('CommandNotFound', message, options)
  }
  if (status > 128 && status <= 192) {
    const why = status === 137 ? ', for want of memory it seems' : ''
    return new MoverFailure(
      'SourceSignalled',
      `the restore command was killed by signal ${status - 128}${why}`,
      options,
    )
  }
  return new MoverFailure('SourceExit', `the restore command ended with status ${status}; its log says why`, options)
}
