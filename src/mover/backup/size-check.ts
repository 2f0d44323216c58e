/** The size of a new backup beside those of the others (docs/design.md R14, R24). */
import { recordSizes, sizesOf, type BackupArtifact, type BackupRecord } from '../../api/record.ts'
import type { BackupTask } from '../../api/mover/task.ts'
import { judgeNewSize, type SizedRun } from '../../plan/history/sizes.ts'
import type { CatalogRun } from '../../storage/bucket/catalog.ts'

export function sizedRun({ run, slot, record }: CatalogRun, accepted: readonly string[]): SizedRun {
  return {
    id: run,
    slot,
    ...(record ? recordSizes(record) : {}),
    artifacts: namedSizes(record?.artifacts ?? []),
    accepted: accepted.includes(run),
    suspect: record?.suspect === true,
    unchecked: record?.sizeCheck === 'unchecked',
  }
}

type Sized = Pick<BackupArtifact, 'name' | 'bytes' | 'storedBytes'>

/** Of what is encrypted nobody knows which artifact is which. */
function namedSizes(artifacts: readonly Sized[]): ReadonlyMap<string, number> {
  return new Map(
    artifacts.flatMap(({ name, bytes }) => (name === undefined || bytes === undefined ? [] : [[name, bytes] as const])),
  )
}

export interface SizeCheck extends Pick<BackupRecord, 'suspect' | 'sizeCheck'> {
  /** Artifacts that are far smaller than in the runs before, by their names. */
  readonly shrunk: readonly string[]
}

/** What the manifest will say of it. `runs`: the others, undefined where the store did not list them. */
export function checkSize(
  own: { readonly id: string; readonly slot: Date; readonly artifacts: readonly Sized[] },
  runs: readonly CatalogRun[] | undefined,
  task: Pick<BackupTask, 'accepted' | 'sizeHint' | 'storedSizeHint'>,
): SizeCheck {
  const { id, slot } = own
  const run = { id, slot, ...sizesOf(own.artifacts), artifacts: namedSizes(own.artifacts) }
  const others = runs?.map(other => sizedRun(other, task.accepted))
  const hint = run.bytes === undefined ? task.storedSizeHint : task.sizeHint
  const { verdict, shrunk } = judgeNewSize(run, others, hint)
  return { suspect: verdict === 'suspect', sizeCheck: verdict === 'unchecked' ? 'unchecked' : 'compared', shrunk }
}
