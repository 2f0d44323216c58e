import { readFile } from 'node:fs/promises'
import type { Clock } from '../clock.ts'
import type { ClientConfig } from './config.ts'
import type { Log } from '../log.ts'

/** Projected tokens are replaced at 80 % of their life and the old one stays valid for minutes, so this is always early enough. */
const readAgainAfterMs = 10_000

/** The bearer token and the CA of a config, read again from their files as they are rotated. */
export class Credentials {
  readonly #token: RotatedFile
  readonly #ca: RotatedFile

  constructor(config: ClientConfig, clock: Clock, log: Log) {
    this.#token = new RotatedFile(config.tokenFile, config.token, clock, log)
    this.#ca = new RotatedFile(config.caFile, config.ca, clock, log)
  }

  token(): Promise<string | undefined> {
    return this.#token.value()
  }

  ca(): Promise<string | undefined> {
    return this.#ca.value()
  }

  /** After a 401: the next call reads the token now. False where there is no file, so that trying again is useless. */
  refreshToken(): boolean {
    return this.#token.expire()
  }
}

class RotatedFile {
  readonly #file: string | undefined
  readonly #clock: Clock
  readonly #log: Log
  #value: string | undefined
  #readAt = Number.NEGATIVE_INFINITY
  #reading: Promise<void> | undefined

  constructor(file: string | undefined, fixed: string | undefined, clock: Clock, log: Log) {
    this.#file = fixed === undefined ? file : undefined
    this.#value = fixed
    this.#clock = clock
    this.#log = log
  }

  async value(): Promise<string | undefined> {
    if (this.#file !== undefined && this.#clock.monotonic() - this.#readAt >= readAgainAfterMs) {
      this.#reading ??= this.#read(this.#file).finally(() => (this.#reading = undefined))
      await this.#reading
    }
    return this.#value
  }

  expire(): boolean {
    this.#readAt = Number.NEGATIVE_INFINITY
    return this.#file !== undefined
  }

  /** The kubelet swaps a symbolic link, so a read can meet a moment without the file: then the value of before stays. */
  async #read(file: string): Promise<void> {
    try {
      const text = (await readFile(file, 'utf8')).trim()
      if (text === '') throw new Error(`${file} is empty`)
      this.#value = text
      this.#readAt = this.#clock.monotonic()
    } catch (error) {
      if (this.#value === undefined) throw new Error(`cannot read the credentials file ${file}`, { cause: error })
      this.#log.warn({ err: error, file }, 'cannot read a credentials file again, keeping what was read before')
      this.#readAt = this.#clock.monotonic()
    }
  }
}
