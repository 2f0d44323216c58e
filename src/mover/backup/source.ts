/** What the command's container gives, by the protocol of the control FIFO: artifacts one after the other, and notes about them. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { BackupTask } from '../../api/mover/task.ts'
import type { ControlChannel } from '../protocol/control.ts'
import { MoverFailure } from '../failure.ts'
import type { Lifeline } from '../protocol/fifo.ts'
import { CommandContainer, timely, type Done, type Ended, type OpenArtifact } from './container.ts'
import { emptyForm, longestEmpty } from './emptiness.ts'
import { isNote, noteName, NoteText, type Names } from './notes.ts'
import { readFifo } from './stream.ts'

export interface SourceOptions {
  readonly task: Pick<BackupTask, 'startTimeoutSeconds' | 'stallTimeoutSeconds'>
  readonly shared: string
  readonly control: ControlChannel
  readonly lifeline: Pick<Lifeline, 'tell'>
  /** What is read goes into these, of one size. */
  readonly buffers: readonly Buffer[]
  /** The command's container runs; its first byte may come. */
  readonly onStart: () => void
  /** Whether failures tell how many bytes came, and of which artifact. */
  readonly secrecy: Names
  /** Told the sum of the bytes of all artifacts. */
  readonly onBytes: (bytes: number) => void
  /** An artifact was announced; its command starts when this has settled. @throws what ends the attempt. */
  readonly artifact: (name: string) => Promise<ArtifactSink>
  /** A note has come. @throws MoverFailure: the attempt ends with it. */
  readonly note: (name: string, text: string) => void
  readonly signal: AbortSignal
}

export interface ArtifactSink {
  /** As `StreamOptions.take`. */
  readonly take: (bytes: Buffer) => Promise<void>
  /**
   * All bytes have come, and the command ended with 0. `lateWriters`: programs that still held its standard output then. They closed it by
   * themselves; how they ended nobody knows.
   */
  readonly end: (lateWriters: readonly string[]) => Promise<void>
}

/**
 * Status and end of data leave the same container one after the other, and its answer to `eof` is a few steps of a shell: on a busy node,
 * or under a small limit of CPU, that may take a while, and what has come so far may be hours of work.
 */
const statusWithinMs = 120_000
/** Names of writers are worth less. */
const namesWithinMs = 30_000
/** A command that ended may take its container with it at once: what it wrote before is in the pipe, to be counted, or a note that says why. */
const restWithinMs = 5_000

/**
 * Receives everything that the commands of all artifacts and their children write, and returns only when each ended with status 0, every
 * writer closed by itself, and only then the container ended with 0 as well (docs/design.md R23).
 * @throws MoverFailure for every other end; what `artifact`, its sink and `note` throw.
 */
export async function receiveArtifacts(options: SourceOptions): Promise<void> {
  const { control, lifeline, task, secrecy, signal } = options
  const container = new CommandContainer(control)
  const within = <T>(coming: Promise<T>, late: () => MoverFailure) => timely(coming, statusWithinMs, late, signal)
  const stallTimeoutMs = task.stallTimeoutSeconds * 1000
  let artifacts = 0
  let bytes = 0

  /** A container that is about to end is given the time: a lifeline that is cut before would replace its status by 75. */
  async function failWith(failure: MoverFailure): Promise<never> {
    const late = () => failure
    const next = await container.next(statusWithinMs, late, signal)
    if (next.event === 'ended') {
      lifeline.tell('eof')
      await within(container.over, late)
    }
    throw failure
  }

  try {
    const startTimeoutMs = task.startTimeoutSeconds * 1000
    const start = await container.start(startTimeoutMs, () => notStarted(task.startTimeoutSeconds), signal)
    if (start !== 'runs') throw between(start, toldBytes(bytes, secrecy))
    options.onStart()
    for (;;) {
      const next = await container.next(stallTimeoutMs, () => notAnnounced(stallTimeoutMs, artifacts), signal)
      if (next.event === 'ended') break
      if (next.event !== 'artifact') throw between(next, toldBytes(bytes, secrecy))
      const open = container.open(next)
      const received = isNote(next.name)
        ? await receiveNote(open, container, options)
        : await receiveArtifact(open, container, options, bytes)
      if (received.failure) await failWith(received.failure)
      if (!isNote(next.name)) artifacts++
      bytes += received.bytes
    }
    lifeline.tell('eof')
    const end = await within(container.over, () => killed(toldBytes(bytes, secrecy), true))
    if (end.event === 'dead' || end.status !== 0) throw early(end, { status: 0 }, toldBytes(bytes, secrecy))
    if (artifacts === 0) throw new MoverFailure('EmptyOutput', 'the command ended with status 0, but made no artifact')
  } finally {
    container.close()
  }
}

