/**
 * The command's container during a backup, as its control channel tells: artifacts that are announced one after the other, and the end of
 * it all. One loop hears everything, also what comes while an artifact is still being read.
 */
import { MoverFailure } from '../failure.ts'
import type { ControlChannel, ControlEvent } from '../protocol/control.ts'

type EventNamed<E extends ControlEvent['event']> = Extract<ControlEvent, { event: E }>
export type Done = EventNamed<'done'>
/** How the container ended. */
export type Ended = EventNamed<'exit' | 'dead'>
type Announcement = EventNamed<'artifact'>

/** The artifact that is announced and has not come to its end. */
export interface OpenArtifact {
  readonly name: string
  readonly sequence: string
  /** Its command's end; undefined before. */
  readonly done: Done | undefined
  /** By `performance.now()`; 0 before. */
  readonly doneAt: number
  /** Settles with `done`. */
  readonly whenDone: Promise<Done>
  /** The next answer to the lifeline's `writers`. */
  readonly writers: Promise<readonly string[]>
}

export class CommandContainer {
  readonly #control: ControlChannel
  readonly #over = Promise.withResolvers<Ended>()
  readonly #listening = new AbortController()
  #open: (OpenArtifact & { done: Done | undefined; doneAt: number; heard: (event: ControlEvent) => void }) | undefined
  /** What came after the command of the open artifact had ended. */
  #next: Announcement | EventNamed<'ended'> | undefined
  #wake = () => {}
  #ended: Ended | undefined

  constructor(control: ControlChannel) {
    this.#control = control
    // Whoever waits hears of it; nobody may.
    this.#over.promise.catch(() => {})
  }

  /** Settles when the container has ended. Rejects with MoverFailure Protocol, and with the reason of the signal. */
  get over(): Promise<Ended> {
    return this.#over.promise
  }

  /** How it has ended; undefined while it runs. */
  get ended(): Ended | undefined {
    return this.#ended
  }

  /** Waits until the container runs. @throws MoverFailure; the signal's reason. */
  async start(withinMs: number, late: () => MoverFailure, signal: AbortSignal): Promise<'runs' | Ended> {
    const hello = await this.#control.next(withinMs, late, signal)
    if (hello.event === 'exit' || hello.event === 'dead') return hello
    if (hello.event !== 'hello') throw new MoverFailure('Protocol', `${hello.event} came instead of hello`)
    void this.#listen(AbortSignal.any([signal, this.#listening.signal]))
    return 'runs'
  }

  /** The next artifact, the end of the command, or that of the container. @throws as `over`; `late()`; the signal's reason. */
  async next(
    withinMs: number,
    late: () => MoverFailure,
    signal: AbortSignal,
  ): Promise<Announcement | EventNamed<'ended'> | Ended> {
    // Nothing that it has announced can follow any more; and `exit 0` is a proof only after `eof`.
    if (this.#ended) return this.#ended
    const coming = (async () => {
      while (!this.#next) {
        const { promise, resolve } = Promise.withResolvers<void>()
        this.#wake = resolve
        await promise
      }
      return this.#next
    })()
    const event = await timely(Promise.race([coming, this.over]), withinMs, late, signal)
    this.#next = undefined
    return event
  }

  /** From now on what it tells is of this artifact; the one before has come to its end. */
  open({ name, sequence }: Announcement): OpenArtifact {
    const done = Promise.withResolvers<Done>()
    const writers = Promise.withResolvers<readonly string[]>()
    const artifact = {
      name,
      sequence,
      done: undefined as Done | undefined,
      doneAt: 0,
      whenDone: done.promise,
      writers: writers.promise,
      heard(event: ControlEvent) {
        if (event.event === 'writers') return writers.resolve(event.names)
        if (event.event !== 'done' || event.sequence !== sequence || artifact.done) throw misplaced(event)
        artifact.done = event
        artifact.doneAt = performance.now()
        done.resolve(event)
      },
    }
    this.#open = artifact
    return artifact
  }

  close() {
    this.#listening.abort()
  }

  async #listen(signal: AbortSignal): Promise<void> {
    try {
      for (;;) {
        const event = await this.#control.next(Infinity, neverLate, signal)
        if (event.event === 'exit' || event.event === 'dead') {
          this.#ended = event
          return this.#over.resolve(event)
        }
        if (event.event === 'artifact' || event.event === 'ended') this.#keep(event)
        else if (this.#open) this.#open.heard(event)
        else throw misplaced(event)
      }
    } catch (error) {
      this.#over.reject(error)
    }
  }

  /** One at a time: two at once would share one upload. */
  #keep(event: Announcement | EventNamed<'ended'>) {
    if (this.#next || (this.#open && !this.#open.done)) throw misplaced(event)
    this.#next = event
    this.#wake()
  }
}

function misplaced({ event }: ControlEvent): MoverFailure {
  const what = event === 'ended' ? 'the end of the command' : event
  return new MoverFailure(
    'Protocol',
    `${what} came in the middle of an artifact: a script makes one at a time, and waits for each`,
  )
}

function neverLate(): MoverFailure {
  return new MoverFailure('Internal', 'a wait without an end has ended')
}

/** @throws `late()` when it does not come within `ms`; the signal's reason. */
export async function timely<T>(
  coming: Promise<T>,
  ms: number,
  late: () => MoverFailure,
  signal: AbortSignal,
): Promise<T> {
  // Who is told to stop, or that it is late, does not hear any more how it ends.
  coming.catch(() => {})
  signal.throwIfAborted()
  const { promise, reject } = Promise.withResolvers<never>()
  // A longer one would be taken for none at all.
  const timer = setTimeout(() => reject(late()), Math.min(ms, 2 ** 31 - 1))
  const stop = () => reject(signal.reason)
  signal.addEventListener('abort', stop, { once: true })
  try {
    return await Promise.race([coming, promise])
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', stop)
  }
}
