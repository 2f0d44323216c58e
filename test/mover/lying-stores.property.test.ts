// What must hold whatever the store does and says: random histories of a policy's bucket, with the mover's own size check, retention
// and sweep, on a store that fails, lies, and loses what it was given. `HISTORIES` says how many; a failure prints its seed and the
// shortest history that fails.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import * as fc from 'fast-check'
import { encodeBackupRecord, triggerOfRun, type BackupRecord } from '../../src/api/record.ts'
import { applyRetention, sweepLeftovers, withoutFailing } from '../../src/mover/backup/retention.ts'
import { checkSize } from '../../src/mover/backup/size-check.ts'
import { Report } from '../../src/mover/protocol/report.ts'
import { silentLog } from '../../src/runtime/log.ts'
import { readCatalog, type CatalogRun } from '../../src/storage/bucket/catalog.ts'
import { writeHold } from '../../src/storage/bucket/holds.ts'
import { holdKey, layoutOf, manifestKey, segmentKey } from '../../src/storage/bucket/layout.ts'
import { dataMetadata } from '../../src/storage/bucket/upload-record.ts'
import { MemoryStore } from '../../src/storage/memory.ts'
import { LyingStore, type Damage, type Lie, type Teller } from '../storage/lying-store.ts'

const histories = Number(process.env['HISTORIES'] ?? (process.env['TEST_LONG'] ? 20_000 : 400))
const seed = process.env['SEED'] ?? (process.env['TEST_LONG'] ? undefined : '20261122')
const options = { numRuns: histories, ...(seed === undefined ? {} : { seed: Number(seed) }) }

const hourMs = 3_600_000
/** Between two runs: what one has left is swept by the next, although data wait a week for their manifest. */
const stepMs = 8 * 24 * hourMs
const layout = layoutOf({ namespace: 'shop', policy: 'orders' })
const owner = { clusterId: 'c', namespace: 'shop', policy: 'orders', policyUid: 'u' }
const wholeBytes = 10 << 20
const ruinBytes = 20

/** A key of a run: counted back from the one that is made in this step. */
type Place = { readonly back: number; readonly what: 'manifest' | 'segment' | 'hold' }

type Step = {
  /** `pg_dump nosuch | gzip`: the bytes come back, and are worth nothing. */
  readonly ruin: boolean
  readonly segments: number
  readonly onDemand: boolean
  /** A killed attempt left a segment of its own beside the one that committed. */
  readonly loser: boolean
  readonly keep: number
  /** `covered`: who goes on telling of it as it was. */
  readonly damages: readonly (Place & { readonly damage: Damage; readonly covered: Teller | undefined })[]
  readonly lies: readonly (Place & { readonly teller: Teller; readonly lie: Lie })[]
  readonly undeletable: readonly Place[]
  /** How far back the run is that somebody holds now. */
  readonly holds: number | undefined
}

const place = {
  back: fc.integer({ min: 0, max: 4 }),
  what: fc.constantFrom('manifest', 'segment', 'hold'),
} as const
const step: fc.Arbitrary<Step> = fc.record({
  ruin: fc.constantFrom(false, false, true),
  segments: fc.integer({ min: 1, max: 2 }),
  onDemand: fc.constantFrom(false, false, false, true),
  loser: fc.boolean(),
  keep: fc.constantFrom(1, 1, 2, 3),
  damages: fc.array(
    fc.record({
      ...place,
      what: fc.constantFrom('manifest', 'segment', 'segment', 'segment'),
      damage: fc.constantFrom('lost', 'cut', 'archived'),
      covered: fc.option(fc.constantFrom('list', 'head', 'get'), { nil: undefined, freq: 2 }),
    }),
    { maxLength: 2 },
  ),
  lies: fc.array(
    fc.record({
      ...place,
      teller: fc.constantFrom('list', 'head', 'get'),
      lie: fc.constantFrom('absent', 'stale', 'refused', 'unavailable', 'web-page'),
    }),
    { maxLength: 4 },
  ),
  undeletable: fc.array(fc.record(place), { maxLength: 1 }),
  holds: fc.option(fc.integer({ min: 0, max: 3 }), { nil: undefined, freq: 5 }),
})

