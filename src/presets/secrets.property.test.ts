// Whatever a pod looks like, nothing that is found of it holds a secret that stands there: neither a target, nor a message, nor a variable.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { namespace, preset, service } from '../../test/presets/world.ts'
import type { ForeignPod } from '../api/kubernetes.ts'
import { environmentOf } from './dump-environment.ts'
import type { Preset } from './preset.ts'
import { presets } from './presets.ts'
import { podEssence } from './pod-essence.ts'
import { findTargets } from './targets.ts'

const secret = 'S3CR3T'

/** Variables that tell a password, or its file, or hold one that is none of ours. */
function secretVariables({ accounts, variables }: Preset): readonly string[] {
  const own = accounts.flatMap(({ passwordVariables }) => passwordVariables)
  return [
    ...own,
    ...own.map(name => `${name}_FILE`),
    variables.password,
    'POSTGRES_INITSCRIPTS_PASSWORD',
    'POSTGRES_REPLICATION_PASSWORD',
    'MARIADB_REPLICATION_PASSWORD',
    'DATABASE_URL',
    'DB_PASSWORD',
  ]
}

function publicVariables(of: Preset): readonly string[] {
  return [
    ...of.accounts.flatMap(({ userVariables, withoutPassword }) => [
      ...userVariables,
      ...withoutPassword.map(({ name }) => name),
    ]),
    ...of.portVariables,
    ...of.replicaVariables,
    ...of.serverVariables,
  ]
}

const name = fc.constantFrom('db', 'db-1', 'other')

function variable(of: Preset) {
  const hidden = fc.constantFrom(...secretVariables(of))
  const open = fc.constantFrom(...publicVariables(of))
  const keyRef = fc.record({ name, key: fc.constantFrom('password', 'username') })
  return fc.oneof(
    fc.record({ name: hidden, value: fc.constantFrom(secret, `/run/${secret}`, `$$${secret}`, `a$(X)${secret}`, '') }),
    fc.record({ name: hidden, valueFrom: fc.record({ secretKeyRef: keyRef }) }),
    fc.record({
      name: fc.oneof(hidden, open),
      value: fc.tuple(hidden, fc.constantFrom('', 'x')).map(([other, before]) => `${before}$(${other})`),
    }),
    fc.record({ name: open, value: fc.constantFrom('shop', '5433', 'trust', 'yes', 'slave', '') }),
    fc.record({ name: open, valueFrom: fc.record({ configMapKeyRef: keyRef }) }),
  )
}

/** What tells enough, unless other variables contradict it. */
function told(of: Preset) {
  const own = of.accounts.flatMap(({ passwordVariables }) => passwordVariables)
  return fc.record({
    name: fc.constantFrom(...own),
    valueFrom: fc.constant({ secretKeyRef: { name: 'db', key: 'password' } }),
  })
}

function container(of: Preset) {
  const mount = fc.record({ name, mountPath: fc.constantFrom('/data', '/bitnami/x', '/opt') })
  return fc.record({
    name,
    image: fc.oneof(
      { arbitrary: fc.constant(`registry.example.com/${of.name}:1`), weight: 5 },
      fc.constantFrom('bitnami/postgresql', 'bitnami/mysql', 'mariadb:11', 'web', 'postgres-exporter'),
    ),
    command: fc.constant(['sh', '-c', `PGPASSWORD=${secret} postgres`]),
    args: fc.constant([`--password=${secret}`]),
    env: fc
      .tuple(fc.array(variable(of), { maxLength: 6 }), fc.array(told(of), { maxLength: 1 }))
      .map(parts => parts.flat()),
    envFrom: fc.array(
      fc.oneof(
        fc.record({ secretRef: fc.record({ name }) }),
        fc.record({ prefix: fc.constantFrom('', 'POSTGRES_', 'MYSQL_'), configMapRef: fc.record({ name }) }),
      ),
      { maxLength: 3 },
    ),
    ports: fc.array(fc.record({ containerPort: fc.constantFrom(5432, 3306, 80) }), { maxLength: 2 }),
    volumeMounts: fc.array(mount, { maxLength: 2 }),
  })
}

function aPod(of: Preset): fc.Arbitrary<ForeignPod> {
  const volume = fc.oneof(
    fc.record({ name, secret: fc.record({ secretName: name }) }),
    fc.record({ name, configMap: fc.record({ name }) }),
  )
  return fc.record({
    apiVersion: fc.constant('v1'),
    kind: fc.constant('Pod'),
    metadata: fc.record({
      name,
      namespace: fc.constant(namespace),
      labels: fc.constantFrom<Record<string, string>[]>(
        { app: 'db' },
        { app: 'db', role: 'primary' },
        { application: 'spilo', 'cluster-name': 'db' },
      ),
      annotations: fc.constant({ 'kubectl.kubernetes.io/last-applied-configuration': secret }),
      ownerReferences: fc.constantFrom(
        [],
        [{ apiVersion: 'postgresql.cnpg.io/v1', kind: 'Cluster', name: 'db', uid: 'u', controller: true }],
        [{ apiVersion: 'apps/v1', kind: 'StatefulSet', name: 'db', uid: 'u', controller: true }],
      ),
    }),
    spec: fc.record({
      containers: fc.array(container(of), { minLength: 1, maxLength: 2 }),
      volumes: fc.array(volume, { maxLength: 2 }),
    }),
    status: fc.constant({ phase: 'Running' as const }),
  })
}

for (const of of Object.values(presets))
  test(`${of.name}: no secret of any pod is in what is found of it`, () => {
    let resolved = 0
    fc.assert(
      fc.property(fc.array(aPod(of), { minLength: 1, maxLength: 3 }), pods => {
        const services = [
          service('db', { ports: [{ port: of.port }] }),
          service('db-rw', { ports: [{ port: of.port }] }),
        ]
        const found = findTargets(of, preset({ preset: of.name }), {
          namespace,
          pods,
          services,
          statefulSets: [],
          deployments: [],
        })
        const environments = found.targets.flatMap(target => {
          if (target.is === 'unresolved') return []
          resolved += 1
          return [environmentOf(of, target.connection, preset({ preset: of.name }))]
        })
        const said = JSON.stringify([found, environments])
        assert.ok(!said.includes(secret), said)
      }),
      { numRuns: 2000 },
    )
    assert.ok(resolved > 100, `only ${resolved} of the pods told enough, so that the property says little`)
  })

for (const of of Object.values(presets))
  test(`${of.name}: what is remembered of a pod holds no secret of it, and tells as much as the pod`, () => {
    fc.assert(
      fc.property(fc.array(aPod(of), { minLength: 1, maxLength: 3 }), pods => {
        const remembered = pods.map(podEssence)
        // The path of a file is none.
        const said = JSON.stringify(remembered).replaceAll(`/run/${secret}`, '')
        assert.ok(!said.includes(secret), said)
        const services = [service('db', { ports: [{ port: of.port }] })]
        const found = (seen: readonly ForeignPod[]) =>
          findTargets(of, preset({ preset: of.name }), {
            namespace,
            pods: seen,
            services,
            statefulSets: [],
            deployments: [],
          })
        assert.deepEqual(found(remembered), found(pods))
      }),
      { numRuns: 2000 },
    )
  })
