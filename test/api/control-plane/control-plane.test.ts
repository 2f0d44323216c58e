import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { after, before, test } from 'node:test'
import { CommandError } from '../../../dev/command.ts'
import { startControlPlane, type ControlPlane } from './control-plane.ts'

let plane: ControlPlane
before(async () => {
  plane = await startControlPlane({ audit: true, controllerManager: true })
})
after(() => plane.stop())

test('the API server is the pinned Kubernetes and enforces validating admission policies', async () => {
  const version = JSON.parse(await plane.kubectl(['version', '-o', 'json'])) as {
    serverVersion: { gitVersion: string }
  }
  assert.equal(version.serverVersion.gitVersion, 'v1.37.2')
  const kinds = await plane.kubectl(['api-resources', '--api-group=admissionregistration.k8s.io', '-o', 'name'])
  assert.match(kinds, /^validatingadmissionpolicies\./m)
})

test('a ServiceAccount without grants may do nothing, and the audit log says who was refused', async () => {
  await plane.kubectl(['create', 'serviceaccount', 'nobody'])
  const token = await plane.serviceAccountToken('default', 'nobody')
  const asNobody = ['--token', token, '--server', plane.url, 'get', 'secrets', '--kubeconfig', '/dev/null']
  const ca = `${dirname(plane.kubeconfig)}/ca.crt`
  await assert.rejects(plane.kubectl([...asNobody, `--certificate-authority=${ca}`]), (error: unknown) => {
    assert.ok(error instanceof CommandError)
    assert.match(error.stderr, /User "system:serviceaccount:default:nobody" cannot list resource "secrets"/)
    return true
  })
  assert.match(await readFile(plane.auditLog as string, 'utf8'), /"username":"system:serviceaccount:default:nobody"/)
})

test('the real controllers run: a CronJob makes its Job, and a deleted namespace goes with what it holds', async () => {
  await plane.kubectl(['create', 'namespace', 'controllers'])
  const inNamespace = (...args: string[]) => plane.kubectl(['-n', 'controllers', ...args])
  await inNamespace('create', 'cronjob', 'each-minute', '--image=none', '--schedule=* * * * *')
  // A last run in the past makes the newest slot since then due at once.
  const past = JSON.stringify({ status: { lastScheduleTime: new Date(Date.now() - 150_000).toISOString() } })
  await inNamespace('patch', 'cronjob', 'each-minute', '--subresource=status', '--type=merge', '-p', past)
  await inNamespace('wait', 'cronjob/each-minute', '--for=jsonpath={.status.active[0].kind}=Job', '--timeout=30s')
  await plane.kubectl(['delete', 'namespace', 'controllers', '--timeout=60s'])
})

test('what was written survives a crash of the API server', async () => {
  await plane.kubectl(['create', 'configmap', 'kept', '--from-literal=a=b'])
  await plane.killApiServer()
  await assert.rejects(plane.kubectl(['get', 'configmap', 'kept']), /refused/)
  await plane.restartApiServer()
  assert.equal(await plane.kubectl(['get', 'configmap', 'kept', '-o', 'jsonpath={.data.a}']), 'b')
})
