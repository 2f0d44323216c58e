// Conditions that only policies with strategy snapshot have: their targets, and what becomes of snapshots.
import type { Verdict } from '../core/conditions.ts'
import type { PolicyFacts } from './facts.ts'
import { commonReason } from './targets.ts'

export function snapshotVerdicts({ policy, snapshotApi, targets }: PolicyFacts): readonly Verdict[] {
  const unready = targets.filter(({ ready }) => !ready)
  const all: Verdict =
    targets.length === 0
      ? {
          type: 'TargetsReady',
          status: 'Unknown',
          reason: snapshotApi ? 'SelectorMatchedNothing' : 'SnapshotCRDsMissing',
          message: 'there is no target to judge',
        }
      : unready.length === 0
        ? {
            type: 'TargetsReady',
            status: 'True',
            reason: 'Ready',
            message:
              targets.length === 1
                ? 'the one target can be snapshotted'
                : `all ${targets.length} targets can be snapshotted`,
          }
        : {
            type: 'TargetsReady',
            status: 'False',
            reason: commonReason(unready),
            message: unready.map(({ name, message }) => `${name}: ${message}`).join('; '),
          }
  const offsite: Verdict = policy.spec.backend
    ? {
        type: 'OffsiteCopy',
        status: 'False',
        reason: 'NotExported',
        message: 'snapshots stay on the storage system: this version does not export them to the backend yet',
      }
    : {
        type: 'OffsiteCopy',
        status: 'False',
        reason: 'NoBackend',
        message: 'snapshots stay on the storage system: the policy names no backend',
      }
  const losing = targets
    .filter(({ readiness: verdict }) => verdict?.ready && verdict.deletionPolicy === 'Delete')
    .map(({ name }) => name)
  const loses: readonly Verdict[] =
    losing.length === 0
      ? []
      : [
          {
            type: 'NamespaceDeletionLosesData',
            status: 'True',
            reason: 'DeletionPolicyDelete',
            message: `deleting the namespace deletes the snapshots of ${losing.join(', ')}: their class has deletionPolicy Delete; use a class with Retain to keep them`,
          },
        ]
  return [all, offsite, ...loses]
}
