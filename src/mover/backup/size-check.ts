/** The size of a new backup beside those of the others (docs/design.md R14, R24). */
import { recordSizes, type BackupRecord } from '../../api/record.ts'
import type { BackupTask } from '../../api/mover/task.ts'
import { judgeNewSize, type SizedRun } from '../../plan/history/sizes.ts'
import type { CatalogRun } from '../../storage/bucket/catalog.ts'

export function sizedRun({ run, slot, record }: CatalogRun, accepted: readonly string[]): SizedRun {
  return {
    id: run,
    slot,
    bytes: record && sizeOf(record),
    accepted: accepted.includes(run),
    suspect: record?.suspect === true,
    unchecked: record?.sizeCheck === 'unchecked',
  }
}

/** Of what is encrypted nobody knows the plain size. */
function sizeOf(record: BackupRecord): number {
  const { bytes, storedBytes } = recordSizes(record)
  return bytes ?? storedBytes
}

/** What the manifest will say of it. `runs`: the others, undefined where the store did not list them. */
export function checkSize(
  own: { readonly id: string; readonly slot: Date; readonly bytes: number },
  runs: readonly CatalogRun[] | undefined,
  task: Pick<BackupTask, 'accepted' | 'sizeHint'>,
): Pick<BackupRecord, 'suspect' | 'sizeCheck'> {
  const others = runs?.map(run => sizedRun(run, task.accepted))
  const verdict = judgeNewSize(own, others, task.sizeHint)
  return { suspect: verdict === 'suspect', sizeCheck: verdict === 'unchecked' ? 'unchecked' : 'compared' }
}
