// Targets in what people run: the manifests that other projects publish, in test/presets/fixtures.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mariadb, mysql } from '../../src/presets/mariadb.ts'
import { podEssence } from '../../src/presets/pod-essence.ts'
import { postgres } from '../../src/presets/postgres.ts'
import type { KeyReference, Preset } from '../../src/presets/preset.ts'
import { findTargets } from '../../src/presets/targets.ts'
import { preset, worldOfFile } from './world.ts'

const secret = (name: string, key: string): KeyReference => ({ kind: 'Secret', name, key })
const named = (name: string) => ({ is: 'named', name }) as const
const inKey = (name: string, key: string) => ({ is: 'key', reference: secret(name, key) }) as const
const inFile = (name: string, key: string) => ({ is: 'file', reference: secret(name, key) }) as const

/** The one target of a file. */
function found(of: Preset, file: string) {
  const world = worldOfFile(file)
  const { targets, passedOver } = findTargets(of, preset({ preset: of.name }), world)
  const remembered = findTargets(of, preset({ preset: of.name }), { ...world, pods: world.pods.map(podEssence) })
  assert.deepEqual(remembered, { targets, passedOver }, 'what is remembered of the pods tells as much')
  assert.equal(targets.length, 1, JSON.stringify(targets))
  const [target] = targets
  assert.ok(target?.is === 'resolved', JSON.stringify(target))
  const { connection, image, name, workload, administrator, notes, imagePullSecrets } = target
  const { host, port, user, password } = connection
  const aside = passedOver.map(({ workload }) => `${workload.kind} ${workload.name}`)
  return {
    name,
    kind: workload?.kind,
    image,
    at: `${host}:${port}`,
    user,
    password,
    administrator,
    notes,
    imagePullSecrets,
    passedOver: aside,
  }
}

test('the official image of PostgreSQL: user and Secret of its environment, the Service inside the cluster', () => {
  const password = inKey('postgres-credentials', 'password')
  assert.deepEqual(found(postgres, 'official-postgres'), {
    name: 'postgres',
    kind: 'StatefulSet',
    image: 'registry.example.com/library/postgres:17.2',
    at: 'database.shop.svc:15432',
    user: named('shop'),
    password,
    administrator: { user: named('shop'), password },
    notes: [],
    imagePullSecrets: ['registry'],
    passedOver: [],
  })
})

test("Bitnami's PostgreSQL with password files: its administrator and not the user of the application, the primary and not its copies", () => {
  const password = inFile('shop-database', 'postgres-password')
  assert.deepEqual(found(postgres, 'bitnami-postgresql'), {
    name: 'db-postgresql-primary',
    kind: 'StatefulSet',
    image: 'docker.io/bitnami/postgresql:17.2.0-debian-12-r3',
    at: 'db-postgresql-primary.shop.svc:5432',
    user: named('postgres'),
    password,
    administrator: { user: named('postgres'), password },
    notes: [],
    imagePullSecrets: [],
    passedOver: ['StatefulSet db-postgresql-read'],
  })
})

test('CloudNativePG: the Cluster is the target, its -rw Service leads there, its -app Secret dumps and its -superuser Secret restores', () => {
  const { notes, ...target } = found(postgres, 'cloudnative-pg')
  assert.deepEqual(target, {
    name: 'orders',
    kind: 'Cluster',
    image: 'ghcr.io/cloudnative-pg/postgresql:17.2',
    at: 'orders-rw.shop.svc:5432',
    user: inKey('orders-app', 'username'),
    password: inKey('orders-app', 'password'),
    administrator: { user: inKey('orders-superuser', 'username'), password: inKey('orders-superuser', 'password') },
    imagePullSecrets: [],
    passedOver: ['Pooler orders-pooler'],
  })
  assert.match(notes.join(), /set enableSuperuserAccess: true/)
})

test("Zalando's operator: the Service without a selector that is called as the cluster, and the superuser's Secret", () => {
  const password = inKey('postgres.acid-shop.credentials.postgresql.acid.zalan.do', 'password')
  assert.deepEqual(found(postgres, 'zalando'), {
    name: 'acid-shop',
    kind: 'StatefulSet',
    image: 'ghcr.io/zalando/spilo-17:4.0-p2',
    at: 'acid-shop.shop.svc:5432',
    user: named('postgres'),
    password,
    administrator: { user: named('postgres'), password },
    notes: [],
    imagePullSecrets: [],
    passedOver: ['Deployment acid-shop-pooler'],
  })
})

test("Zalando's operator with enable_owner_references: the same target, now of the custom resource", () => {
  const of = worldOfFile('zalando')
  const owner = { apiVersion: 'acid.zalan.do/v1', kind: 'postgresql', name: 'acid-shop', uid: 'u9', controller: true }
  const statefulSets = of.statefulSets.map(each => ({
    ...each,
    metadata: { ...each.metadata, ownerReferences: [owner] },
  }))
  const [target] = findTargets(postgres, preset(), { ...of, statefulSets }).targets
  assert.deepEqual(
    [target?.is, target?.name, target?.workload],
    ['resolved', 'acid-shop', { apiVersion: 'acid.zalan.do/v1', kind: 'postgresql', name: 'acid-shop' }],
  )
})

test("Bitnami's MariaDB: root, whose password stands in a Secret that existed before", () => {
  const password = inKey('shop-database', 'mariadb-root-password')
  assert.deepEqual(found(mariadb, 'bitnami-mariadb'), {
    name: 'db-mariadb',
    kind: 'StatefulSet',
    image: 'docker.io/bitnami/mariadb:11.4.4-debian-12-r1',
    at: 'db-mariadb.shop.svc:3306',
    user: named('root'),
    password,
    administrator: { user: named('root'), password },
    notes: [],
    imagePullSecrets: [],
    passedOver: [],
  })
})

test('mariadb-operator: the custom resource is the target, and the Service of the primary leads there, whichever pod that is', () => {
  const password = inKey('shop-root', 'password')
  assert.deepEqual(found(mariadb, 'mariadb-operator'), {
    name: 'shop',
    kind: 'MariaDB',
    image: 'docker-registry1.mariadb.com/library/mariadb:11.8.2',
    at: 'shop-primary.shop.svc:3306',
    user: named('root'),
    password,
    administrator: { user: named('root'), password },
    notes: [],
    imagePullSecrets: [],
    passedOver: [],
  })
})

test('the MySQL of the WordPress tutorial: its Deployment, without anybody reading ReplicaSets, and not the WordPress beside it', () => {
  const password = inKey('mysql-pass', 'password')
  assert.deepEqual(found(mysql, 'wordpress-mysql'), {
    name: 'wordpress-mysql',
    kind: 'Deployment',
    image: 'mysql:8.0',
    at: 'wordpress-mysql.shop.svc:3306',
    user: named('root'),
    password,
    administrator: { user: named('root'), password },
    notes: [],
    imagePullSecrets: [],
    passedOver: ['Deployment wordpress'],
  })
})