/** `failure`: the container is about to end by itself. */
interface Received {
  readonly bytes: number
  readonly failure?: MoverFailure
}

async function receiveArtifact(
  artifact: OpenArtifact,
  container: CommandContainer,
  options: SourceOptions,
  before: number,
): Promise<Received> {
  const sink = await options.artifact(artifact.name)
  let empty: string | undefined = 'no byte'
  const { bytes, done } = await receive(artifact, container, {
    ...options,
    onBytes: received => options.onBytes(before + received),
    take(chunk) {
      // A shorter one than a whole buffer is the last, and this is the first: there is no other.
      empty = empty === 'no byte' && chunk.length <= longestEmpty ? emptyForm(Buffer.from(chunk)) : undefined
      return sink.take(chunk)
    },
  })
  const told = toldBytes(before + bytes, options.secrecy)
  if (done.status !== 0) return { bytes, failure: ended(done.status, told) }
  // What it had left to write went with it.
  if (container.ended) throw early(container.ended, done, told)
  if (empty) return { bytes, failure: emptyOutput(toldBytes(bytes, options.secrecy), empty) }
  await sink.end(done.late)
  return { bytes }
}

/** Its bytes are none of the backup's. That its container is over by now says nothing about it: whoever refuses ends at once. */
async function receiveNote(
  artifact: OpenArtifact,
  container: CommandContainer,
  options: SourceOptions,
): Promise<Received> {
  const text = new NoteText(noteName(artifact.name, options.secrecy))
  const { done } = await receive(artifact, container, {
    ...options,
    onBytes() {},
    async take(chunk) {
      text.add(chunk)
    },
  })
  if (done.status !== 0) return { bytes: 0, failure: ended(done.status, 0) }
  try {
    options.note(artifact.name, text.whole())
    return { bytes: 0 }
  } catch (error) {
    if (error instanceof MoverFailure) return { bytes: 0, failure: error }
    throw error
  }
}

interface ReceiveOptions extends Pick<
  SourceOptions,
  'task' | 'shared' | 'lifeline' | 'buffers' | 'secrecy' | 'onBytes' | 'signal'
> {
  readonly take: (bytes: Buffer) => Promise<void>
}

/** Reads one FIFO to its end. @returns the status of its command as well. @throws MoverFailure where there is none. */
async function receive(
  artifact: OpenArtifact,
  container: CommandContainer,
  options: ReceiveOptions,
): Promise<{ readonly bytes: number; readonly done: Done }> {
  const { lifeline, task, signal } = options
  const fifo = join(options.shared, `a.${artifact.sequence}`)
  const stallTimeoutMs = task.stallTimeoutSeconds * 1000
  let received = 0
  const told = () => toldBytes(received, options.secrecy)
  const noStatus = () => killed(told())

  // A FIFO that no writer has opened never ends, and one whose writers live outside of the container may not: the control FIFO alone
  // tells of a container that is over.
  const over = new AbortController()
  void giveUp(container, artifact, over, told)
  const bytes = await readFifo(fifo, {
    buffers: options.buffers,
    take: options.take,
    onBytes(sum) {
      received = sum
      options.onBytes(sum)
    },
    signal: AbortSignal.any([signal, over.signal]),
    stallTimeoutMs,
    lastSign: () => artifact.doneAt,
    async stalled() {
      const { done } = artifact
      if (!done) return silent(stallTimeoutMs, told())
      if (done.status !== 0) return ended(done.status, told())
      lifeline.tell('writers')
      const names = await timely(artifact.writers, namesWithinMs, noStatus, signal).catch(() => [])
      return writersRemain(names, stallTimeoutMs, told())
    },
  })
  await timely(Promise.race([artifact.whenDone, container.over]), statusWithinMs, noStatus, signal)
  over.signal.throwIfAborted()
  if (!artifact.done) throw noStatus()
  rmSync(fifo, { force: true })
  return { bytes, done: artifact.done }
}

async function giveUp(
  container: CommandContainer,
  artifact: OpenArtifact,
  over: AbortController,
  received: () => ToldBytes,
): Promise<void> {
  try {
    const failure = early(await container.over, artifact.done, received())
    if (artifact.done) setTimeout(() => over.abort(failure), restWithinMs).unref()
    else over.abort(failure)
  } catch (error) {
    over.abort(error)
  }
}

