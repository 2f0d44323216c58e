// Plans of one Backup, for the tests of each kind of Backup.
import type { Backup } from '../../src/api/kinds/backup.ts'
import type { PolicyWorld } from '../../src/plan/view/world.ts'
import { at, backup, claim, snapshotPolicy, stamp, world } from './world.ts'
import { does, only, planBackup } from './planned.ts'

export const now = at('12:00')
/** An on-demand Backup of now. */
export const asked = (more: Parameters<typeof backup>[1] = {}) =>
  backup('now', { ...more, metadata: { creationTimestamp: stamp(now), ...more.metadata } })

/** What is planned for one Backup, and what its status becomes. */
export function plan(seen: PolicyWorld, of: Backup, time = now) {
  const { actions, wakeAt } = planBackup(seen, of, undefined, time)
  return {
    actions,
    wakeAt,
    status: only(actions, 'status Backup')[0]?.status,
    does: actions.map(does),
  }
}

/** A world of strategy snapshot, with two claims. */
export const snapshots = (more: Parameters<typeof world>[1] = {}) =>
  world(snapshotPolicy(), { claims: [claim('data'), claim('logs')], ...more })
