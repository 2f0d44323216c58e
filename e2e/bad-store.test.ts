// Stores that cannot be used: each with its own reason on the policy before any run, found by the probe, and gone by itself once the
// reason is. Beside them, stores that fail only while they are used.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Job } from '../src/api/kubernetes.ts'
import { label } from '../src/api/labels.ts'
import * as resources from '../src/controllers/shared/resources.ts'
import { listed } from '../test/runner/long-list.ts'
import { waitFor } from './cluster.ts'
import { faultyStore, faultyStoreStories } from './faulty-store.ts'
import { installMinio, installOperator } from './install.ts'
import { api, put } from './objects.ts'
import { readOnlyCredentials } from './read-only.ts'
import {
  backend,
  jobPolicy,
  patch,
  policyCondition,
  run,
  secret,
  shell,
  store as minio,
  storeNamespace,
  storeSecret,
} from './stack.ts'
import { openStore } from './store.ts'
import { tlsStore } from './tls-store.ts'

const namespace = 'e2e-bad-store'
/** Seconds for a reason to be seen: a store that does not answer is tried for half a minute. */
const soon = 90
/** Seconds: after the first failure the probe waits one minute, then it takes its own time again. */
const backOff = 60 + soon

type Row = {
  readonly name: string
  readonly what: string
  readonly backend: Readonly<Record<string, unknown>>
  readonly reason: string
  readonly message: RegExp
}

/** Those marked `long` are told without a cluster too: test/mover/store-faults.test.ts. */
const rows = listed<Row>([
  {
    name: 'keyless',
    what: 'a Secret without the keys names those looked for and those found',
    backend: { secretRef: 'keyless' },
    reason: 'SecretKeyMissing',
    message: /AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or accessKey and secretKey, or rootUser.*found pass, user/,
  },
  {
    name: 'wrong-key',
    long: true,
    what: 'wrong credentials',
    backend: { secretRef: 'wrong-key' },
    reason: 'AccessDenied',
    message: /./,
  },
  {
    name: 'read-only',
    long: true,
    what: 'credentials that may only read',
    backend: { secretRef: 'read-only' },
    reason: 'StoreReadOnly',
    message: /reading is allowed, writing is not: .*AccessDenied/,
  },
  {
    name: 'no-bucket',
    long: true,
    what: 'a bucket that does not exist',
    backend: { bucket: 'nobody-made-it' },
    reason: 'BucketNotFound',
    message: /nobody-made-it/,
  },
  {
    name: 'no-name',
    long: true,
    what: 'an endpoint whose name does not resolve',
    backend: { endpoint: 'http://no-such-store.minio.svc:9000' },
    reason: 'EndpointUnreachable',
    message: /no-such-store\.minio\.svc.*(not resolve|ENOTFOUND|DNS)/,
  },
  {
    name: 'refused',
    long: true,
    what: 'an endpoint where nothing listens',
    backend: { endpoint: 'http://127.0.0.1:9000' },
    reason: 'EndpointUnreachable',
    message: /refuse/i,
  },
  {
    name: 'not-s3',
    long: true,
    what: "MinIO's console instead of its API, with MinIO's own words",
    backend: { endpoint: 'http://minio.minio.svc:9001' },
    reason: 'InvalidEndpoint',
    message: /port of the store's console.*S3 API Requests must be made to API port/,
  },
  {
    name: 'foreign',
    what: 'a folder of another cluster',
    backend: {},
    reason: 'PrefixOwnedByOther',
    message: /belongs to policy e2e-bad-store\/foreign of cluster another-cluster/,
  },
])

test('stores that cannot be used', { concurrency: 8 }, async t => {
  await Promise.all([installOperator(), installMinio()])
  const store = await openStore()
  t.after(() => store.close())
  await Promise.all([store.removeAll(namespace), storeNamespace(t, namespace)])
  const policy = (name: string, differs: Readonly<Record<string, unknown>>) =>
    jobPolicy(namespace, name, shell('echo data'), { backend: { ...backend, ...differs } })

  await put(
    secret(namespace, 'keyless', { user: 'me', pass: 'word' }),
    secret(namespace, 'wrong-key', { accessKey: minio.user, secretKey: 'not-the-password' }),
    secret(namespace, 'read-only', await readOnlyCredentials(store.endpoint)),
    ...faultyStore(namespace),
  )
  const owner = { version: 1, clusterId: 'another-cluster', namespace, policy: 'foreign' }
  await store.put(`${namespace}/foreign/owner.json`, JSON.stringify(owner))

  /** Nothing ran for it, and nothing but the folder's mark is in the bucket. */
  async function assertNothingRan(name: string) {
    const labelSelector = `${label.policy}=${name},${label.role}=run`
    const { items } = await api.list<Job>(resources.jobs, { namespace, labelSelector })
    assert.deepEqual(items, [])
    const marks = name === 'foreign' ? [`${namespace}/foreign/owner.json`] : []
    assert.deepEqual(await store.keys(`${namespace}/${name}/`), marks)
  }

  // What waits longest comes first.
  const recoveries = [
    t.test('a Secret that does not exist: SecretNotFound, and Ready by itself once it does', async () => {
      await put(policy('later', { secretRef: 'later' }))
      const condition = await policyCondition(namespace, 'later', 'Ready', 'SecretNotFound', soon)
      assert.equal(condition.status, 'False')
      assert.match(condition.message, /the Secret later does not exist.*create it with the keys AWS_ACCESS_KEY_ID/)
      await assertNothingRan('later')
      await put(storeSecret(namespace, 'later'))
      await policyCondition(namespace, 'later', 'Ready', 'Ready', backOff)
    }),

    t.test('a certificate that nobody signed: TLSVerificationFailed, until backend.ca names it', async () => {
      await put(...(await tlsStore(namespace)))
      await waitFor(namespace, 'pod/tls-store', 'condition=Ready')
      await put(policy('tls', { endpoint: `https://tls-store.${namespace}.svc:9000` }))
      const condition = await policyCondition(namespace, 'tls', 'Ready', 'TLSVerificationFailed', soon)
      assert.equal(condition.status, 'False')
      assert.match(condition.message, /backend\.ca/)
      await assertNothingRan('tls')
      await patch(namespace, 'backuppolicy/tls', { spec: { backend: { ca: 'tls-store' } } })
      await policyCondition(namespace, 'tls', 'Ready', 'Ready', soon)
      assert.equal((await run(namespace, 'tls')).phase, 'Completed')
    }),
  ]

  const faulty = faultyStoreStories(t, namespace, store)

  const table = rows.map(({ name, what, backend: differs, reason, message }) =>
    t.test(`${what}: ${reason}`, async () => {
      await put(policy(name, differs))
      const condition = await policyCondition(namespace, name, 'Ready', reason, soon)
      assert.equal(condition.status, 'False')
      assert.match(condition.message, message)
      assert.doesNotMatch(condition.message, /not-the-password|word\b.*word/)
      await assertNothingRan(name)
    }),
  )

  await Promise.all([...recoveries, ...faulty, ...table])
})
