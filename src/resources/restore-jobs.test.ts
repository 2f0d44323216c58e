import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { containersOf, envelopeProblems } from '../../test/plan/pod-envelope.ts'
import { chosen, fromPolicy, restore } from '../../test/plan/restore-world.ts'
import { at, backend, settings } from '../../test/plan/world.ts'
import type { Restore } from '../api/kinds/restore.ts'
import type { Container, Job } from '../api/kubernetes.ts'
import { label } from '../api/labels.ts'
import { permanentExitCodes } from '../api/mover/reasons.ts'
import { resolveJob, restoreJob, type Folder, type RestoreContainer } from './restore-jobs.ts'

const now = at('03:00')
const folder: Folder = {
  backend: { ...backend, region: 'us-east-1', ca: 'store-ca' },
  owner: { clusterId: 'cluster-1', namespace: 'shop', policy: 'nightly' },
}
const command: RestoreContainer = {
  image: 'postgres:15',
  imagePullSecrets: [{ name: 'pull' }],
  args: ['/.backup/feed', '-', 'pg_restore'],
  env: [{ name: 'PGHOST', value: 'db' }],
  volumes: [],
  mounts: [],
}
const backupOf = { target: 'command', run: chosen.run, slot: at('02:00') }
const full = restore({ ...fromPolicy, identities: { secretRef: 'keys' }, activeDeadlineSeconds: 600 })
const verifying = restore({ source: fromPolicy.source, verify: true, identities: { secretRef: 'keys' } })

const jobs: Readonly<Record<string, Job>> = {
  resolve: resolveJob(full, folder, { target: undefined, pick: 'newest' }, settings, now),
  restore: restoreJob(full, folder, backupOf, command, settings, now),
  verify: restoreJob(verifying, folder, backupOf, undefined, settings, now),
}

const mounts = ({ name, volumeMounts = [] }: Container) => [
  name,
  ...volumeMounts.map(mount => `${mount.name}${mount.readOnly ? ' ro' : ''}`),
]

suite('every pod of a Restore is restricted and needs no token:', () => {
  for (const [what, { spec }] of Object.entries(jobs))
    test(what, () => assert.deepEqual(envelopeProblems(spec.template.spec), []))
})

test('identities are mounted in the mover alone, and only where something is read', () => {
  const mounted = Object.entries(jobs).map(([what, { spec }]) => [
    what,
    ...containersOf(spec.template.spec).map(mounts),
  ])
  assert.deepEqual(mounted, [
    ['resolve', ['mover', 'credentials ro', 'ca ro']],
    [
      'restore',
      ['prepare', 'shared'],
      ['restore', 'shared', 'tmp'],
      ['mover', 'shared', 'identities ro', 'credentials ro', 'ca ro'],
    ],
    ['verify', ['mover', 'identities ro', 'credentials ro', 'ca ro']],
  ])
})

test('the command begins with the helper that ends it when the mover is gone', () => {
  const [container] = jobs['restore']?.spec.template.spec.containers ?? []
  assert.deepEqual(container?.command, ['/.backup/busybox', 'sh', '/.backup/restore-init.sh', '300'])
  assert.deepEqual(container?.args, command.args)
})

test('a Job of a Restore belongs to it, and to no policy', () => {
  for (const { metadata, spec } of Object.values(jobs)) {
    assert.equal(metadata.ownerReferences?.[0]?.uid, 'uid-of-back')
    assert.equal(metadata.labels?.[label.restore], 'back')
    assert.equal(metadata.labels?.[label.policy], undefined)
    assert.deepEqual(spec.template.metadata?.labels, metadata.labels)
  }
})

test('both Jobs are tried again, but not where no retry can cure', () => {
  const { resolve, restore: main } = jobs
  assert.deepEqual([resolve?.spec.backoffLimit, resolve?.spec.activeDeadlineSeconds], [2, 3 * 180 + 600])
  assert.deepEqual([main?.spec.backoffLimit, main?.spec.activeDeadlineSeconds], [2, 3 * 600 + 600])
  assert.equal(main?.spec.template.spec.activeDeadlineSeconds, 600)
  for (const job of [resolve, main])
    assert.deepEqual(job?.spec.podFailurePolicy?.rules[1], {
      action: 'FailJob',
      onExitCodes: { containerName: 'mover', operator: 'In', values: [...permanentExitCodes] },
    })
})

test('the names of the Jobs come from the UID of the Restore, so that one which is made anew has others', () => {
  const anew: Restore = { ...full, metadata: { ...full.metadata, uid: 'another' } }
  const names = [full, anew].map(of => restoreJob(of, folder, backupOf, command, settings, now).metadata.name)
  assert.equal(new Set(names).size, 2)
  assert.ok(names.every(name => /^restore-back-[0-9a-z]{10}$/.test(name)))
})
