// The snapshot controller and its CSI driver.
import type { VolumeSnapshot } from '../../../src/api/kubernetes.ts'
import type { ToyApiServer } from './api-server.ts'

export const snapshotFates = ['ready at once', 'ready slowly', 'ready after errors', 'ready too late', 'never'] as const
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
    set({ readyToUse: true, restoreSize: '1Gi', error: undefined, boundVolumeSnapshotContentName })
  }
  if (fate === 'ready at once') after(1, becomeReady)
  if (fate === 'ready slowly') after(400, becomeReady)
  if (fate === 'ready too late') after(601, becomeReady)
  if (fate === 'ready after errors') {
    after(5, () => set({ readyToUse: false, error: { message: 'the array is busy' } }))
    after(60, becomeReady)
  }
}
