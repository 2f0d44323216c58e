/** One artifact from the command's container, by the protocol of the control FIFO. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { BackupTask } from '../../api/mover/task.ts'
import type { ControlChannel, ControlEvent } from '../protocol/control.ts'
import { MoverFailure } from '../failure.ts'
import type { Lifeline } from '../protocol/fifo.ts'
import { compressFifo, type Streamed } from './stream.ts'

export interface SourceOptions {
  readonly task: Pick<BackupTask, 'artifact' | 'startTimeoutSeconds' | 'stallTimeoutSeconds'>
  readonly shared: string
  readonly control: ControlChannel
  readonly lifeline: Pick<Lifeline, 'tell'>
  /** Copies compressed bytes, which are gone afterwards. */
  readonly write: (chunk: Buffer) => Promise<void>
  /** The command's container runs; its first byte may come. */
  readonly onStart: () => void
  readonly onBytes: (bytes: number) => void
  readonly signal: AbortSignal
}

export interface Received extends Streamed {
  /** Programs that still held the standard output when the command had ended with 0. They closed it by themselves; how they ended nobody knows. */
  readonly lateWriters: readonly string[]
}

/**
 * Status and end of data leave the same container one after the other, and its answer to `eof` is a few steps of a shell: on a busy node,
 * or under a small limit of CPU, that may take a while, and what has come so far may be hours of work.
 */
const statusWithinMs = 120_000
/** Names of writers are worth less. */
const namesWithinMs = 30_000
/** A command that failed takes its container with it at once: what it wrote before is in the pipe, and is counted. */
const restWithinMs = 5_000

type Done = Extract<ControlEvent, { event: 'done' }>
/** How the container ended. */
type Ended = Extract<ControlEvent, { event: 'exit' | 'dead' }>

/**
 * Receives everything that the command and its children write, and returns only when the command ended with status 0, every writer closed
 * by itself, and only then the container ended with 0 as well (docs/design.md R23).
 * @throws MoverFailure for every other end.
 */
export async function receiveArtifact(options: SourceOptions): Promise<Received> {
  const { control, lifeline, shared, task, signal } = options
  const { sequence } = await announced(options)
  const fifo = join(shared, `a.${sequence}`)
  const stallTimeoutMs = task.stallTimeoutSeconds * 1000

  let received = 0
  let done: Done | undefined
  let doneAt = 0
  const doneSeen = Promise.withResolvers<void>()
  const remaining = Promise.withResolvers<readonly string[]>()
  async function listen(until: AbortSignal): Promise<Ended> {
    for (;;) {
      const event = await control.next(Infinity, noStatus, until)
      if (event.event === 'exit' || event.event === 'dead') return event
      if (event.event === 'writers') remaining.resolve(event.names)
      else if (event.event === 'done' && event.sequence === sequence && !done) {
        done = event
        doneAt = performance.now()
        doneSeen.resolve()
      } else throw new MoverFailure('Protocol', `${event.event} came in the middle of an artifact`)
    }
  }
  const noStatus = () => killed(received)

  /** What the end of the container makes of the data, when it comes before all of them have come. */
  function early(end: Ended): MoverFailure {
    const own = end.event === 'exit' ? end.status : 0
    if (done && done.status !== 0) return ended(done.status, received)
    if (done && own !== 0) return stopped(own, received)
    return killed(received, done !== undefined)
  }

  // A FIFO that no writer has opened never ends, and one whose writers live outside of the container may not: the control FIFO alone
  // tells of a container that is over.
  const over = new AbortController()
  const listening = new AbortController()
  const container = listen(AbortSignal.any([signal, listening.signal]))
  async function giveUp() {
    try {
      const failure = early(await container)
      if (done && done.status !== 0) setTimeout(() => over.abort(failure), restWithinMs).unref()
      else over.abort(failure)
    } catch (error) {
      over.abort(error)
    }
  }
  void giveUp()
  const within = <T>(coming: Promise<T>, ms: number) => timely(coming, ms, noStatus, signal)

  try {
    const streamed = await compressFifo(fifo, {
      ...options,
      onBytes(bytes) {
        received = bytes
        options.onBytes(bytes)
      },
      signal: AbortSignal.any([signal, over.signal]),
      stallTimeoutMs,
      lastSign: () => doneAt,
      async stalled(bytes) {
        if (!done) return silent(stallTimeoutMs, bytes)
        if (done.status !== 0) return ended(done.status, bytes)
        lifeline.tell('writers')
        const names = await timely(remaining.promise, namesWithinMs, noStatus, signal).catch(() => [])
        return writersRemain(names, stallTimeoutMs, bytes)
      },
    })
    await within(Promise.race([doneSeen.promise, container]), statusWithinMs)
    // Also after a failure the container's own end is awaited: a lifeline that is cut before would replace its status by 75.
    over.signal.throwIfAborted()
    if (done?.status === 0) lifeline.tell('eof')
    const end = await within(container, statusWithinMs)
    if (done?.status !== 0 || end.event === 'dead' || end.status !== 0) throw early(end)
    rmSync(fifo, { force: true })
    if (streamed.empty) throw emptyOutput(streamed)
    return { ...streamed, lateWriters: done.late }
  } finally {
    listening.abort()
  }
}

