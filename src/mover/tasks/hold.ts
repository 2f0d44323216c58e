/** Holds one backup in the bucket, or releases it (docs/design.md R28). */
import { setTimeout as delay } from 'node:timers/promises'
import type { HoldTask } from '../../api/mover/task.ts'
import { findManifest, readRun } from '../../storage/bucket/catalog.ts'
import { isHeld, removeHold, writeHold } from '../../storage/bucket/holds.ts'
import { layoutOf, manifestKey } from '../../storage/bucket/layout.ts'
import { claimFolder } from '../../storage/bucket/ownership.ts'
import { MoverFailure } from '../failure.ts'
import type { Report } from '../protocol/report.ts'
import { openStores } from '../stores.ts'

/** How long after each look that finds no manifest the next one follows. */
const lookAgainMs = [1000, 2000, 4000, 8000] as const

/**
 * The hold is written first, and the manifest looked for afterwards: who deletes looks the other way round, so that one of the two
 * sees the other.
 * @throws MoverFailure BackupNotFound when there is nothing to hold (any more); then no hold is left that was not there before.
 */
export async function runHold(task: HoldTask, report: Report, now: number, signal: AbortSignal): Promise<void> {
  report.update({ phase: 'probing' })
  const { quick: store } = await openStores(task, report.log)
  const { owner, backend, run, target } = task
  const layout = layoutOf({ prefix: backend.prefix, namespace: owner.namespace, policy: owner.policy })
  await claimFolder(store, layout, task, now, signal)
  if (task.held) {
    // One that was there before is not ours to take away: what does not find the backup may be wrong.
    const wasHeld = await isHeld(store, layout, run, signal)
    await writeHold(store, layout, { run, since: now }, signal)
    const isThere = async () => {
      const manifest =
        task.slot === undefined
          ? await findManifest(store, layout, target, run, signal)
          : manifestKey(layout, target, new Date(task.slot), run)
      return manifest !== undefined && (await readRun(store, layout, manifest, signal)) !== undefined
    }
    // Who deletes it at this very moment sees the hold, and puts the manifest back.
    let found = await isThere()
    for (const ms of lookAgainMs) {
      if (found) break
      await delay(ms, undefined, { signal })
      found = await isThere()
    }
    // A list alone that lacks it says little against a hold that stands.
    if (!found && !(wasHeld && task.slot === undefined)) {
      if (!wasHeld) await removeHold(store, layout, run, signal)
      throw new MoverFailure(
        'BackupNotFound',
        `there is no manifest of ${run}: the backup was deleted, and cannot be held`,
      )
    }
  } else {
    await removeHold(store, layout, run, signal)
  }
  const held = await isHeld(store, layout, run, signal)
  if (held !== task.held) {
    const is = held ? 'still there after it was deleted' : 'not there after it was written'
    throw new MoverFailure('StoreRejected', `the hold of ${run} is ${is}; the store did not do what it confirmed`)
  }
  report.update({ phase: 'done', hold: { run, held }, finishedAt: now })
}
