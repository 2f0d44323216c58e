// What runs beside the mover of a restore.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { all, found, presetPolicy, unresolved } from '../../../test/plan/preset-world.ts'
import { chosen, fromPolicy, restore } from '../../../test/plan/restore-world.ts'
import { policy } from '../../../test/plan/world.ts'
import type { ResolvedTarget } from '../../presets/preset.ts'
import type { RestoreContainer } from '../../resources/restore-jobs.ts'
import { isRefusal, restoreContainer, type ChosenBackup, type RestoreBasis, type RestoreRefusal } from './command.ts'

const ofPreset: ChosenBackup = { ...chosen, preset: 'postgres', target: 'db' }
const stating = (job: object): RestoreBasis => ({
  policy: policy({ strategy: { type: 'job', job: { image: 'postgres:17', args: ['pg_dump'], ...job } } }),
  workloads: undefined,
})
const finding = (...targets: Parameters<typeof all>[0]): RestoreBasis => ({
  policy: presetPolicy(),
  workloads: all(targets),
})
const nobody: RestoreBasis = { policy: undefined, workloads: undefined }
const into = (fields: object) => restore({ ...fromPolicy, into: fields })
const credentials = { user: 'root', passwordFrom: { secretKeyRef: { name: 'admin', key: 'pw' } } }

function made(...given: Parameters<typeof restoreContainer>): RestoreContainer {
  const container = restoreContainer(...given)
  assert.ok(container && !isRefusal(container), JSON.stringify(container))
  return container
}

function refused(...given: Parameters<typeof restoreContainer>): RestoreRefusal {
  const refusal = restoreContainer(...given)
  assert.ok(isRefusal(refusal), JSON.stringify(refusal))
  return refusal
}

const valuesOf = ({ env }: RestoreContainer): Readonly<Record<string, unknown>> =>
  Object.fromEntries(env.map(({ name, value, valueFrom }) => [name, value ?? valueFrom]))

test('a command of the user reads the one artifact, in the image of the policy, as its user', () => {
  const job = {
    image: 'postgres:15',
    imagePullSecrets: [{ name: 'pull' }],
    runAsUser: 999,
    resources: { limits: { memory: '1Gi' } },
  }
  const container = made(stating(job), restore(), chosen)
  assert.deepEqual(container.args, ['/.backup/feed', '-', 'pg_restore', '-e', '-d', 'shop'])
  assert.deepEqual([container.image, container.runAsUser], ['postgres:15', 999])
  assert.deepEqual(container.resources, job.resources)
  assert.deepEqual(container.imagePullSecrets, [{ name: 'pull' }])
})

test('of a backup of several artifacts a command of the user asks for each by its name', () => {
  const container = made(stating({}), restore(), { ...chosen, artifacts: 2 })
  assert.deepEqual(container.args, ['pg_restore', '-e', '-d', 'shop'])
})

test('the command that the policy states restores, in the environment of that which made the backup', () => {
  const volumes = [{ name: 'tls', mountPath: '/tls', secret: { name: 'client' } }]
  const env = [{ name: 'PGHOST', value: 'db' }]
  const basis = stating({ env, volumes, restore: { args: ['pg_restore', '-d', 'copy'] } })
  const container = made(basis, into({}), chosen)
  assert.deepEqual(container.args, ['/.backup/feed', '-', 'pg_restore', '-d', 'copy'])
  assert.equal(valuesOf(container)['PGHOST'], 'db')
  assert.deepEqual(container.mounts, [{ name: 'tls', mountPath: '/tls', readOnly: true }])
})

test('the image of the Restore comes before that of the target, and that before the one of the policy', () => {
  assert.equal(made(stating({}), into({ ...fromPolicy.into, image: 'mine:1' }), chosen).image, 'mine:1')
  const target = found('db', { image: 'target:1', imagePullSecrets: ['registry'] })
  const inferred = made(finding(target), into({}), ofPreset)
  assert.deepEqual([inferred.image, inferred.imagePullSecrets], ['target:1', [{ name: 'registry' }]])
  const named = made(finding(target), into({ image: 'mine:1' }), ofPreset)
  assert.deepEqual([named.image, named.imagePullSecrets], ['mine:1', undefined])
})

