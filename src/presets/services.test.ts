// Which Service leads to a server.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { namespace, pod, service } from '../../test/presets/world.ts'
import type { ForeignContainer, ForeignPod, Service } from '../api/kubernetes.ts'
import { postgres } from './postgres.ts'
import { recognize } from './servers.ts'
import { serviceOf } from './services.ts'

const workload = { apiVersion: 'apps/v1', kind: 'StatefulSet', name: 'db' }

/** `host:port`, or the reason why there is none. */
function reached(
  services: readonly Service[],
  pods: readonly ForeignPod[] = [pod()],
  governingServices: readonly string[] = [],
  others: readonly ForeignPod[] = [],
) {
  const [first, ...copies] = pods
  assert.ok(first)
  const group = { workload, pods: [first, ...copies] as const, governingServices }
  const recognized = recognize(postgres, group)
  assert.ok(recognized.is === 'server')
  const found = serviceOf(group, recognized.server, others, services, namespace, undefined)
  return found.is === 'reached' ? `${found.host}:${found.port}` : `${found.problem.reason}: ${found.problem.message}`
}
const at = (container: Partial<ForeignContainer>, spec: Partial<Service['spec']>) =>
  reached([service('db', spec)], [pod(container)])

test('the port of the Service counts, and that it ends at the port of the server', () => {
  const named = { ports: [{ name: 'pg', containerPort: 5432 }] }
  assert.equal(at({}, { ports: [{ port: 5432 }] }), 'db.shop.svc:5432')
  assert.equal(at({}, { ports: [{ port: 15_432, targetPort: 5432 }] }), 'db.shop.svc:15432')
  assert.equal(
    at(named, {
      ports: [
        { port: 80, targetPort: 8080 },
        { port: 1, targetPort: 'pg' },
      ],
    }),
    'db.shop.svc:1',
  )
  assert.match(at(named, { ports: [{ port: 5432, targetPort: 'web' }] }), /^NoService: /)
  assert.match(
    at({}, { ports: [{ port: 5432, targetPort: 6432 }] }),
    /^NoService: .* serves port 5432; make one, or write/,
  )
  assert.match(at({}, { ports: [{ port: 5432, protocol: 'UDP' }] }), /^NoService/)
})

test('a server on another port is found by its variable, or by the one port that it declares', () => {
  const env = [{ name: 'PGPORT', value: '5433' }]
  assert.equal(at({ env }, { ports: [{ port: 5432, targetPort: 5433 }] }), 'db.shop.svc:5432')
  const declared = { ports: [{ containerPort: 5433 }, { name: 'metrics', containerPort: 9187 }] }
  assert.equal(at(declared, { ports: [{ port: 5432, targetPort: 5433 }] }), 'db.shop.svc:5432')
})

test('a headless Service forwards nothing: the port is that of the server', () => {
  assert.equal(at({}, { clusterIP: 'None', ports: [{ port: 1, targetPort: 5432 }] }), 'db.shop.svc:5432')
})

test('a Service without a selector, or with one of other pods, leads nowhere', () => {
  assert.match(reached([service('db', { selector: {} }), service('db', { selector: { app: 'web' } })]), /^NoService/)
})

test('with an address, inside the cluster, called as the workload or governing it: in this order', () => {
  const headless = service('db-hl', { clusterIP: 'None' })
  const outside = service('db-out', { type: 'LoadBalancer' })
  assert.equal(reached([headless]), 'db-hl.shop.svc:5432')
  assert.equal(reached([headless, outside]), 'db-out.shop.svc:5432')
  assert.equal(reached([headless, outside, service('inside')]), 'inside.shop.svc:5432')
  assert.equal(reached([service('inside'), service('db')]), 'db.shop.svc:5432')
  assert.equal(reached([service('one'), service('two')], [pod()], ['two']), 'two.shop.svc:5432')
})

test('several that are alike are listed', () => {
  assert.match(
    reached([service('two'), service('one')]),
    /^Ambiguous: several Services lead to StatefulSet db: one\.shop\.svc:5432, two\.shop\.svc:5432; write the right address into strategy\.job\.connection\.host and port$/,
  )
})

test('of a workload with copies the Service of the primary, and never one of the copies', () => {
  const member = (name: string, role: string) => pod({}, { metadata: { name, labels: { app: 'db', role } } })
  const pods = [member('db-1', 'primary'), member('db-0', 'replica')]
  const all = service('db')
  const primary = service('writer', { selector: { app: 'db', role: 'primary' } })
  const copies = service('reader', { selector: { app: 'db', role: 'replica' } })
  assert.equal(reached([all, copies, primary], pods), 'writer.shop.svc:5432')
  assert.equal(reached([copies, all], pods), 'db.shop.svc:5432')
})

test('a headless Service of several pods does not say which is the primary: each pod is listed', () => {
  const pods = ['db-0', 'db-1'].map(name => pod({}, { metadata: { name } }))
  assert.match(
    reached([service('db', { clusterIP: 'None' })], pods),
    /^Ambiguous: StatefulSet db has 2 pods, .*: db-0\.db\.shop\.svc:5432, db-1\.db\.shop\.svc:5432; write/,
  )
})

test('a Service that leads to the server of another workload as well is not taken: nobody would know whose data these are', () => {
  const other = pod({}, { metadata: { name: 'x', labels: { app: 'db', tier: 'x' } } })
  const mine = pod({}, { metadata: { labels: { app: 'db', tier: 'mine' } } })
  const own = service('own', { type: 'LoadBalancer', selector: { app: 'db', tier: 'mine' } })
  assert.match(
    reached([service('db')], [mine], [], [other]),
    /^Ambiguous: .*whose data would be dumped: db\.shop\.svc:5432/,
  )
  assert.equal(reached([service('db'), own], [mine], [], [other]), 'own.shop.svc:5432')
})

test("an operator's Service that is not there is named", () => {
  const group = { workload, pods: [pod()] as const, governingServices: [] }
  const recognized = recognize(postgres, group)
  assert.ok(recognized.is === 'server')
  const known = { name: 'db-rw', operator: 'CloudNativePG' }
  const found = serviceOf(group, recognized.server, [], [service('db')], namespace, known)
  assert.ok(found.is === 'problem')
  assert.match(found.problem.message, /^CloudNativePG keeps a Service db-rw for StatefulSet db, and there is none/)
})
