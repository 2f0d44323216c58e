// What a mover is told about the runs before its own, which it could not know from the bucket (docs/design.md R7, R14, R24, R28, R29).
import type { RetentionChange } from '../../api/kinds/backup-policy-status.ts'
import type { Marks } from '../../resources/jobs.ts'
import { marksOf } from '../runs/marks.ts'
import type { JobStrategyView, RunView } from '../view/view.ts'
import { lowerAt, settingOf } from './lowering.ts'
import type { Numbers } from './numbers.ts'
import { referenceSize, sizeHint } from './sizes.ts'
import { backupsInStore, sizedBackup } from './verdicts.ts'

export function ordersOf(runs: readonly RunView[], strategy: JobStrategyView, numbers: Numbers): Marks {
  const reference = referenceSize(backupsInStore(runs, strategy).flatMap(sizedBackup))
  return {
    ...marksOf(runs.map(({ backup }) => backup)),
    ...(reference === undefined ? {} : { sizeHint: sizeHint(reference) }),
    ...changeOf('retentionChanged', numbers.scheduled),
    ...changeOf('onDemandRetentionChanged', numbers['on-demand']),
  }
}

function changeOf(name: 'retentionChanged' | 'onDemandRetentionChanged', number: RetentionChange): Partial<Marks> {
  const { changed } = settingOf(number)
  if (!changed || !lowerAt(number)) return {}
  return { [name]: { previous: changed.previous, since: changed.since.getTime() } }
}
