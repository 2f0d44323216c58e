// What is found for a policy with a preset: what its author states, what is missing, and what is none of its business.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pod, preset, service, world } from '../../test/presets/world.ts'
import type { ForeignContainer } from '../api/kubernetes.ts'
import { mariadb, mysql } from './mariadb.ts'
import { postgres } from './postgres.ts'
import type { Preset, Target } from './preset.ts'
import { findTargets } from './targets.ts'

const services = [service('db')]
const key = (name: string, of = 'db') => ({ secretKeyRef: { name: of, key: name } })
const inKey = (name: string, of = 'db') => ({ is: 'key', reference: { kind: 'Secret', name: of, key: name } }) as const

function only(targets: readonly Target[]): Target {
  const [target, ...others] = targets
  assert.ok(target && others.length === 0, JSON.stringify(targets))
  return target
}

/** The one target where the container is as told. */
function foundIn(
  container: Partial<ForeignContainer>,
  spec: object = {},
  of: Preset = postgres,
  volumes: object[] = [],
) {
  const one = pod(container, { spec: { volumes: volumes as never } })
  const known = services.map(each => ({ ...each, spec: { ...each.spec, ports: [{ port: of.port }] } }))
  return only(findTargets(of, preset({ preset: of.name, ...spec }), world({ pods: [one], services: known })).targets)
}

function credentials(target: Target) {
  assert.ok(target.is === 'resolved', JSON.stringify(target))
  const { user, password } = target.connection
  return { user, password }
}

function problems(target: Target) {
  assert.ok(target.is === 'unresolved', JSON.stringify(target))
  return target.problems
}

function problemOf(target: Target) {
  const [first, ...others] = problems(target)
  assert.deepEqual(others, [])
  return first
}

// ── credentials

test('the official image without a user has the administrator postgres', () => {
  assert.deepEqual(credentials(foundIn({})), { user: { is: 'named', name: 'postgres' }, password: inKey('password') })
})

test('a password that stands in the pod is not copied: a reference is asked for, by the name of the field', () => {
  const env = [{ name: 'POSTGRES_PASSWORD', value: 'hunter2' }]
  const { reason, message, field } = problemOf(foundIn({ env }))
  assert.deepEqual([reason, field], ['LiteralPassword', 'strategy.job.connection.passwordFrom'])
  assert.match(
    message,
    /in the variable POSTGRES_PASSWORD of container postgres.* put it into a Secret and refer to that/,
  )
  assert.ok(!message.includes('hunter2'))
})

test('a literal password is no problem once the policy refers to one; the user is still found', () => {
  const env = [
    { name: 'POSTGRES_USER', value: 'shop' },
    { name: 'POSTGRES_PASSWORD', value: 'hunter2' },
  ]
  const target = foundIn({ env }, { connection: { passwordFrom: key('pw', 'mine') } })
  assert.deepEqual(credentials(target), { user: { is: 'named', name: 'shop' }, password: inKey('pw', 'mine') })
  assert.ok(target.is === 'resolved' && 'reason' in target.administrator)
  assert.deepEqual(
    [target.administrator.reason, target.administrator.field],
    ['LiteralPassword', 'into.credentials'],
    'the restore asks for its own',
  )
})

test('a variable that only stands for another one is followed to its Secret', () => {
  const env = [
    { name: 'DB_PASSWORD', valueFrom: key('password') },
    { name: 'POSTGRES_PASSWORD', value: '$(DB_PASSWORD)' },
  ]
  assert.deepEqual(credentials(foundIn({ env })).password, inKey('password'))
})

for (const [what, env] of [
  ['of a literal one', [{ name: 'A', value: 'hunter2' }]],
  ['of nothing', []],
] as const)
  test(`a variable that stands for another one ${what} is not read`, () => {
    const { reason } = problemOf(foundIn({ env: [...env, { name: 'POSTGRES_PASSWORD', value: '$(A)' }] }))
    assert.equal(reason, 'CredentialsUnknown')
  })

test('a user is never put together of other variables', () => {
  const env = [
    { name: 'POSTGRES_PASSWORD', valueFrom: key('password') },
    { name: 'POSTGRES_USER', value: 'x$(POSTGRES_PASSWORD)' },
  ]
  assert.equal(problemOf(foundIn({ env })).field, 'strategy.job.connection.user')
})

