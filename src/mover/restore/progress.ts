/** How far a restore has come, for its message: in plain bytes, or where these are secret as the same share of the stored ones. */
import { recordSizes, type BackupRecord } from '../../api/record.ts'
import type { Report } from '../protocol/report.ts'
import type { Content, Contents } from './contents.ts'

export class Progress {
  readonly #report: Report
  readonly #storedBytes: number
  /** As many plain bytes there are; undefined where nobody says. */
  readonly #plainBytes: number | undefined
  readonly #isSecret: boolean
  /** Plain bytes so far. What is read twice counts once. */
  #bytes = 0

  constructor(report: Report, record: BackupRecord, { artifacts, isEncrypted }: Contents) {
    const { bytes, storedBytes } = recordSizes(record)
    this.#report = report
    this.#storedBytes = storedBytes
    this.#isSecret = isEncrypted
    this.#plainBytes = isEncrypted ? artifacts.reduce((sum, { opened }) => sum + (opened?.sealed.bytes ?? 0), 0) : bytes
  }

  begin() {
    const storedBytes = this.#storedBytes
    const totalBytes = this.#isSecret ? storedBytes : this.#plainBytes
    this.#report.update({ phase: 'waiting', storedBytes, restore: { bytes: 0, totalBytes } })
  }

  /** The command is given this one now. */
  reach({ name }: Content) {
    if (!this.#isSecret) this.#note({ artifact: name })
  }

  add(more: number) {
    this.#bytes = Math.min(this.#bytes + more, this.#plainBytes ?? Infinity)
    this.#note({ bytes: this.#isSecret ? this.#share() : this.#bytes })
  }

  #share(): number {
    return Math.round((this.#bytes / (this.#plainBytes || 1)) * this.#storedBytes)
  }

  #note(change: { readonly artifact?: string | undefined; readonly bytes?: number }) {
    const { restore = { bytes: 0 } } = this.#report.message
    this.#report.note({ restore: { ...restore, ...change } })
  }
}
