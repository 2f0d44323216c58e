// The snapshot controller and its CSI driver.
import type { VolumeSnapshot } from '../../../src/api/kubernetes.ts'
import { stamp } from '../../plan/world.ts'
import type { ToyApiServer } from './api-server.ts'

/** Of the policies here, in seconds. */
export const limits = { cutTimeoutSeconds: 600, readyTimeoutSeconds: 3600 } as const

export const snapshotFates = [
  'ready at once',
  'cut at once, ready slowly',
  'ready after errors',
  'cut too late',
  /** After its limit, and yet a good one (F67). */
  'ready too late',
  'fails when it is cut',
  'never ready',
  'never cut',
] as const
export type SnapshotFate = (typeof snapshotFates)[number]

/**
 * Begins to make a snapshot, with what is to become of it.
 * @param after calls back so many seconds later.
 */
export function startSnapshot(
  server: ToyApiServer,
  { metadata: { name, uid } }: VolumeSnapshot,
  fate: SnapshotFate,
  after: (seconds: number, happen: () => void) => void,
): void {
  const set = (status: NonNullable<VolumeSnapshot['status']>) => {
    const current = server.get('volumesnapshots', name)
    if (current?.metadata.uid !== uid || current?.metadata.deletionTimestamp) return
    server.update('volumesnapshots', name, snapshot => ({
      ...snapshot,
      status: { ...snapshot.status, ...status },
    }))
  }
  const becomeReady = () => {
    const boundVolumeSnapshotContentName = `content-of-${name}`
    if (!server.get('volumesnapshotcontents', boundVolumeSnapshotContentName)) {
      const metadata = { name: boundVolumeSnapshotContentName }
      const content = {
        apiVersion: 'v1',
        kind: 'VolumeSnapshotContent',
        metadata,
        spec: { deletionPolicy: 'Delete' },
      }
      server.create('volumesnapshotcontents', content)
    }
    const { creationTime = stamp(server.now) } = server.get('volumesnapshots', name)?.status ?? {}
    set({ readyToUse: true, creationTime, restoreSize: '1Gi', error: undefined, boundVolumeSnapshotContentName })
  }
  const cut = () => set({ readyToUse: false, creationTime: stamp(server.now) })
  const fail = () => set({ readyToUse: false, error: { message: 'the array is busy' } })
  switch (fate) {
    case 'ready at once':
      return after(1, becomeReady)
    case 'cut at once, ready slowly':
      after(1, cut)
      return after(400, becomeReady)
    case 'ready after errors':
      after(5, fail)
      return after(60, becomeReady)
    case 'cut too late':
      return after(limits.cutTimeoutSeconds + 1, becomeReady)
    case 'ready too late':
      after(1, cut)
      return after(limits.readyTimeoutSeconds + 400, becomeReady)
    case 'fails when it is cut':
      after(1, cut)
      return after(60, fail)
    case 'never ready':
      return after(1, cut)
    case 'never cut':
  }
}