test('a password file is followed to the Secret of its volume, whatever its path there', () => {
  const env = [{ name: 'POSTGRES_PASSWORD_FILE', value: '/run/secrets/pg/pw' }]
  const file = (reference: object) => ({ is: 'file', reference })
  const secret = (name: string) => ({ kind: 'Secret', name: 'db', key: name })
  const mounted = (mountPath: string, more: object = {}) => [{ name: 'v', mountPath, ...more }]
  const volume = (source: object) => [{ name: 'v', ...source }]
  for (const [volumeMounts, volumes, expected] of [
    [mounted('/run/secrets/pg'), volume({ secret: { secretName: 'db' } }), secret('pw')],
    [
      mounted('/run/secrets/'),
      volume({ secret: { secretName: 'db', items: [{ key: 'k', path: 'pg/pw' }] } }),
      secret('k'),
    ],
    [mounted('/run/secrets/pg/pw', { subPath: 'k' }), volume({ secret: { secretName: 'db' } }), secret('k')],
    [
      mounted('/run/secrets/pg'),
      volume({ projected: { sources: [{ secret: { name: 'db', items: [{ key: 'k', path: 'pw' }] } }] } }),
      secret('k'),
    ],
    [
      [...mounted('/run'), { name: 'other', mountPath: '/run/secrets/pg' }],
      [...volume({ secret: { secretName: 'db' } }), { name: 'other', configMap: { name: 'c' } }],
      { kind: 'ConfigMap', name: 'c', key: 'pw' },
    ],
  ] as const)
    assert.deepEqual(credentials(foundIn({ env, volumeMounts }, {}, postgres, [...volumes])).password, file(expected))
})

test('a password file that comes from elsewhere is told, without its path', () => {
  const env = [{ name: 'POSTGRES_PASSWORD_FILE', value: '/vault/secrets/pw' }]
  const cases: readonly (readonly [NonNullable<ForeignContainer['volumeMounts']>, object[]])[] = [
    [[], []],
    [[{ name: 'v', mountPath: '/vault' }], [{ name: 'v', emptyDir: {} }]],
    [[{ name: 'v', mountPath: '/vault/secrets', subPathExpr: '$(POD)' }], [{ name: 'v', secret: { secretName: 'a' } }]],
    [
      [{ name: 'v', mountPath: '/vault/secrets' }],
      [{ name: 'v', projected: { sources: [{ secret: { name: 'a' } }, { secret: { name: 'b' } }] } }],
    ],
  ]
  for (const [volumeMounts, volumes] of cases) {
    const { reason, message } = problemOf(foundIn({ env, volumeMounts }, {}, postgres, volumes))
    assert.equal(reason, 'CredentialsUnknown')
    assert.match(message, /^the file that the variable POSTGRES_PASSWORD_FILE of container postgres names/)
    assert.ok(!message.includes('vault'))
  }
})

test('the key of a Secret of envFrom is assumed, and said; one user may be there, and need not', () => {
  const target = foundIn({ env: [], envFrom: [{ prefix: 'POSTGRES_', secretRef: { name: 'db' } }] })
  assert.deepEqual(credentials(target), {
    user: { ...inKey('USER'), optional: true },
    password: inKey('PASSWORD'),
  })
  assert.match(target.is === 'resolved' ? target.notes.join() : '', /assumed to be the key PASSWORD of Secret db/)
})

test('of a ConfigMap and a Secret in envFrom the Secret has the password, and nobody knows which has the user', () => {
  const envFrom = [{ configMapRef: { name: 'settings' } }, { secretRef: { name: 'db' } }]
  const { field, message } = problemOf(foundIn({ env: [], envFrom }))
  assert.equal(field, 'strategy.job.connection.user')
  assert.match(message, /in any of ConfigMap settings, Secret db/)
  assert.deepEqual(
    credentials(foundIn({ env: [], envFrom }, { connection: { user: 'shop', passwordFrom: key('a') } })),
    {
      user: { is: 'named', name: 'shop' },
      password: inKey('a'),
    },
  )
})

