export const backupPhases = ['Pending', 'Running', 'Completed', 'Failed', 'Skipped', 'Deleting'] as const
export type BackupPhase = (typeof backupPhases)[number]

/** A final phase never changes, except to Deleting. */
export function isFinal(phase: BackupPhase | undefined): boolean {
  return phase === 'Completed' || phase === 'Failed' || phase === 'Skipped' || phase === 'Deleting'
}
