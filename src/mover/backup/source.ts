/** One artifact from the command's container, by the protocol of the control FIFO. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { BackupTask } from '../../api/mover/task.ts'
import type { ControlChannel, ControlEvent } from '../protocol/control.ts'
import { MoverFailure } from '../failure.ts'
import { compressFifo, type Streamed } from './stream.ts'

export interface SourceOptions {
  readonly task: Pick<BackupTask, 'artifact' | 'startTimeoutSeconds' | 'stallTimeoutSeconds'>
  readonly shared: string
  readonly control: ControlChannel
  /** Copies compressed bytes, which are gone afterwards. */
  readonly write: (chunk: Buffer) => Promise<void>
  /** The command's container runs; its first byte may come. */
  readonly onStart: () => void
  readonly onBytes: (bytes: number) => void
  readonly signal: AbortSignal
}

/** Status and end of data leave the same container one after the other; a busy node may show them in any order. */
const statusWithinMs = 30_000

/**
 * Receives everything that the command writes, and returns only when the command ended with status 0 and so did its container.
 * @throws MoverFailure for every other end.
 */
export async function receiveArtifact(options: SourceOptions): Promise<Streamed> {
  const { task, shared, control, signal } = options
  const startMs = task.startTimeoutSeconds * 1000
  const stallMs = task.stallTimeoutSeconds * 1000
  const next = (withinMs: number, late: () => MoverFailure) => control.next(withinMs, late, signal)

  await expect(
    next(startMs, () => notStarted(task.startTimeoutSeconds)),
    'hello',
  )
  options.onStart()
  const announced = await next(stallMs, () => new MoverFailure('SourceStalled', 'the command was not started'))
  if (announced.event === 'exit') throw ended(announced.status, 0)
  const artifact = await expect(Promise.resolve(announced), 'artifact')
  if (artifact.name !== task.artifact) {
    throw new MoverFailure('Protocol', `artifact ${artifact.name} came instead of ${task.artifact}`)
  }

  const fifo = join(shared, `a.${artifact.sequence}`)
  let received = 0
  const onBytes = (count: number) => {
    received = count
    options.onBytes(count)
  }
  // A FIFO that no writer has opened never ends: a container that dies just then is noticed by its control FIFO alone.
  const death = new AbortController()
  const onDeath = () => death.abort(killed(received))
  control.silentDeath.addEventListener('abort', onDeath, { once: true })
  if (control.silentDeath.aborted) onDeath()
  const ending = AbortSignal.any([signal, death.signal])
  const streamed = await compressFifo(fifo, { ...options, onBytes, signal: ending, stallTimeoutMs: stallMs })
  rmSync(fifo, { force: true })

  const { bytes } = streamed
  const noStatus = () => new MoverFailure('SourceKilled', `the data ended after ${bytes} bytes, but no status came`)
  const end = await next(statusWithinMs, noStatus)
  if (end.event === 'exit' || end.event === 'dead') throw killed(bytes)
  const done = await expect(Promise.resolve(end), 'done')
  if (done.sequence !== artifact.sequence) throw new MoverFailure('Protocol', 'the status is of another artifact')
  // Also after a failure: a lifeline that is cut before the container has said its own status would replace it by 75.
  const exit = await next(statusWithinMs, noStatus)
  if (done.status !== 0) throw ended(done.status, bytes)
  const { status } = await expect(Promise.resolve(exit), 'exit')
  if (status !== 0) throw ended(status, bytes)

  if (bytes === 0) throw new MoverFailure('EmptyOutput', 'the command ended with status 0, but wrote nothing')
  return streamed
}

async function expect<E extends ControlEvent['event']>(
  coming: Promise<ControlEvent>,
  wanted: E,
): Promise<Extract<ControlEvent, { event: E }>> {
  const event = await coming
  if (event.event === 'dead') throw killed(0)
  if (event.event === wanted) return event as Extract<ControlEvent, { event: E }>
  throw new MoverFailure('Protocol', `${event.event} came instead of ${wanted}`)
}

function notStarted(seconds: number): MoverFailure {
  return new MoverFailure('SourceNotStarted', `the command's container did not start in ${seconds} s`)
}

function killed(bytes: number): MoverFailure {
  return new MoverFailure(
    'SourceKilled',
    `the command's container died after ${bytes} bytes without giving a status: out of memory, evicted or killed`,
  )
}

/** A shell's statuses: 126 and 127 are its own, above 128 is a signal. */
function ended(status: number, bytes: number): MoverFailure {
  const options = { sourceStatus: status }
  if (status === 127 || status === 126) {
    const why = status === 127 ? 'was not found' : 'cannot be executed'
    return new MoverFailure(
      'CommandNotFound',
      `the program of the command ${why} in the image (status ${status})`,
      options,
    )
  }
  if (status > 128 && status <= 192) {
    const signal = status - 128
    return new MoverFailure(
      'SourceSignalled',
      `the command was killed by signal ${signal} after ${bytes} bytes`,
      options,
    )
  }
  return new MoverFailure('SourceExit', `the command ended with status ${status} after ${bytes} bytes`, options)
}