/** How many bytes came, for messages; undefined where that is secret. */
type ToldBytes = number | undefined

function toldBytes(bytes: number, secrecy: Names): ToldBytes {
  return secrecy === 'secret' ? undefined : bytes
}

function after(bytes: ToldBytes, comma = ''): string {
  return bytes === undefined ? '' : `${comma} after ${bytes} bytes`
}

/** With which the first process of the container ends when it finds that the mover has gone: here somebody has killed the listener between them. */
const moverGone = 75

/** What the end of the container makes of the data, when it comes before all of them have come. */
function early(end: Ended, done: Pick<Done, 'status'> | undefined, bytes: ToldBytes): MoverFailure {
  const own = end.event === 'exit' ? end.status : 0
  if (done && done.status !== 0) return ended(done.status, bytes)
  if (done && own !== 0) return stopped(own, bytes)
  return killed(bytes, done !== undefined)
}

/** The container ended while no artifact was open, and others might have followed. */
function between(end: Ended, bytes: ToldBytes): MoverFailure {
  if (end.event === 'dead' || end.status === 0 || end.status === moverGone) return killed(bytes)
  return ended(end.status, bytes)
}

function notStarted(seconds: number): MoverFailure {
  return new MoverFailure('SourceNotStarted', `the command's container did not start in ${seconds} s`)
}

function notAnnounced(ms: number, artifacts: number): MoverFailure {
  const what =
    artifacts === 0 ? 'was not started' : `neither ended nor began another artifact for ${Math.round(ms / 1000)} s`
  return new MoverFailure('SourceStalled', `the command ${what}`)
}

function killed(bytes: ToldBytes, hasStatus = false): MoverFailure {
  const what = hasStatus ? 'before all of its data had come' : 'without giving a status'
  return new MoverFailure(
    'SourceKilled',
    `the command's container died${after(bytes)} ${what}: out of memory, evicted or killed`,
  )
}

function emptyOutput(bytes: ToldBytes, empty: string): MoverFailure {
  if (empty === 'no byte') return new MoverFailure('EmptyOutput', 'the command ended with status 0, but wrote nothing')
  const advice =
    'a shell takes the status of the last command of a pipe: `set -o pipefail` gives that of the first that failed'
  return new MoverFailure(
    'EmptyOutput',
    `${advice}; the command ended with status 0, but ${bytes === undefined ? 'its output is' : `its ${bytes} bytes are`} ${empty} of nothing`,
  )
}

function silent(ms: number, bytes: ToldBytes): MoverFailure {
  const seconds = Math.round(ms / 1000)
  return new MoverFailure('SourceStalled', `no byte from the command for ${seconds} s${after(bytes, ',')}`)
}

function writersRemain(names: readonly string[], ms: number, bytes: ToldBytes): MoverFailure {
  const who = names.length > 0 ? names.join(', ') : 'a process'
  return new MoverFailure(
    'WritersRemain',
    `start ${who} with >/dev/null, or let the command wait for it: it holds the standard output open, so that the data do not end; ` +
      `the command ended with status 0, and no byte came for ${Math.round(ms / 1000)} s${after(bytes, ',')}`,
  )
}

/** The artifact's command said 0, the container something else: it was told to stop, one of its processes was killed, or its script failed. */
function stopped(status: number, bytes: ToldBytes): MoverFailure {
  const options = { sourceStatus: status }
  if (status === 143) {
    const why = 'was told to stop (SIGTERM) before all of its data had come; its status 0 proves nothing then'
    return new MoverFailure('SourceSignalled', `the command ${why}${after(bytes, ',')}`, options)
  }
  if (status === 137) {
    const why = 'a process of it was killed, for want of memory it seems'
    return new MoverFailure(
      'SourceSignalled',
      `the command ended with status 0, but ${why}${after(bytes, ',')}`,
      options,
    )
  }
  return status === moverGone ? killed(bytes, true) : ended(status, bytes)
}

/** A shell's statuses: 126 and 127 are its own, above 128 is a signal. */
function ended(status: number, bytes: ToldBytes): MoverFailure {
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
    return new MoverFailure('SourceSignalled', `the command was killed by signal ${signal}${after(bytes)}`, options)
  }
  return new MoverFailure(
    'SourceExit',
    `the command ended with status ${status}${after(bytes)}; what it said last is in status.stderr of the Backup`,
    options,
  )
}
