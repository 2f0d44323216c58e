/** Holds one backup in the bucket, or releases it (docs/design.md R28). */
import type { HoldTask } from '../../api/mover/task.ts'
import { findManifest, readRun } from '../../storage/bucket/catalog.ts'
import { isHeld, removeHold, writeHold } from '../../storage/bucket/holds.ts'
import { layoutOf, manifestKey } from '../../storage/bucket/layout.ts'
import { claimFolder } from '../../storage/bucket/ownership.ts'
import { MoverFailure } from '../failure.ts'
import type { Report } from '../protocol/report.ts'
import { openStores } from '../stores.ts'

/**
 * The hold is written first, and the manifest looked for afterwards: who deletes looks the other way round, so that one of the two
 * sees the other.
 * @throws MoverFailure BackupNotFound when there is nothing to hold (any more); then no hold is left.
 */
export async function runHold(task: HoldTask, report: Report, now: number, signal: AbortSignal): Promise<void> {
  report.update({ phase: 'probing' })
  const { quick: store } = await openStores(task, report.log)
  const { owner, backend, run, target } = task
  const layout = layoutOf({ prefix: backend.prefix, namespace: owner.namespace, policy: owner.policy })
  await claimFolder(store, layout, owner, now, signal)
  if (task.held) {
    await writeHold(store, layout, { run, since: now }, signal)
    const manifest =
      task.slot === undefined
        ? await findManifest(store, layout, target, run, signal)
        : manifestKey(layout, target, new Date(task.slot), run)
    if (manifest === undefined || !(await readRun(store, layout, manifest, signal))) {
      await removeHold(store, layout, run, signal)
      const words = `there is no ${manifest ?? `manifest of ${run}`}: the backup was deleted, and cannot be held`
      throw new MoverFailure('BackupNotFound', words)
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
