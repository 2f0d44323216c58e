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
    artifacts: new Map(record?.artifacts.flatMap(({ name, bytes }) => namedSize(name, bytes))),
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

function namedSize(name: string | undefined, bytes: number | undefined): readonly (readonly [string, number])[] {
  return name === undefined || bytes === undefined ? [] : [[name, bytes]]
}

export interface SizeCheck extends Pick<BackupRecord, 'suspect' | 'sizeCheck'> {
  /** Artifacts that are far smaller than in the runs before, by their names. */
  readonly shrunk: readonly string[]
}

/** What the manifest will say of it. `runs`: the others, undefined where the store did not list them. */
export function checkSize(
  own: {
    readonly id: string
    readonly slot: Date
    readonly artifacts: readonly { readonly name: string; readonly bytes: number }[]
  },
  runs: readonly CatalogRun[] | undefined,
  task: Pick<BackupTask, 'accepted' | 'sizeHint'>,
): SizeCheck {
  const { id, slot } = own
  const bytes = own.artifacts.reduce((sum, artifact) => sum + artifact.bytes, 0)
  const artifacts = new Map(own.artifacts.map(artifact => [artifact.name, artifact.bytes]))
  const others = runs?.map(run => sizedRun(run, task.accepted))
  const { verdict, shrunk } = judgeNewSize({ id, slot, bytes, artifacts }, others, task.sizeHint)
  return { suspect: verdict === 'suspect', sizeCheck: verdict === 'unchecked' ? 'unchecked' : 'compared', shrunk }
}
