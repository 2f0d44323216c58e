// What a mover is told about the runs before its own, which it could not know from the bucket (docs/design.md R7, R14, R24, R28, R29).
import type { BackupPolicyStatus, RetentionChange } from '../../api/kinds/backup-policy-status.ts'
import type { Marks } from '../../resources/jobs.ts'
import { marksOf } from '../runs/marks.ts'
import type { JobStrategyView, RunView } from '../view/view.ts'
import { endOfHour, lowerAt, settingOf } from './lowering.ts'
import type { Numbers } from './numbers.ts'
import { referenceSize, sizeHint } from './sizes.ts'
import { backupsInStore, sizedBackup } from './verdicts.ts'

/** @param status where what `numbers` says is remembered once it can be written */
export function ordersOf(
  runs: readonly RunView[],
  strategy: JobStrategyView,
  numbers: Numbers,
  status: BackupPolicyStatus | undefined,
): Marks {
  const sized = backupsInStore(runs, strategy).flatMap(sizedBackup)
  const reference = referenceSize(sized)
  const stored = referenceSize(sized, 'storedBytes')
  return {
    ...marksOf(runs.map(({ backup }) => backup)),
    ...(reference === undefined ? {} : { sizeHint: sizeHint(reference) }),
    ...(stored === undefined ? {} : { storedSizeHint: sizeHint(stored) }),
    ...changeOf('retentionChanged', numbers.scheduled, status?.retention),
    ...changeOf('onDemandRetentionChanged', numbers['on-demand'], status?.onDemandRetention),
  }
}

function changeOf(
  name: 'retentionChanged' | 'onDemandRetentionChanged',
  number: RetentionChange,
  told: RetentionChange | undefined,
): Partial<Marks> {
  const { changed } = settingOf(number)
  if (!changed || !lowerAt(number)) return {}
  // While it cannot be remembered each pass sees it for the first time: the end of this hour is the same in all of them, and no lower number
  // applies before its time.
  const since = told?.since === number.since ? changed.since.getTime() : endOfHour(changed.since).getTime()
  return { [name]: { previous: changed.previous, since } }
}