/** Waits for the container to start, and for its command to be ready. */
async function announced({ task, control, onStart, signal }: SourceOptions) {
  const next = (withinSeconds: number, late: () => MoverFailure) => control.next(withinSeconds * 1000, late, signal)
  await expect(
    next(task.startTimeoutSeconds, () => notStarted(task.startTimeoutSeconds)),
    'hello',
  )
  onStart()
  const announcement = await next(
    task.stallTimeoutSeconds,
    () => new MoverFailure('SourceStalled', 'the command was not started'),
  )
  if (announcement.event === 'exit') throw ended(announcement.status, 0)
  const artifact = await expect(Promise.resolve(announcement), 'artifact')
  if (artifact.name !== task.artifact) {
    throw new MoverFailure('Protocol', `artifact ${artifact.name} came instead of ${task.artifact}`)
  }
  return artifact
}

/** @throws `late()` when it does not come within `ms`; the signal's reason. */
async function timely<T>(coming: Promise<T>, ms: number, late: () => MoverFailure, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted()
  const { promise, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(late()), ms)
  const stop = () => reject(signal.reason)
  signal.addEventListener('abort', stop, { once: true })
  try {
    return await Promise.race([coming, promise])
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', stop)
  }
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

function killed(bytes: number, hasStatus = false): MoverFailure {
  const what = hasStatus ? 'before all of its data had come' : 'without giving a status'
  return new MoverFailure(
    'SourceKilled',
    `the command's container died after ${bytes} bytes ${what}: out of memory, evicted or killed`,
  )
}

function emptyOutput({ bytes, empty }: Streamed): MoverFailure {
  if (bytes === 0) return new MoverFailure('EmptyOutput', 'the command ended with status 0, but wrote nothing')
  const advice =
    'a shell takes the status of the last command of a pipe: `set -o pipefail` gives that of the first that failed'
  return new MoverFailure(
    'EmptyOutput',
    `${advice}; the command ended with status 0, but its ${bytes} bytes are ${empty} of nothing`,
  )
}

function silent(ms: number, bytes: number): MoverFailure {
  const seconds = Math.round(ms / 1000)
  return new MoverFailure('SourceStalled', `no byte from the command for ${seconds} s, after ${bytes} bytes`)
}

function writersRemain(names: readonly string[], ms: number, bytes: number): MoverFailure {
  const who = names.length > 0 ? names.join(', ') : 'a process'
  return new MoverFailure(
    'WritersRemain',
    `start ${who} with >/dev/null, or let the command wait for it: it holds the standard output open, so that the data do not end; ` +
      `the command ended with status 0, and no byte came for ${Math.round(ms / 1000)} s, after ${bytes} bytes`,
  )
}

/** The command said 0, its container something else: it was told to stop, or one of its processes was killed. */
function stopped(status: number, bytes: number): MoverFailure {
  const options = { sourceStatus: status }
  if (status === 143) {
    const why = 'was told to stop (SIGTERM) before all of its data had come; its status 0 proves nothing then'
    return new MoverFailure('SourceSignalled', `the command ${why}, after ${bytes} bytes`, options)
  }
  if (status === 137) {
    const why = 'a process of it was killed, for want of memory it seems'
    return new MoverFailure(
      'SourceSignalled',
      `the command ended with status 0, but ${why}, after ${bytes} bytes`,
      options,
    )
  }
  return killed(bytes, true)
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
  return new MoverFailure(
    'SourceExit',
    `the command ended with status ${status} after ${bytes} bytes; what it said last is in status.stderr of the Backup`,
    options,
  )
}