test('of two Secrets in envFrom nobody knows which has the password: both are named', () => {
  const { message } = problemOf(
    foundIn({
      env: [{ name: 'POSTGRES_USER', value: 'shop' }],
      envFrom: [{ secretRef: { name: 'a' } }, { secretRef: { name: 'b' } }],
    }),
  )
  assert.match(message, /it may be in Secret a, Secret b, whose keys the operator does not read/)
})

test('MariaDB reads two names of variables, so that of envFrom nothing is assumed; MySQL reads one', () => {
  const container = { name: 'db', image: 'mariadb:11', env: [], envFrom: [{ secretRef: { name: 'db' } }] }
  assert.match(problemOf(foundIn(container, {}, mariadb)).message, /may be in Secret db/)
  assert.deepEqual(credentials(foundIn({ ...container, image: 'mysql:9' }, {}, mysql)), {
    user: { is: 'named', name: 'root' },
    password: inKey('MYSQL_ROOT_PASSWORD'),
  })
})

test('the names of MySQL serve for MariaDB, and not the other way round', () => {
  const own = { name: 'db', image: 'mariadb:11', env: [{ name: 'MYSQL_ROOT_PASSWORD', valueFrom: key('root') }] }
  assert.deepEqual(credentials(foundIn(own, {}, mariadb)).password, inKey('root'))
  const foreign = { name: 'db', image: 'mysql:9', env: [{ name: 'MARIADB_ROOT_PASSWORD', valueFrom: key('root') }] }
  assert.equal(problemOf(foundIn(foreign, {}, mysql)).reason, 'CredentialsUnknown')
})

test('without a password of root the user of the application makes the dump, which is said, and a restore asks for its own', () => {
  const env = [
    { name: 'MARIADB_RANDOM_ROOT_PASSWORD', value: 'yes' },
    { name: 'MARIADB_USER', value: 'shop' },
    { name: 'MARIADB_PASSWORD', valueFrom: key('pw') },
  ]
  const target = foundIn({ name: 'db', image: 'mariadb:11', env }, {}, mariadb)
  assert.deepEqual(credentials(target), { user: { is: 'named', name: 'shop' }, password: inKey('pw') })
  assert.ok(target.is === 'resolved')
  assert.match(target.notes.join(), /as a user of the application/)
  assert.ok('reason' in target.administrator && target.administrator.field === 'into.credentials')
})

test("Bitnami's POSTGRES_USER is no administrator, unless it is postgres, also of an image with another name", () => {
  const env = (user: string) => [
    { name: 'POSTGRES_USER', value: user },
    { name: 'POSTGRES_PASSWORD', valueFrom: key('pw') },
  ]
  const image = 'mirror.example.com/postgresql:17'
  const volumeMounts = [{ name: 'data', mountPath: '/bitnami/postgresql' }]
  for (const [user, isAdministrator] of [
    ['shop', false],
    ['postgres', true],
  ] as const) {
    const target = foundIn({ image, env: env(user), volumeMounts })
    assert.ok(target.is === 'resolved')
    assert.equal(!('reason' in target.administrator), isAdministrator, user)
  }
})

test('a server that trusts everybody, or has an empty password, needs none', () => {
  const trust = { env: [{ name: 'POSTGRES_HOST_AUTH_METHOD', value: 'trust' }] }
  assert.deepEqual(credentials(foundIn(trust)).password, { is: 'none' })
  const empty = { name: 'db', image: 'mysql:9', env: [{ name: 'MYSQL_ALLOW_EMPTY_PASSWORD', value: 'yes' }] }
  assert.deepEqual(credentials(foundIn(empty, {}, mysql)).password, { is: 'none' })
})

test('a user in a file is asked for', () => {
  const env = [
    { name: 'POSTGRES_USER_FILE', value: '/run/user' },
    { name: 'POSTGRES_PASSWORD', valueFrom: key('pw') },
  ]
  assert.equal(problemOf(foundIn({ env })).field, 'strategy.job.connection.user')
})

test('nothing that tells a password: what was looked for is listed', () => {
  const { reason, message } = problemOf(foundIn({ env: [] }))
  assert.equal(reason, 'CredentialsUnknown')
  assert.match(
    message,
    /looked for PGPASSWORD_SUPERUSER, .*POSTGRES_PASSWORD, POSTGRESQL_PASSWORD, and each with _FILE/,
  )
})

