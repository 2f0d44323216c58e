// What the container of a preset's script is given.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { preset } from '../../test/presets/world.ts'
import { environmentOf, volumesOf } from './dump-environment.ts'
import { mariadb } from './mariadb.ts'
import { postgres } from './postgres.ts'
import type { Connection, KeyReference } from './preset.ts'

const secret = (name: string, key: string): KeyReference => ({ kind: 'Secret', name, key })
const connection: Connection = {
  host: 'db.shop.svc',
  port: 5432,
  user: { is: 'named', name: 'shop' },
  password: { is: 'key', reference: secret('db', 'password') },
}
const keyOf = (name: string, key: string) => ({ secretKeyRef: { name, key } })

test('PostgreSQL gets the variables of libpq, and its password by reference', () => {
  assert.deepEqual(environmentOf(postgres, connection, preset()), {
    env: [
      { name: 'PGHOST', value: 'db.shop.svc' },
      { name: 'PGPORT', value: '5432' },
      { name: 'PGUSER', value: 'shop' },
      { name: 'PGPASSWORD', valueFrom: keyOf('db', 'password') },
    ],
    volumes: [],
    mounts: [],
  })
})

test('MariaDB gets those of its clients, and those of the script where they have none', () => {
  const { env } = environmentOf(
    mariadb,
    { ...connection, port: 3306 },
    preset({ preset: 'mariadb', allowNonTransactional: true }),
  )
  assert.deepEqual(env, [
    { name: 'MYSQL_HOST', value: 'db.shop.svc' },
    { name: 'MYSQL_TCP_PORT', value: '3306' },
    { name: 'BACKUP_USER', value: 'shop' },
    { name: 'MYSQL_PWD', valueFrom: keyOf('db', 'password') },
    { name: 'BACKUP_ALLOW_NON_TRANSACTIONAL', value: 'true' },
  ])
})

test('databases are given one a line, whatever their names hold', () => {
  const value = (spec: object, name: string) =>
    environmentOf(postgres, connection, preset(spec)).env.find(each => each.name === name)?.value
  assert.equal(
    value({ databases: ['a b', `it's = "x"`, '$(PGPASSWORD)'] }, 'BACKUP_DATABASES'),
    `a b\nit's = "x"\n$$(PGPASSWORD)`,
  )
  assert.equal(value({ excludeDatabases: ['old'] }, 'BACKUP_EXCLUDE'), 'old')
  assert.equal(value({ databases: ['a'] }, 'BACKUP_EXCLUDE'), undefined)
})

test('a user of whom a Secret knows may be missing there where the image has a default', () => {
  const { env } = environmentOf(
    postgres,
    { ...connection, user: { is: 'key', reference: secret('db', 'POSTGRES_USER'), optional: true } },
    preset(),
  )
  assert.deepEqual(env[2], {
    name: 'PGUSER',
    valueFrom: { secretKeyRef: { name: 'db', key: 'POSTGRES_USER', optional: true } },
  })
})

test('a password file is mounted alone, from its Secret, and told by its path', () => {
  const file = { is: 'file', reference: secret('db', 'postgres-password') } as const
  const { env, volumes, mounts } = environmentOf(postgres, { ...connection, password: file }, preset())
  assert.deepEqual(env.slice(3), [{ name: 'BACKUP_PASSWORD_FILE', value: '/.backup-connection/password/password' }])
  const items = [{ key: 'postgres-password', path: 'password' }]
  assert.deepEqual(volumes, [
    { name: 'backup-password', secret: { secretName: 'db', items, optional: true, defaultMode: 0o444 } },
  ])
  assert.deepEqual(mounts, [{ name: 'backup-password', mountPath: '/.backup-connection/password', readOnly: true }])
})

test("a password file in a volume of the policy is found where that is mounted, and the policy's volumes are mounted", () => {
  const settings = preset({
    volumes: [
      { name: 'secrets', mountPath: '/secrets', secret: { name: 'db' } },
      {
        name: 'settings',
        mountPath: '/etc/own',
        configMap: { name: 'c', items: [{ key: 'a', path: 'b' }] },
        optional: true,
      },
    ],
  })
  const password = { is: 'volume', volume: 'secrets', path: 'pg/password' } as const
  const { env, volumes, mounts } = environmentOf(postgres, { ...connection, password }, settings)
  assert.deepEqual(env.slice(3), [{ name: 'BACKUP_PASSWORD_FILE', value: '/secrets/pg/password' }])
  assert.deepEqual(JSON.parse(JSON.stringify(volumes)), [
    { name: 'secrets', secret: { secretName: 'db', defaultMode: 0o444 } },
    {
      name: 'settings',
      configMap: { name: 'c', items: [{ key: 'a', path: 'b' }], optional: true, defaultMode: 0o444 },
    },
  ])
  assert.deepEqual(mounts, [
    { name: 'secrets', mountPath: '/secrets', readOnly: true },
    { name: 'settings', mountPath: '/etc/own', readOnly: true },
  ])
  assert.deepEqual(volumesOf(settings.volumes ?? []), { volumes, mounts })
  assert.throws(() => environmentOf(postgres, { ...connection, password }, preset()), /has no volume secrets/)
})

test('a whole TLS Secret, or single keys of several, are mounted and told by their paths', () => {
  const names = (of: Connection) => {
    const { env, volumes } = environmentOf(postgres, of, preset())
    return [env.slice(4).map(({ name, value }) => `${name}=${value}`), volumes.map(({ name }) => name)]
  }
  assert.deepEqual(names({ ...connection, tls: { mode: 'verify-full', secretName: 'client' } }), [
    [
      'PGSSLMODE=verify-full',
      'PGSSLROOTCERT=/.backup-connection/tls/ca.crt',
      'PGSSLCERT=/.backup-connection/tls/tls.crt',
      'PGSSLKEY=/.backup-connection/tls/tls.key',
    ],
    ['backup-tls'],
  ])
  const tls = {
    authority: { kind: 'ConfigMap', name: 'ca', key: 'root.pem' },
    certificate: secret('client', 'crt'),
    key: secret('client', 'key'),
  } as const
  assert.deepEqual(names({ ...connection, tls }), [
    [
      'PGSSLROOTCERT=/.backup-connection/tls-ca/ca.crt',
      'PGSSLCERT=/.backup-connection/tls-crt/tls.crt',
      'PGSSLKEY=/.backup-connection/tls-key/tls.key',
    ],
    ['backup-tls-ca', 'backup-tls-crt', 'backup-tls-key'],
  ])
})

test('a variable that the policy sets itself is not given a second time', () => {
  const { env } = environmentOf(postgres, connection, preset({ env: [{ name: 'PGPORT', value: '6432' }] }))
  assert.deepEqual(
    env.map(({ name }) => name),
    ['PGHOST', 'PGUSER', 'PGPASSWORD'],
  )
})
