import assert from 'node:assert/strict'
import { test } from 'node:test'
import { keyOf, pathOf, resourceName, splitKey } from './resource.ts'
import type { Resource } from './resource.ts'

const pods: Resource = { group: '', version: 'v1', plural: 'pods', kind: 'Pod', namespaced: true }
const roles: Resource = {
  group: 'rbac.authorization.k8s.io',
  version: 'v1',
  plural: 'clusterroles',
  kind: 'ClusterRole',
  namespaced: false,
}

test('paths name the group, the namespace, the object and the subresource', () => {
  assert.equal(pathOf(pods), '/api/v1/pods')
  assert.equal(pathOf(pods, { namespace: 'a' }), '/api/v1/namespaces/a/pods')
  assert.equal(pathOf(pods, { namespace: 'a', name: 'x', subresource: 'status' }), '/api/v1/namespaces/a/pods/x/status')
  assert.equal(
    pathOf(roles, { name: 'My:Role-UPPER' }),
    '/apis/rbac.authorization.k8s.io/v1/clusterroles/My%3ARole-UPPER',
  )
})

test('a name cannot lead into another path', () => {
  assert.equal(pathOf(roles, { name: '../x?y=1' }), '/apis/rbac.authorization.k8s.io/v1/clusterroles/..%2Fx%3Fy%3D1')
  for (const name of ['', '.', '..']) assert.throws(() => pathOf(pods, { namespace: 'a', name }), TypeError)
  assert.throws(() => pathOf(pods, { name: 'x' }), /needs a namespace/)
})

test('keys and their parts are each other’s inverse', () => {
  for (const metadata of [
    { name: 'x', namespace: 'a' },
    { name: 'x', namespace: undefined },
  ]) {
    assert.deepEqual(splitKey(keyOf({ metadata })), metadata)
  }
  assert.equal(resourceName(roles), 'clusterroles.rbac.authorization.k8s.io')
})
