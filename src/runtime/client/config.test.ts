import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { inClusterConfig } from './config.ts'

test('in a pod, the service account and the environment say where the API server is, also over IPv6', async t => {
  const directory = await mkdtemp(join(tmpdir(), 'runtime-config-'))
  t.after(() => rm(directory, { recursive: true }))
  const env = { KUBERNETES_SERVICE_HOST: '10.0.0.1', KUBERNETES_SERVICE_PORT: '443' }
  assert.throws(() => inClusterConfig({ env, directory }), /token is missing.*automountServiceAccountToken/)
  await writeFile(join(directory, 'token'), 't')
  await writeFile(join(directory, 'ca.crt'), 'c')
  assert.deepEqual(inClusterConfig({ env, directory }), {
    url: 'https://10.0.0.1:443',
    caFile: join(directory, 'ca.crt'),
    tokenFile: join(directory, 'token'),
  })
  assert.equal(
    inClusterConfig({ env: { ...env, KUBERNETES_SERVICE_HOST: 'fd00::1' }, directory }).url,
    'https://[fd00::1]:443',
  )
})

test('outside a pod the error says so', () => {
  assert.throws(() => inClusterConfig({ env: { KUBECONFIG: '/tmp/config' } }), /not run in a Kubernetes pod/)
})
