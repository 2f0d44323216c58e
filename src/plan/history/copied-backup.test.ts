// Somebody copies a Backup that came back from the bucket (`kubectl get -o yaml`, another name, `kubectl create`) while the catalog is read.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { storeLocation } from '../../resources/desired-state.ts'
import { returnedBackup } from '../../resources/backup-objects.ts'
import { only, planBackup, planPolicy } from '../../../test/plan/planned.ts'
import { at, backup, completed, namespace, policy, world } from '../../../test/plan/world.ts'

const run = 'backup-nightly-0123456789'

test('a copied Backup is no second run, and its policy goes on being planned', () => {
  const made = returnedBackup(namespace, 'nightly', run, 'command')
  const returned = backup(run, {
    spec: made.spec,
    metadata: made.metadata,
    status: completed(run, at('02:10'), { store: storeLocation(policy().spec.backend ?? assert.fail()), bytes: 10 }),
  })
  const copy = backup('my-copy', {
    spec: made.spec,
    metadata: { ...made.metadata, name: 'my-copy', uid: 'uid-of-copy' },
  })
  const time = at('02:00').getTime()
  const entry = {
    run,
    slot: time,
    startedAt: time,
    finishedAt: time,
    bytes: 10,
    storedBytes: 5,
    trigger: 'on-demand',
  } as const
  const catalog = { entries: new Map([[run, entry]]), open: true }
  const { actions } = planBackup(world(policy(), { backups: [returned] }), copy, catalog, at('12:00'))
  const told = only(actions, 'status Backup')[0]?.backup
  const backups = [returned, told ?? copy]
  assert.doesNotThrow(
    () => planPolicy(world(policy(), { backups }), at('12:01')),
    `the copy says ${told?.status?.phase}, run ${told?.status?.run}`,
  )
})
