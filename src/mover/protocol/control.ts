/** What the command's container tells: lines on the control FIFO, whose EOF means that this container is dead. */
import type { Socket } from 'node:net'
import { MoverFailure } from '../failure.ts'
import { openFifo } from './fifo.ts'

export type ControlEvent =
  /** PID 1 of the command's container runs. */
  | { readonly event: 'hello' }
  /** A command is about to write the artifact `name` to the FIFO `a.<sequence>`; it starts when that is opened. */
  | { readonly event: 'artifact'; readonly sequence: string; readonly name: string }
  /** Somebody wants the artifact `name` in the FIFO `r.<sequence>`, and waits for `go` in `r.<sequence>.say`. */
  | { readonly event: 'want'; readonly sequence: string; readonly name: string }
  /**
   * That command ended; sent before the FIFO closes. `late`: after status 0, the processes that it has left behind with the same
   * standard output, by the names of their programs (as many as fit).
   */
  | { readonly event: 'done'; readonly sequence: string; readonly status: number; readonly late: readonly string[] }
  /** Who holds the artifact's FIFO open now: the answer to the lifeline's `writers`. */
  | { readonly event: 'writers'; readonly names: readonly string[] }
  /** The container's command ended with status 0: no artifact will be announced any more. */
  | { readonly event: 'ended' }
  /** Everything ended; status 0 only after the lifeline's `eof`. */
  | { readonly event: 'exit'; readonly status: number }
  /** The container died without a word. Repeats for ever. */
  | { readonly event: 'dead' }

/** A line never has to be longer: PIPE_BUF keeps shorter ones whole. */
const longestLine = 4096

export class ControlChannel {
  readonly #socket: Socket
  readonly #events: ControlEvent[] = []
  #partial = Buffer.alloc(0)
  #protocolError: MoverFailure | undefined
  #dead = false
  #wake = () => {}

  constructor(path: string) {
    this.#socket = openFifo(path)
    this.#socket.on('data', (data: Buffer) => this.#receive(data))
    this.#socket.on('error', () => this.#die())
    this.#socket.on('close', () => this.#die())
  }

  /**
   * The next event.
   * @throws `late()` when none comes within `timeoutMs`; the signal's reason; MoverFailure Protocol for a line that is none.
   */
  async next(timeoutMs: number, late: () => MoverFailure, signal: AbortSignal): Promise<ControlEvent> {
    const deadline = performance.now() + timeoutMs
    for (;;) {
      signal.throwIfAborted()
      const event = this.#events.shift()
      if (event) return event
      if (this.#protocolError) throw this.#protocolError
      if (this.#dead) return { event: 'dead' }
      const left = deadline - performance.now()
      if (left <= 0) throw late()
      await this.#change(left, signal)
    }
  }

  close() {
    this.#socket.destroy()
  }

  async #change(withinMs: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    // A longer one would be taken for none at all.
    const timer = setTimeout(resolve, Math.min(withinMs, 2 ** 31 - 1))
    signal.addEventListener('abort', () => resolve(), { once: true })
    this.#wake = resolve
    await promise
    clearTimeout(timer)
  }

  #receive(data: Buffer) {
    this.#partial = Buffer.concat([this.#partial, data])
    for (let end = this.#partial.indexOf(10); end >= 0; end = this.#partial.indexOf(10)) {
      this.#take(this.#partial.subarray(0, end).toString())
      this.#partial = this.#partial.subarray(end + 1)
    }
    if (this.#partial.length > longestLine) this.#refuse(`a line of more than ${longestLine} bytes`)
    this.#wake()
  }

  #take(line: string) {
    const event = parseControlLine(line)
    if (event) this.#events.push(event)
    else this.#refuse(line)
  }

  #refuse(line: string) {
    const shown = JSON.stringify(line.slice(0, 100))
    this.#protocolError ??= new MoverFailure('Protocol', `unexpected line on the control FIFO: ${shown}`)
  }

  #die() {
    this.#dead = true
    this.#wake()
  }
}

/** Undefined for a line that is not of the protocol. */
export function parseControlLine(line: string): ControlEvent | undefined {
  const [word = '', first = '', ...rest] = line.split(' ')
  const number = /^\d{1,10}$/
  if (word === 'hello' && number.test(first) && rest.length === 0) return { event: 'hello' }
  if ((word === 'artifact' || word === 'want') && number.test(first) && rest.length > 0) {
    return { event: word, sequence: first, name: rest.join(' ') }
  }
  if (word === 'done' && number.test(first) && number.test(rest[0] ?? '')) {
    return { event: 'done', sequence: first, status: Number(rest[0]), late: rest.slice(1).map(programName) }
  }
  if (word === 'writers') return { event: 'writers', names: line.split(' ').slice(1).map(programName) }
  if (line === 'ended') return { event: 'ended' }
  if (word === 'exit' && number.test(first) && rest.length === 0) return { event: 'exit', status: Number(first) }
  return undefined
}

/** A process names itself as it likes. */
function programName(word: string): string {
  return word.replaceAll(/[^\w.:+-]/g, '?').slice(0, 32) || '?'
}
