/** In the order in which a Restore goes through them. Completed and Failed are final. */
export const restorePhases = ['Pending', 'Resolving', 'Restoring', 'Verifying', 'Completed', 'Failed'] as const
export type RestorePhase = (typeof restorePhases)[number]

export function isRestoreFinal(phase: RestorePhase | undefined): phase is 'Completed' | 'Failed' {
  return phase === 'Completed' || phase === 'Failed'
}