type Stored = { readonly run: string; readonly slot: Date; readonly record: BackupRecord; readonly ruin: boolean }

/** One policy's bucket, and the movers that come to it, a day apart. */
class History {
  now = Date.UTC(2026, 0, 1)
  readonly store = new LyingStore(new MemoryStore(() => this.now))
  readonly #report: Report
  readonly runs: Stored[] = []
  readonly held = new Set<string>()

  constructor(directory: string) {
    this.#report = new Report(join(directory, 'termination-log'), silentLog, { phase: 'starting' })
  }

  async tell(step: Step) {
    this.now += stepMs
    const earlier = ({ back }: Place) => back > 0
    await this.#spoil(step, earlier)
    const held = step.holds === undefined ? undefined : this.runs.at(-1 - step.holds)
    if (held && (await this.exists(held))) {
      await writeHold(this.store, layout, { run: held.run, since: this.now })
      this.held.add(held.run)
    }
    await this.#backUp(step)
    this.store.repent()
  }

  /** What becomes of the store, at these places. */
  async #spoil({ damages, lies, undeletable }: Step, here: (place: Place) => boolean) {
    for (const { teller, lie, ...where } of lies.filter(here)) {
      const key = this.#key(where)
      if (key !== undefined) this.store.lie(key, teller, lie)
    }
    for (const { damage, covered, ...where } of damages.filter(here)) {
      const key = this.#key(where)
      if (key === undefined || !(await this.store.reallyReadable(key))) continue
      await this.store.damage(key, damage)
      if (covered) this.store.lie(key, covered, 'stale')
    }
    for (const where of undeletable.filter(here)) {
      const key = this.#key(where)
      if (key !== undefined) this.store.keep(key)
    }
  }

  /** As `backup.ts` does it: the list, the size, the manifest, retention, the sweep. */
  async #backUp(step: Step) {
    const earlier = await this.#catalog()
    const stored = await this.#write(step, earlier)
    await this.#spoil(step, ({ back }) => back === 0)
    const manifest = manifestKey(layout, 'command', stored.slot, stored.run)
    const precious = await this.newestWhole()
    const runs = earlier && [...earlier, { key: manifest, ...stored }].sort((a, b) => (a.key < b.key ? -1 : 1))
    const task = { owner, retention: step.keep, held: [], accepted: [], maxDeletes: 20 }
    const common = { task, run: stored.run, store: this.store, layout, adoptedAt: 0, formerly: [], now: this.now }
    const signal = AbortSignal.timeout(60_000)
    const all = { ...common, report: this.#report, signal }
    if (runs) await withoutFailing(this.#report, 'cannot prune', () => applyRetention({ ...all, runs }))
    await withoutFailing(this.#report, 'cannot sweep', () => sweepLeftovers(all))
    this.#report.update({ warnings: undefined })
    if (precious) assert.ok(await this.isWhole(precious), `${precious.run}, the newest whole backup, was deleted`)
    for (const run of this.runs.filter(each => this.held.has(each.run) && this.#stood.has(each.run))) {
      assert.ok(await this.exists(run), `${run.run} was held, and deleted`)
    }
  }

  /** Held runs whose manifest was there before the pass. */
  readonly #stood = new Set<string>()

  async #catalog(): Promise<readonly CatalogRun[] | undefined> {
    this.#stood.clear()
    for (const run of this.runs) if (this.held.has(run.run) && (await this.exists(run))) this.#stood.add(run.run)
    try {
      return await readCatalog(this.store, layout, 'command')
    } catch {
      return undefined
    }
  }

  async #write(step: Step, earlier: readonly CatalogRun[] | undefined): Promise<Stored> {
    const run = step.onDemand ? `backup-orders-${this.runs.length}` : `backup-orders-${this.now / 60_000}`
    const slot = new Date(this.now)
    const manifest = manifestKey(layout, 'command', slot, run)
    const bytes = step.ruin ? ruinBytes : wholeBytes
    if (step.loser) await this.#writeSegment({ run, attempt: 'loser' }, manifest, 0)
    const segments = []
    for (let index = 0; index < step.segments; index++) {
      const key = await this.#writeSegment({ run, attempt: 'winner' }, manifest, index)
      segments.push({ key: key.slice(layout.root.length), bytes: 2, parts: ['0'.repeat(64)] })
    }
    const time = slot.toISOString()
    const record: BackupRecord = {
      version: 2,
      trigger: triggerOfRun(run, owner.policy),
      run,
      jobUid: 'job',
      attempt: 'winner',
      owner,
      target: 'command',
      slot: time,
      startedAt: time,
      finishedAt: time,
      artifacts: [
        {
          kind: 'stream',
          name: 'dump',
          codecs: ['zstd'],
          partBytes: 8 << 20,
          segments,
          bytes,
          storedBytes: 2 * step.segments,
          sha256: '0'.repeat(64),
        },
      ],
      commit: 'conditional',
      ...checkSize({ id: run, slot, artifacts: [{ name: 'dump', bytes, storedBytes: 2 * step.segments }] }, earlier, {
        accepted: [],
      }),
      tools: {},
    }
    await this.store.put(manifest, Buffer.from(encodeBackupRecord(record)))
    const stored = { run, slot, record, ruin: step.ruin }
    this.runs.push(stored)
    return stored
  }

  async #writeSegment(attempt: { run: string; attempt: string }, manifest: string, index: number): Promise<string> {
    const key = segmentKey(layout, attempt, 'dump', index)
    const metadata = {
      [dataMetadata.manifest]: manifest.slice(layout.root.length),
      [dataMetadata.expiresAt]: String(this.now + 2 * hourMs),
    }
    const upload = await this.store.createUpload(key, { metadata })
    const part = await this.store.uploadPart(key, upload, 1, Buffer.from('xy'))
    await this.store.completeUpload(key, upload, [part], 2)
    return key
  }

  #key({ back, what }: Place): string | undefined {
    const made = this.runs.at(-1)?.slot.getTime() === this.now ? 1 : 0
    const stored = this.runs.at(-made - back)
    if (!stored || (back === 0 && made === 0)) return undefined
    if (what === 'hold') return holdKey(layout, stored.run)
    if (what === 'manifest') return manifestKey(layout, 'command', stored.slot, stored.run)
    return `${layout.root}${stored.record.artifacts[0]?.segments.at(-1)?.key}`
  }

  async exists({ slot, run }: Stored): Promise<boolean> {
    return (await this.store.reallyReadable(manifestKey(layout, 'command', slot, run))) !== undefined
  }

  /** What the command wrote comes back, every byte, at once. */
  async isWhole(stored: Stored): Promise<boolean> {
    const manifest = await this.store.reallyReadable(manifestKey(layout, 'command', stored.slot, stored.run))
    if (stored.ruin || manifest?.toString() !== encodeBackupRecord(stored.record)) return false
    for (const { key, bytes } of stored.record.artifacts.flatMap(({ segments }) => segments)) {
      if ((await this.store.reallyReadable(`${layout.root}${key}`))?.length !== bytes) return false
    }
    return true
  }

  async newestWhole(): Promise<Stored | undefined> {
    for (const stored of this.runs.toReversed()) if (await this.isWhole(stored)) return stored
    return undefined
  }
}

let directory: string
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'lying-'))
})
after(() => rmSync(directory, { recursive: true }))

test('F57 F59 F60 F63: the newest backup whose bytes really come back whole is never deleted, whatever the record and the store say, nor is a held one', () =>
  fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 8 }), async steps => {
      const history = new History(directory)
      for (const each of steps) await history.tell(each)
    }),
    options,
  ))

test('F65: with a store that tells the truth, retention leaves what it keeps and nothing else', () =>
  fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 2, maxLength: 8 }),
      fc.integer({ min: 1, max: 3 }),
      async (steps, keep) => {
        const history = new History(directory)
        for (const each of steps) {
          await history.tell({ ...each, ruin: false, keep, damages: [], lies: [], undeletable: [], holds: undefined })
        }
        const left = await Promise.all(history.runs.map(async run => ((await history.exists(run)) ? [run] : [])))
        for (const onDemand of [true, false]) {
          const all = history.runs.filter((_, index) => steps[index]?.onDemand === onDemand)
          assert.equal(left.flat().filter(run => all.includes(run)).length, Math.min(all.length, keep))
        }
      },
    ),
    { ...options, numRuns: Math.ceil(histories / 10) },
  ))
