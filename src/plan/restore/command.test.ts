import assert from 'node:assert/strict'
import { test } from 'node:test'
import { chosen, fromPolicy, restore } from '../../../test/plan/restore-world.ts'
import { policy } from '../../../test/plan/world.ts'
import type { RestoreContainer } from '../../resources/restore-jobs.ts'
import { isRefusal, restoreContainer, type Connect } from './command.ts'

const ofPreset = { ...chosen, preset: 'postgres' }

function made(...given: Parameters<typeof restoreContainer>): RestoreContainer {
  const container = restoreContainer(...given)
  assert.ok(container && !isRefusal(container), JSON.stringify(container))
  return container
}

function refused(...given: Parameters<typeof restoreContainer>): string {
  const refusal = restoreContainer(...given)
  assert.ok(isRefusal(refusal))
  assert.equal(refusal.reason, 'RestoreCommandMissing')
  return refusal.message
}

const valuesOf = ({ env }: RestoreContainer) => Object.fromEntries(env.map(({ name, value }) => [name, value]))

test('a command of the user reads the one artifact, in the image of the policy, as its user', () => {
  const job = {
    image: 'postgres:15',
    args: ['pg_dump'],
    imagePullSecrets: [{ name: 'pull' }],
    runAsUser: 999,
    resources: { limits: { memory: '1Gi' } },
  }
  const container = made(policy({ strategy: { type: 'job', job } }), restore(), chosen)
  assert.deepEqual(container.args, ['/.backup/feed', '-', 'pg_restore', '-e', '-d', 'shop'])
  assert.deepEqual([container.image, container.runAsUser], ['postgres:15', 999])
  assert.deepEqual(container.resources, job.resources)
  assert.deepEqual(container.imagePullSecrets, [{ name: 'pull' }])
})

test('of a backup of several artifacts a command of the user asks for each by its name', () => {
  const container = made(policy(), restore(), { ...chosen, artifacts: 2 })
  assert.deepEqual(container.args, ['pg_restore', '-e', '-d', 'shop'])
})

test('the image of the Restore comes before that of the target, and that before the one of the policy', () => {
  const named = { ...fromPolicy, into: { ...fromPolicy.into, image: 'mine:1' } }
  const connect: Connect = () => ({ image: 'target:1', env: [], volumes: [], mounts: [] })
  assert.equal(made(policy(), restore(named), chosen).image, 'mine:1')
  assert.equal(made(policy(), restore({ ...fromPolicy, into: {} }), ofPreset, connect).image, 'target:1')
  assert.deepEqual(made(policy(), restore(named), chosen).imagePullSecrets, undefined)
})

test('the script of a preset is given what is asked for, and nothing that a connection brings says otherwise', () => {
  const into = { database: "sh'op", overwrite: true, previous: 'Delete', only: { database: '$(PGHOST)=x' } }
  const of = restore({ ...fromPolicy, into })
  const connection = { env: [{ name: 'BACKUP_OVERWRITE', value: 'false' }], volumes: [], mounts: [] }
  const container = made(policy(), of, ofPreset, () => connection)
  assert.deepEqual(container.args, ['/.backup/busybox', 'sh', '/.backup/preset-postgres.sh', 'restore'])
  const { BACKUP_RESTORE_ID: id, ...values } = valuesOf(container)
  assert.match(id ?? '', /^[0-9a-z]{10}$/)
  assert.deepEqual(values, {
    BACKUP_RESTORE_UID: 'uid-of-back',
    BACKUP_SLOT: '20260105T020000Z',
    BACKUP_DATABASE: '$$(PGHOST)=x',
    BACKUP_INTO: "sh'op",
    BACKUP_OVERWRITE: 'true',
    BACKUP_PREVIOUS: 'Delete',
    BACKUP_GLOBALS: 'false',
    BACKUP_USERS: 'false',
  })
})

test('what the Restore leaves open has no variable', () => {
  const container = made(policy(), restore({ ...fromPolicy, into: {} }), ofPreset, () => ({
    env: [],
    volumes: [],
    mounts: [],
  }))
  const values = valuesOf(container)
  assert.ok(!('BACKUP_INTO' in values) && !('BACKUP_DATABASE' in values) && !('BACKUP_TABLE' in values))
  assert.equal(values['BACKUP_GLOBALS'], 'true')
})

test('a backup of a command is not restored before somebody says by what', () => {
  assert.match(refused(policy(), restore({ ...fromPolicy, into: {} }), chosen), /into.command or into.args/)
})

test('a preset whose database nobody knows how to reach is refused', () => {
  assert.match(refused(policy(), restore({ ...fromPolicy, into: {} }), ofPreset), /preset postgres/)
})

test('an image that nobody names is not guessed', () => {
  assert.match(refused(undefined, restore(), chosen), /into.image/)
})

test('a Restore that verifies runs nothing beside the mover', () => {
  assert.equal(restoreContainer(policy(), restore({ source: fromPolicy.source, verify: true }), ofPreset), undefined)
})
