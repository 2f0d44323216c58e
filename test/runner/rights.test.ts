import assert from 'node:assert/strict'
import { test } from 'node:test'
import { refusals, requestsOf, rightName, rightsOf, unusedRights, type AuditEvent } from './rights.ts'

const rights = [
  ...rightsOf(
    [
      { apiGroups: ['batch'], resources: ['jobs', 'jobs/status'], verbs: ['get', 'update'] },
      { apiGroups: [''], resources: ['namespaces'], resourceNames: ['kube-system'], verbs: ['get'] },
    ],
    false,
  ),
  ...rightsOf([{ apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['get'] }], true),
]

function event(verb: string, objectRef: AuditEvent['objectRef'], more: Partial<AuditEvent> = {}): AuditEvent {
  const user = { username: 'system:serviceaccount:system:operator' }
  return { verb, objectRef, user, requestURI: '/some', requestReceivedTimestamp: '2026-01-01T00:00:00Z', ...more }
}

const unused = (...requests: readonly AuditEvent[]) => unusedRights(rights, requests, 'system').map(rightName)

test('rights are named one by one', () => {
  assert.deepEqual(unused(), [
    'get jobs.batch',
    'update jobs.batch',
    'get jobs.batch/status',
    'update jobs.batch/status',
    'get namespaces/kube-system',
    'get leases.coordination.k8s.io (own namespace)',
  ])
})

test('a right is used by a request of its verb, group, resource, subresource and name', () => {
  assert.deepEqual(
    unused(
      event('get', { apiGroup: 'batch', resource: 'jobs', namespace: 'shop' }),
      event('update', { apiGroup: 'batch', resource: 'jobs', subresource: 'status', namespace: 'shop' }),
      event('get', { resource: 'namespaces', name: 'default', namespace: 'default' }),
      event('get', undefined, { requestURI: '/version' }),
      event('update', { resource: 'jobs', namespace: 'shop' }),
    ),
    [
      'update jobs.batch',
      'get jobs.batch/status',
      'get namespaces/kube-system',
      'get leases.coordination.k8s.io (own namespace)',
    ],
  )
})

test('what is asked in the own namespace alone needs a Role, and a Role serves nothing else', () => {
  const left = unused(
    event('get', { apiGroup: 'batch', resource: 'jobs', namespace: 'system' }),
    event('get', { apiGroup: 'coordination.k8s.io', resource: 'leases', namespace: 'shop' }),
  )
  assert.ok(left.includes('get jobs.batch'))
  assert.ok(left.includes('get leases.coordination.k8s.io (own namespace)'))
})

test('only requests of the account count, and only those since the run began', () => {
  const log = [
    event('list', { resource: 'pods' }),
    event('get', { resource: 'pods' }, { requestReceivedTimestamp: '2025-12-31T23:59:59.999999Z' }),
    event('watch', { resource: 'pods' }, { user: { username: 'system:serviceaccount:system:operator-of-others' } }),
  ]
  const requests = requestsOf(
    // The last line is being written.
    `${log.map(each => `${JSON.stringify(each)}\n`).join('')}{"verb":`,
    'system:operator',
    new Date('2026-01-01T00:00:00Z'),
  )
  assert.deepEqual(requests, log.slice(0, 1))
})

test('refused is what the authorizer forbade', () => {
  const decided = (decision: string) => ({ annotations: { 'authorization.k8s.io/decision': decision } })
  const requests = [event('get', undefined, decided('allow')), event('list', undefined, decided('forbid'))]
  assert.deepEqual(refusals([...requests, ...requests]), ['list /some'])
})
