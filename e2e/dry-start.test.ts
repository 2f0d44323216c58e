// What only the first night told: an image without the program, one that cannot be pulled, a pod that the namespace refuses. The pod of
// a run is started dry on a real cluster, and the policy says so within minutes, without any run (F84, F95).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { kubectl } from '../dev/cluster-access.ts'
import { annotation } from '../src/api/labels.ts'
import { cluster, patience } from './cluster.ts'
import { installMinio, installOperator } from './install.ts'
import { put } from './objects.ts'
import { changesPods } from './pod-changer.ts'
import { jobPolicy, policyCondition, runJobs, shell, storeNamespace } from './stack.ts'
import { openStore } from './store.ts'

/** A verdict that is given a minute before it is told, after a pod or two. Seconds. */
const told = 60 + patience

test('policies whose command cannot be started', { concurrency: 3 }, async t => {
  await Promise.all([installOperator(), installMinio()])
  const store = await openStore()
  t.after(() => store.close())
  const [namespace, restricted] = ['e2e-dry-start', 'e2e-dry-start-security']
  const level = { 'pod-security.kubernetes.io/enforce': 'restricted' }
  await Promise.all([
    ...[namespace, restricted].map(each => store.removeAll(each)),
    storeNamespace(t, namespace),
    storeNamespace(t, restricted, level),
  ])

  await Promise.all([
    t.test('a program that the image lacks is CommandNotFound, and mended by an edit (F95)', async () => {
      await put(jobPolicy(namespace, 'typo', { args: ['pg_dmp', 'shop'] }))
      const ready = await policyCondition(namespace, 'typo', 'Ready', 'CommandNotFound', told)
      assert.equal(ready.status, 'False')
      assert.match(ready.message, /the program pg_dmp is not in image/)
      await put(jobPolicy(namespace, 'typo', { args: ['pg_dump', 'shop'] }))
      assert.equal((await policyCondition(namespace, 'typo', 'Ready', 'Ready', told)).status, 'True')
      assert.deepEqual(await runJobs(namespace, 'typo'), [], 'no run was made for that')
    }),

    t.test('an image that does not exist is ImagePullFailed (F84)', async () => {
      await put(jobPolicy(namespace, 'image', { image: 'localhost/no-such-image:1', args: ['pg_dump'] }))
      const found = () => policyCondition(namespace, 'image', 'Ready', 'ImagePullFailed', told)
      assert.match((await found()).message, /image of container dump cannot be pulled.*no-such-image/s)
    }),

    t.test(
      'a pod that pod security refuses makes a policy that was ready not ready, once it is asked (F84)',
      async s => {
        await put(jobPolicy(restricted, 'changed', shell('echo data')))
        await policyCondition(restricted, 'changed', 'Ready', 'Ready', told)
        const changer = await changesPods(s, namespace, restricted)
        await kubectl(cluster, ['-n', restricted, 'annotate', 'backuppolicy', 'changed', `${annotation.probe}=now`])
        const ready = await policyCondition(restricted, 'changed', 'Ready', 'PodSecurityRejected', told)
        assert.match(ready.message, /violates PodSecurity "restricted:latest"/)
        await changer.stop()
      },
    ),
  ])
})