test('the script of a preset is given what is asked for, and how its database is reached', () => {
  const of = into({ database: "sh'op", overwrite: true, previous: 'Delete', only: { database: '$(PGHOST)=x' } })
  const container = made(finding(found('db')), of, ofPreset)
  assert.deepEqual(container.args, ['/.backup/busybox', 'sh', '/.backup/preset-postgres.sh', 'restore'])
  const { BACKUP_RESTORE_ID: id, ...values } = valuesOf(container)
  assert.match(String(id), /^[0-9a-z]{10}$/)
  assert.deepEqual(values, {
    PGHOST: 'db',
    PGPORT: '5432',
    PGUSER: 'postgres',
    PGPASSWORD: { secretKeyRef: { name: 'db', key: 'password' } },
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
  const values = valuesOf(made(finding(found('db')), into({}), ofPreset))
  assert.ok(!('BACKUP_INTO' in values) && !('BACKUP_DATABASE' in values) && !('BACKUP_TABLE' in values))
  assert.deepEqual([values['BACKUP_GLOBALS'], values['BACKUP_USERS']], ['true', 'true'])
  assert.equal(valuesOf(made(finding(found('db')), into({ globals: false }), ofPreset))['BACKUP_GLOBALS'], 'false')
})

test('one database comes beside the old one under a name that says from when it is, unless it replaces it', () => {
  const name = (fields: object) => valuesOf(made(finding(found('db')), into(fields), ofPreset))['BACKUP_INTO']
  assert.equal(name({ only: { database: 'shop' } }), 'shop_20260105t0200')
  assert.equal(name({ only: { database: 'ü'.repeat(31) } }), `${'ü'.repeat(24)}_20260105t0200`)
  assert.equal(name({ only: { database: 'shop' }, overwrite: true }), undefined)
  assert.equal(name({ only: { database: 'shop', table: 'item' } }), undefined)
})

test('it is restored as the administrator or as whom the Restore says, and never as the user of the dump', () => {
  const user = { is: 'named', name: 'reader' } as const
  const target: ResolvedTarget = { ...found('db'), connection: { ...found('db').connection, user } }
  assert.equal(valuesOf(made(finding(target), into({}), ofPreset))['PGUSER'], 'postgres')
  const stated = valuesOf(made(finding(target), into({ credentials }), ofPreset))
  assert.deepEqual([stated['PGUSER'], stated['PGPASSWORD']], ['root', { secretKeyRef: { name: 'admin', key: 'pw' } }])
  const none = { reason: 'CredentialsUnknown', message: 'no variable tells', field: 'into.credentials' } as const
  const { is, reason, message } = refused(finding({ ...target, administrator: none }), into({}), ofPreset)
  assert.deepEqual([is, reason], ['refused', 'CredentialsUnknown'])
  assert.match(message, /into\.credentials/)
})

test('into another workload of the policy, or into any server that is stated', () => {
  const basis = finding(found('db'), found('cache'))
  assert.equal(valuesOf(made(basis, into({ target: 'cache' }), ofPreset))['PGHOST'], 'cache')
  const server = { host: 'db.example.com', port: 6432, tls: { mode: 'require' } }
  const elsewhere = made(nobody, into({ server, credentials, image: 'postgres:17' }), ofPreset)
  const { PGHOST, PGPORT, PGSSLMODE } = valuesOf(elsewhere)
  assert.deepEqual([PGHOST, PGPORT, PGSSLMODE], ['db.example.com', '6432', 'require'])
})

test('a workload that is not there is waited for, and what is unclear of one is refused', () => {
  const absent = refused(finding(found('cache')), into({}), ofPreset)
  assert.deepEqual([absent.is, absent.reason], ['awaited', 'TargetNotFound'])
  assert.match(absent.message, /it finds cache.*into\.target.*into\.server/)
  const unknown = refused({ policy: presetPolicy(), workloads: undefined }, into({}), ofPreset)
  assert.deepEqual([unknown.is, unknown.reason], ['awaited', 'TargetsUnknown'])
  const unclear = refused(finding(unresolved('db')), into({}), ofPreset)
  assert.deepEqual([unclear.is, unclear.reason], ['refused', 'Ambiguous'])
  assert.match(refused(nobody, into({ image: 'postgres:17' }), ofPreset).message, /into\.server, into\.credentials/)
})

test('of an encrypted backup the preset is that of the Restore, or of the policy', () => {
  const encrypted: ChosenBackup = { ...chosen, target: 'db', encrypted: true }
  const script = (fields: object) => made(finding(found('db')), into(fields), encrypted).args[2]
  assert.equal(script({}), '/.backup/preset-postgres.sh')
  assert.equal(script({ preset: 'mysql' }), '/.backup/preset-mariadb.sh')
  assert.equal(refused(stating({}), into({}), encrypted).reason, 'RestoreCommandMissing')
})

test('one table alone is refused where the preset cannot do it: the whole database would come back', () => {
  const only = { database: 'shop', table: 'item' }
  assert.equal(valuesOf(made(finding(found('db')), into({ only }), ofPreset))['BACKUP_TABLE'], 'item')
  assert.equal(refused(finding(found('db')), into({ only, preset: 'mariadb' }), ofPreset).reason, 'TableUnsupported')
})

test('a backup of a command is not restored before somebody says by what', () => {
  const { reason, message } = refused(stating({}), into({}), chosen)
  assert.equal(reason, 'RestoreCommandMissing')
  assert.match(message, /into.command or into.args/)
})

test('an image that nobody names is not guessed', () => {
  assert.match(refused(nobody, restore(), chosen).message, /into.image/)
})

test('a Restore that verifies lets the programs of the target read the backup, and connects to nothing', () => {
  const verify = restore({ source: fromPolicy.source, verify: true })
  const container = made(finding(found('db')), verify, ofPreset)
  assert.deepEqual(container.args, ['/.backup/busybox', 'sh', '/.backup/preset-postgres.sh', 'verify'])
  assert.equal(container.image, found('db').image)
  assert.ok(!Object.keys(valuesOf(container)).some(name => name.startsWith('PG')))
  const named = restore({ source: fromPolicy.source, verify: true, into: { image: 'mine:1' } })
  assert.equal(made(nobody, named, ofPreset).image, 'mine:1')
})

test('a Restore that verifies runs nothing beside the mover where no preset or no image is known', () => {
  const verify = restore({ source: fromPolicy.source, verify: true })
  assert.equal(restoreContainer(stating({}), verify, chosen), undefined)
  assert.equal(restoreContainer(finding(), verify, ofPreset), undefined)
  assert.equal(restoreContainer(nobody, verify, ofPreset), undefined)
})
