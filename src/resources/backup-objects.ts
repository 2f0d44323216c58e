// The Backups that we create, and the VolumeSnapshots behind those of the snapshot strategy.
import type { Backup } from '../api/kinds/backup.ts'
import type { VolumeSnapshot } from '../api/kubernetes.ts'
import { annotation, apiVersion, label, labelValue, policyLabels } from '../api/labels.ts'
import { childBackupName, slotText } from '../api/names.ts'

/** A scheduled Backup. No ownerReference: it outlives its policy, because its data do (docs/design.md R8). */
export function scheduledBackup(namespace: string, policy: string, name: string, target: string, slot: Date): Backup {
  return {
    apiVersion,
    kind: 'Backup',
    metadata: {
      name,
      namespace,
      labels: { ...policyLabels(policy), [label.target]: labelValue(target), [label.slot]: slotText(slot) },
    },
    spec: { policy, target, slot: slot.toISOString() },
  }
}

/** The Backup of an on-demand run that only the bucket tells of: whoever asked for it has deleted his. It has no slot (docs/design.md R30). */
export function returnedBackup(namespace: string, policy: string, run: string, target: string): Backup {
  return {
    apiVersion,
    kind: 'Backup',
    metadata: {
      name: run,
      namespace,
      labels: { ...policyLabels(policy), [label.target]: labelValue(target) },
      annotations: { [annotation.run]: run },
    },
    spec: { policy, target },
  }
}

/** The Backup of one target of an on-demand Backup over several; it goes with its parent object. */
export function childBackup(parent: Backup, target: string): Backup {
  const { name, namespace, uid = '' } = parent.metadata
  return {
    apiVersion,
    kind: 'Backup',
    metadata: {
      name: childBackupName(name, uid, target),
      namespace,
      labels: { ...policyLabels(parent.spec.policy), [label.target]: labelValue(target) },
      ownerReferences: [{ apiVersion, kind: 'Backup', name, uid, controller: true, blockOwnerDeletion: false }],
    },
    spec: { policy: parent.spec.policy, target },
  }
}

/**
 * The VolumeSnapshot of a Backup. Without an owner: deleting the Backup object, or the policy, keeps the data.
 * @param askedAt RFC 3339
 * @param of the claim: its UID, and whether it goes with the pod that owns it
 */
export function volumeSnapshot(
  backup: Backup,
  name: string,
  claim: string,
  className: string,
  askedAt: string,
  of: { readonly claimUID?: string | undefined; readonly isEphemeral?: boolean } = {},
): VolumeSnapshot {
  const { policy, slot } = backup.spec
  return {
    apiVersion: 'snapshot.storage.k8s.io/v1',
    kind: 'VolumeSnapshot',
    metadata: {
      name,
      namespace: backup.metadata.namespace,
      labels: {
        ...policyLabels(policy),
        [label.target]: labelValue(claim),
        ...(slot ? { [label.slot]: slotText(new Date(slot)) } : {}),
        ...(of.isEphemeral ? { [label.ephemeral]: 'true' } : {}),
      },
      annotations: {
        [annotation.backup]: backup.metadata.name,
        [annotation.askedAt]: askedAt,
        ...(of.claimUID === undefined ? {} : { [annotation.claimUID]: of.claimUID }),
      },
    },
    spec: { volumeSnapshotClassName: className, source: { persistentVolumeClaimName: claim } },
  }
}