test('a stated password belongs to the user whom the environment names', () => {
  const target = foundIn(
    { env: [{ name: 'POSTGRES_USER', value: 'shop' }] },
    { connection: { passwordFrom: key('pw') } },
  )
  assert.deepEqual(credentials(target), { user: { is: 'named', name: 'shop' }, password: inKey('pw') })
})

// ── what the policy states

test('a stated user gets no password of another one', () => {
  const { reason, field } = problemOf(foundIn({}, { connection: { user: 'backup' } }))
  assert.deepEqual([reason, field], ['CredentialsUnknown', 'strategy.job.connection.passwordFrom'])
  assert.deepEqual(credentials(foundIn({}, { connection: { user: 'postgres' } })).password, inKey('password'))
  const tls = { certFrom: key('tls.crt', 'client'), keyFrom: key('tls.key', 'client') }
  assert.deepEqual(credentials(foundIn({}, { connection: { user: 'backup', tls } })).password, { is: 'none' })
})

test('the user of the dump does not restore: the administrator of the workload does', () => {
  const target = foundIn({}, { connection: { user: 'backup', passwordFrom: key('pw', 'backup') } })
  assert.ok(target.is === 'resolved')
  assert.deepEqual(target.administrator, { user: { is: 'named', name: 'postgres' }, password: inKey('password') })
})

test('what is stated comes before what is found, each by itself', () => {
  const target = foundIn(
    {},
    {
      image: 'mine:1',
      connection: { port: 6432, userFrom: { configMapKeyRef: { name: 'c', key: 'u' } }, passwordFrom: key('p') },
    },
  )
  assert.ok(target.is === 'resolved')
  const { host, port, user } = target.connection
  assert.deepEqual([target.image, host, port], ['mine:1', 'db.shop.svc', 6432])
  assert.deepEqual(user, { is: 'key', reference: { kind: 'ConfigMap', name: 'c', key: 'u' } })
  const elsewhere = foundIn({}, { connection: { host: 'replica.example.com' } })
  assert.ok(elsewhere.is === 'resolved')
  assert.deepEqual([elsewhere.connection.host, elsewhere.connection.port], ['replica.example.com', 5432])
})

test('a database outside of the cluster is one target under the name of the preset, all of it stated', () => {
  const connection = { host: 'db.example.com', user: 'backup', passwordFrom: key('pw', 'outside') }
  const of = (spec: object) => only(findTargets(postgres, preset(spec), world()).targets)
  const target = of({ image: 'postgres:17', connection })
  assert.ok(target.is === 'resolved')
  assert.deepEqual([target.name, target.workload, target.image], ['postgres', undefined, 'postgres:17'])
  assert.ok('reason' in target.administrator)
  const fields = problems(of({ connection: { host: 'db.example.com' } })).map(({ field }) => field)
  assert.deepEqual(fields, [
    'strategy.job.image',
    'strategy.job.connection.user',
    'strategy.job.connection.passwordFrom',
  ])
})

test('no pod and nothing stated is no target', () => {
  assert.deepEqual(findTargets(postgres, preset(), world()), { targets: [], passedOver: [] })
})

test('a stated host is that of one server: with two workloads it is asked which', () => {
  const pods = ['a', 'b'].map(name => pod({}, { metadata: { name, ownerReferences: [] } }))
  const { targets } = findTargets(postgres, preset({ connection: { host: 'db' } }), world({ pods, services }))
  assert.deepEqual(
    targets.map(target => problemOf(target).reason),
    ['Ambiguous', 'Ambiguous'],
  )
})

// ── which pods, which container

