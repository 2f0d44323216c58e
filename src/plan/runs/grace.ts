import type { Backup } from '../../api/kinds/backup.ts'
import { addSeconds, timeOf } from '../../schedule/times.ts'

/** A pipeline may create a Backup a little before what it needs: its policy, or the CRDs of snapshots. Seconds. */
const graceSeconds = 60

/** Until when a Backup waits for what it needs. */
export function graceEnd({ metadata }: Backup, now: Date): Date {
  return addSeconds(timeOf(metadata.creationTimestamp) ?? now, graceSeconds)
}
