// The CRDs of snapshots are removed and installed anew, and an export of the objects is applied, bound to the contents that stayed: names,
// labels and annotations are as they were.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { VolumeSnapshot } from '../../src/api/kubernetes.ts'
import type { Spec } from './toy/stories.ts'
import { Telling } from './toy/telling.ts'

const retention = 24
/** Of both claims. */
const all = 2 * retention

async function restored(backupsStay: boolean) {
  const spec: Spec = {
    strategy: 'snapshot',
    schedule: '*/5 * * * *',
    timeZone: 'Etc/UTC',
    retention,
    startingDeadlineSeconds: 600,
  }
  const telling = new Telling({ spec, fates: { jobs: ['commits'], snapshots: ['ready at once'] }, steps: [] })
  await telling.tell([
    { do: 'wait', seconds: retention * 300 + 3600 },
    { do: 'edit', spec: { schedule: '0 0 1 1 *' } },
    { do: 'wait', seconds: 60 },
  ])
  const { server } = telling
  const standing = () => server.all('volumesnapshots').filter(({ metadata }) => !metadata.deletionTimestamp)
  const exported = standing()
  if (backupsStay) await telling.tell([{ do: 'operator', up: false }])
  await telling.tell([
    { do: 'snapshot API', installed: false },
    { do: 'wait', seconds: 20 },
    { do: 'snapshot API', installed: true },
    { do: 'wait', seconds: 30 },
  ])
  for (const { metadata, spec: before, status } of exported) {
    const { name, labels, annotations } = metadata
    const object: VolumeSnapshot = {
      apiVersion: 'snapshot.storage.k8s.io/v1',
      kind: 'VolumeSnapshot',
      metadata: { name, labels, annotations },
      // It names a content, which nothing of ours reads.
      spec: { ...before, source: {} },
    }
    server.create('volumesnapshots', object)
    server.update('volumesnapshots', name, each => ({ ...each, status }))
  }
  await telling.tell([
    { do: 'operator', up: true },
    { do: 'wait', seconds: 60 },
    { do: 'edit', spec: { schedule: '*/5 * * * *' } },
    { do: 'wait', seconds: retention * 600 + 3600 },
  ])
  const isRestored = ({ spec: { source } }: VolumeSnapshot) => source.persistentVolumeClaimName === undefined
  return {
    restored: standing().filter(isRestored).length,
    own: standing().filter(each => !isRestored(each)).length,
  }
}

test('F38: snapshots that a restore has made of contents are superseded like others where their Backups are there', async () => {
  assert.deepEqual(await restored(true), { restored: 0, own: all })
})

test('F27: snapshots that a restore has made of contents stay where their Backups are gone, and keep no others from going', async () => {
  assert.deepEqual(await restored(false), { restored: all, own: all })
})
