// The bucket of one policy, and what movers do with it: the real retention, on names only.
import assert from 'node:assert/strict'
import type { CatalogEntry, KeptRuns, MoverMessage } from '../../../src/api/mover/message.ts'
import { runsDigest } from '../../../src/api/mover/runs-digest.ts'
import type { BackupTask, HoldTask } from '../../../src/api/mover/task.ts'
import { slotText } from '../../../src/api/names.ts'
import { keepingOfTask } from '../../../src/plan/history/numbers.ts'
import { planRetention } from '../../../src/plan/history/retention.ts'

export type StoredRun = {
  readonly run: string
  /** Its folder. */
  readonly target: string
  readonly slot: Date
  readonly jobUid: string
  readonly startedAt: number
  readonly finishedAt: number
  readonly suspect: boolean
  readonly trigger?: 'on-demand'
}

/** Catalog pages are so small here that a few runs make several. */
const pageSize = 2

export class ToyBucket {
  readonly runs = new Map<string, StoredRun>()
  /** Names of all runs that were ever deleted by a mover. */
  readonly pruned = new Set<string>()
  /** Names of the runs that are held here. */
  readonly holds = new Set<string>()
  usable = true

  /** Writes the manifest, then retention as the mover does it. Undefined: another Job's manifest is there. */
  commit(stored: StoredRun, task: BackupTask): MoverMessage | undefined {
    const existing = this.runs.get(stored.run)
    if (existing && existing.jobUid !== stored.jobUid) return undefined
    const trigger = task.trigger === 'on-demand' ? { trigger: task.trigger } : {}
    this.runs.set(stored.run, existing ?? { ...stored, ...trigger })
    const own = this.#of(task.target)
    const plan = planRetention(
      own.map(({ run, slot, suspect, trigger }) => ({
        id: run,
        slot,
        trigger: trigger ?? 'scheduled',
        good: true,
        suspect: suspect && !task.accepted.includes(run),
      })),
      keepingOfTask(
        task,
        own.flatMap(({ run, finishedAt }) => (run === stored.run ? [] : [new Date(finishedAt)])),
        stored.slot,
        new Date(stored.finishedAt),
      ),
    )
    const before = own.length
    // As `deleteBackup` asks right before: what is held here stays, whatever the task knows of it.
    const deleted = plan.deleteNow.filter(id => !this.holds.has(id))
    for (const id of deleted) {
      assert.ok(!task.held.includes(id), `the held run ${id} was deleted`)
      this.runs.delete(id)
      this.pruned.add(id)
    }
    assert.ok(
      this.#of(task.target).length >= Math.min(task.retention, before),
      'a mover deleted more than retention allows',
    )
    const { run, slot, startedAt, finishedAt, suspect } = stored
    return {
      phase: 'committed',
      run,
      startedAt,
      finishedAt,
      slot: slot.getTime(),
      bytes: 1000,
      storedBytes: 100,
      manifest: `manifests/${run}.json`,
      ...(suspect ? { suspect } : {}),
      kept: this.kept(task.target),
      deleted,
    }
  }

  hold({ run, held }: HoldTask): MoverMessage {
    if (!held) this.holds.delete(run)
    else if (this.runs.has(run)) this.holds.add(run)
    else return { phase: 'failed', reason: 'BackupNotFound', message: `there is no manifest of ${run}` }
    return { phase: 'done', hold: { run, held } }
  }

  kept(target: string): KeptRuns {
    const own = this.#of(target)
    return { count: own.length, digest: runsDigest(own.map(({ run }) => run)) }
  }

  #of(target: string): readonly StoredRun[] {
    return [...this.runs.values()].filter(stored => stored.target === target)
  }

  page(target: string, cursor: string | undefined): NonNullable<MoverMessage['catalog']> {
    const keyed = this.#of(target)
      .map(stored => ({ key: `${slotText(stored.slot)}-${stored.run}`, stored }))
      .filter(({ key }) => cursor === undefined || key > cursor)
      .toSorted((a, b) => (a.key < b.key ? -1 : 1))
    const page = keyed.slice(0, pageSize)
    const next = page.length < keyed.length ? page.at(-1)?.key : undefined
    return {
      entries: page.map(({ stored }) => entryOf(stored, this.holds.has(stored.run))),
      ...(next === undefined ? {} : { next }),
    }
  }
}

function entryOf({ run, slot, startedAt, finishedAt, suspect, trigger }: StoredRun, held: boolean): CatalogEntry {
  return {
    run,
    slot: slot.getTime(),
    startedAt,
    finishedAt,
    bytes: 1000,
    storedBytes: 100,
    ...(suspect ? { suspect } : {}),
    ...(trigger ? { trigger } : {}),
    ...(held ? { held } : {}),
  }
}
