// Backups of claims that have ended, with their snapshots.
import type { Backup } from '../../src/api/kinds/backup.ts'
import type { VolumeSnapshot } from '../../src/api/kubernetes.ts'
import { annotation } from '../../src/api/labels.ts'
import { at, completed, failed, ready, scheduled, snapshotOf } from './world.ts'

export type Kept = { readonly backup: Backup; readonly snapshot: VolumeSnapshot }

/** The n-th snapshot of a claim, an hour after the one before. */
export function kept(
  hour: number,
  more: {
    readonly target?: string
    readonly phase?: 'Completed' | 'Failed'
    readonly ready?: boolean
    readonly held?: boolean
  } = {},
): Kept {
  const { target = 'data', phase = 'Completed' } = more
  const slot = at(`${String(hour).padStart(2, '0')}:00`)
  const name = `nightly-${target}-${hour}`
  const snapshot = { name }
  const status =
    phase === 'Completed' ? completed(name, slot, { target, snapshot }) : failed(name, slot, { target, snapshot })
  const annotations: Backup['metadata']['annotations'] = more.held ? { [annotation.hold]: 'true' } : {}
  const backup = scheduled(slot, { name, target, status, metadata: { annotations } })
  return { backup, snapshot: snapshotOf(backup, { status: (more.ready ?? true) ? ready : { readyToUse: false } }) }
}
