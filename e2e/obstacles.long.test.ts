// Obstacles that only time ends: for every change it would take too long to wait for them (F08).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { installMinio, installOperator } from './install.ts'
import { storyNamespace } from './namespace.ts'
import { put } from './objects.ts'
import { changesPods } from './pod-changer.ts'
import { jobPolicy, run, runJobs, shell, storeNamespace } from './stack.ts'
import { assertNothingIsLeft, openStore } from './store.ts'

/** Of the Job of a policy that allows its pods 30 s and one attempt: ten minutes more. Seconds. */
const jobDeadline = 630
const shortest = { activeDeadlineSeconds: 30, backoffLimit: 0 }

test('runs whose pods are refused to the end', { concurrency: 3 }, async t => {
  await Promise.all([installOperator(), installMinio()])
  const store = await openStore()
  t.after(() => store.close())

  const stories = [
    t.test('pod security that never yields: Failed after five minutes, and the Job is gone', async s => {
      const level = { 'pod-security.kubernetes.io/enforce': 'restricted' }
      const place = await storeNamespace(s, 'e2e-refused-security', level)
      await store.removeAll(place)
      // A probe of the store is a pod like any other, and must have passed before.
      await put(jobPolicy(place, 'changed', shell('echo data')))
      assert.equal((await run(place, 'before', 'changed')).phase, 'Completed')
      // The webhook's own pod needs a namespace that lets it in.
      await changesPods(s, await storyNamespace(s, 'e2e-refused-changer'), place)
      const began = Date.now()
      const status = await run(place, 'refused', 'changed', 300 + 120)
      assert.deepEqual([status.phase, status.reason], ['Failed', 'PodSecurityRejected'])
      assert.match(status.message ?? '', /violates PodSecurity "restricted:latest"/)
      // Kubernetes writes the times that this is counted from in whole seconds, rounded down.
      const seconds = (Date.now() - began) / 1000
      assert.ok(seconds >= 299, `it was given up after ${seconds} s`)
      const left = (await runJobs(place, 'changed')).map(({ metadata }) => metadata.name)
      assert.ok(!left.includes(status.run ?? ''), 'a Job that cannot run must not block the schedule')
    }),

    t.test('a quota that never yields: Failed at the deadline of the Job, and the quota stays the reason', async s => {
      const place = await storeNamespace(s, 'e2e-refused-quota')
      await store.removeAll(place)
      await put(jobPolicy(place, 'crowded', shell('echo data'), shortest))
      assert.equal((await run(place, 'before', 'crowded')).phase, 'Completed')
      const metadata = { namespace: place, name: 'few' }
      await put({ apiVersion: 'v1', kind: 'ResourceQuota', metadata, spec: { hard: { pods: '0' } } })
      const status = await run(place, 'refused', 'crowded', jobDeadline + 120)
      assert.deepEqual([status.phase, status.reason], ['Failed', 'QuotaExceeded'])
      assert.match(status.message ?? '', /exceeded quota: few/)
    }),

    t.test('no node that is large enough: Failed at the deadline of the Job, and that stays the reason', async s => {
      const place = await storeNamespace(s, 'e2e-refused-node')
      await store.removeAll(place)
      const huge = { ...shell('echo data'), resources: { requests: { cpu: '1000' } } }
      await put(jobPolicy(place, 'huge', huge, shortest))
      const status = await run(place, 'huge', 'huge', jobDeadline + 120)
      assert.deepEqual([status.phase, status.reason], ['Failed', 'PodUnschedulable'])
      await assertNothingIsLeft(store, place, 'huge', status)
    }),
  ]
  await Promise.all(stories)
})
