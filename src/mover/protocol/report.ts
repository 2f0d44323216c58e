/**
 * What the mover tells: the termination message, rewritten at every step, so that it is there after SIGKILL and out-of-memory too;
 * and one JSON line of log a step.
 */
import { closeSync, constants, ftruncateSync, openSync, writeSync } from 'node:fs'
import { encodeMoverMessage, messageLimit, type MoverMessage } from '../../api/mover/message.ts'
import type { MoverWarningReason } from '../../api/mover/reasons.ts'
import type { Log } from '../../runtime/log.ts'
import type { MoverFailure } from '../failure.ts'

export class Report {
  readonly #path: string
  readonly #log: Log
  #message: MoverMessage

  constructor(path: string, log: Log, start: MoverMessage) {
    this.#path = path
    this.#log = log
    this.#message = start
    this.#write()
  }

  get message(): MoverMessage {
    return this.#message
  }

  get log(): Log {
    return this.#log
  }

  /** Changes some fields; `undefined` removes one. `limit` in bytes. */
  update(change: Partial<MoverMessage>, limit = messageLimit) {
    const before = this.#message.phase
    this.#message = { ...this.#message, ...change }
    this.#write(limit)
    if (this.#message.phase !== before) this.#log.info({ ...this.#message }, 'phase')
  }

  /** Remembers figures for the next time that the message is written. */
  note(figures: Partial<MoverMessage>) {
    this.#message = { ...this.#message, ...figures }
  }

  warn(reason: MoverWarningReason, message: string) {
    this.#log.warn({ reason }, message)
    this.update({ warnings: [...(this.#message.warnings ?? []), { reason, message }] })
  }

  /** `tooLate`: no other attempt may follow. */
  fail(failure: MoverFailure, tooLate?: true) {
    const { reason, message, sourceStatus, disproved } = failure
    this.update({ phase: 'failed', reason, message, sourceStatus, disproved, tooLate, finishedAt: Date.now() })
    this.#log.error({ reason, cause: causesOf(failure) }, message)
  }

  /** In place, one write, then cut: a kill in between leaves the new line with the end of an old one, never nothing. */
  #write(limit = messageLimit) {
    const { phase, reason, ...rest } = this.#message
    const line = Buffer.from(encodeMoverMessage({ phase, reason, ...rest }, limit))
    try {
      const file = openSync(this.#path, constants.O_WRONLY | constants.O_CREAT, 0o644)
      try {
        writeSync(file, line, 0, line.length, 0)
        ftruncateSync(file, line.length)
      } finally {
        closeSync(file)
      }
    } catch (err) {
      // The backup is worth more than its message: the manifest tells the operator too.
      this.#log.warn({ err }, 'cannot write the termination message')
    }
  }
}

function causesOf(error: Error): readonly string[] {
  const causes: string[] = []
  for (let cause = error.cause; cause instanceof Error && causes.length < 5; cause = cause.cause)
    causes.push(cause.message)
  return causes
}