test('every workload is a target, by name; pods of Jobs and pods that ended are none', () => {
  const member = (name: string, kind?: string) =>
    pod(
      {},
      {
        metadata: {
          name: `${name}-0`,
          labels: { app: name },
          ownerReferences: kind ? [{ apiVersion: 'v1', kind, name, uid: name, controller: true }] : [],
        },
      },
    )
  const pods = [
    member('b', 'StatefulSet'),
    member('a', 'StatefulSet'),
    member('alone'),
    member('run', 'Job'),
    { ...member('over'), status: { phase: 'Succeeded' } as const },
  ]
  const services = ['a', 'b', 'alone'].map(name => service(name, { selector: { app: name } }))
  const { targets, passedOver } = findTargets(postgres, preset(), world({ pods, services }))
  assert.deepEqual(
    targets.map(({ name, workload, is }) => [name, workload?.kind, is]),
    [
      ['a', 'StatefulSet', 'resolved'],
      ['alone-0', 'Pod', 'resolved'],
      ['b', 'StatefulSet', 'resolved'],
    ],
  )
  assert.deepEqual(passedOver, [])
})

test('two workloads of one name are not told apart by their backups: neither is backed up', () => {
  const owner = (kind: string) => [{ apiVersion: 'apps/v1', kind, name: 'db', uid: kind, controller: true }]
  const pods = ['StatefulSet', 'DaemonSet'].map(kind =>
    pod({}, { metadata: { name: kind, ownerReferences: owner(kind) } }),
  )
  const { targets } = findTargets(postgres, preset(), world({ pods, services }))
  for (const target of targets)
    assert.match(problems(target)[0].message, /several workloads have this name: DaemonSet db, StatefulSet db/)
})

test('copies of a server that is not selected are backed up themselves', () => {
  const copy = pod({
    env: [
      { name: 'POSTGRES_REPLICATION_MODE', value: 'slave' },
      { name: 'POSTGRES_PASSWORD', valueFrom: key('pw') },
    ],
  })
  assert.equal(only(findTargets(postgres, preset(), world({ pods: [copy], services })).targets).is, 'resolved')
  const stranger = pod(
    {},
    { metadata: { name: 'x', ownerReferences: [], labels: { 'app.kubernetes.io/instance': 'x' } } },
  )
  const both = findTargets(postgres, preset(), world({ pods: [copy, stranger], services }))
  assert.deepEqual(
    [both.targets.length, both.passedOver.length],
    [2, 0],
    'an original of another installation is none of it',
  )
})

test('a workload in which nothing looks like a server is told what to state, once', () => {
  const web = { name: 'web', image: 'nginx:1', env: [], ports: [{ containerPort: 80 }] }
  const { reason, message } = problemOf(foundIn(web))
  assert.equal(reason, 'ServerNotRecognized')
  assert.match(
    message,
    /by its image, its port 5432 or its variables; narrow the selector, or write strategy\.job\.image/,
  )
  const connection = { host: 'db', user: 'a', passwordFrom: key('b') }
  assert.equal(
    foundIn(web, { image: 'postgres:17', connection }).is,
    'resolved',
    'with all of it stated it does not matter',
  )
})

test('a container of an image with another name is the server by its port, or its data directory', () => {
  for (const container of [
    { image: 'mirror.example.com/database:1', ports: [{ containerPort: 5432 }] },
    {
      image: 'mirror.example.com/database:1',
      env: [
        { name: 'PGDATA', value: '/data' },
        { name: 'POSTGRES_PASSWORD', valueFrom: key('p') },
      ],
    },
  ])
    assert.equal(foundIn(container).is, 'resolved', JSON.stringify(container))
})

test('of several servers in one pod it is asked which', () => {
  const [container] = pod().spec.containers
  assert.ok(container)
  const two = pod({}, { spec: { containers: [container, { ...container, name: 'second' }] } })
  const { reason, message } = problemOf(only(findTargets(postgres, preset(), world({ pods: [two], services })).targets))
  assert.equal(reason, 'Ambiguous')
  assert.match(message, /several containers of StatefulSet db look like a server of PostgreSQL: postgres, second/)
})

test('the answer does not depend on the order in which objects come', () => {
  const pods = ['db-0', 'db-1', 'db-2'].map((name, index) =>
    pod({ image: `postgres:17.${index}` }, { metadata: { name } }),
  )
  const all = [service('db'), service('db-out', { type: 'NodePort' })]
  const forward = findTargets(postgres, preset(), world({ pods, services: all }))
  const backward = findTargets(postgres, preset(), world({ pods: pods.toReversed(), services: all.toReversed() }))
  assert.deepEqual(forward, backward)
})
