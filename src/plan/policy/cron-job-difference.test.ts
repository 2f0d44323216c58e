import assert from 'node:assert/strict'
import { test } from 'node:test'
import { at, desiredCronJob, jobStrategy, policy, world } from '../../../test/plan/world.ts'
import { does, planPolicy } from '../../../test/plan/planned.ts'
import type { Container, CronJob, JobSpec, PodSpec } from '../../api/kubernetes.ts'
import { cronJobDifferences, isSameImage } from './cron-job-difference.ts'

const fromSecret = (name: string, key = 'password') => ({
  name: 'PGPASSWORD',
  valueFrom: { secretKeyRef: { name, key } },
})
const fromConfig = (name: string, more: object = {}) => ({ configMapRef: { name }, ...more })
const job = {
  ...jobStrategy.job,
  env: [fromSecret('prod-db')],
  envFrom: [fromConfig('prod'), fromConfig('prod-more')],
}
const of = policy({ strategy: { type: 'job', job } })
const wanted = desiredCronJob(of) ?? assert.fail()

function withSpec(change: Partial<CronJob['spec']>): CronJob {
  return { ...wanted, spec: { ...wanted.spec, ...change } }
}

function withJob(change: Partial<JobSpec>): CronJob {
  const { jobTemplate } = wanted.spec
  return withSpec({ jobTemplate: { ...jobTemplate, spec: { ...jobTemplate.spec, ...change } } })
}

/** The variables of the dump, with its password from elsewhere. */
const withPassword = (password: object) =>
  withContainer('dump', ({ env = [] }) => ({
    env: env.map(each => (each.name === 'PGPASSWORD' ? { name: each.name, ...password } : each)),
  }))

function withPod(change: (pod: PodSpec) => PodSpec): CronJob {
  const { jobTemplate } = wanted.spec
  const { spec } = jobTemplate
  const template = { ...spec.template, spec: change(spec.template.spec) }
  return withSpec({ jobTemplate: { ...jobTemplate, spec: { ...spec, template } } })
}

function withContainer(name: string, change: (container: Container) => object): CronJob {
  const changed = (each: Container) => (each.name === name ? ({ ...each, ...change(each) } as Container) : each)
  return withPod(pod => ({ ...pod, containers: pod.containers.map(changed) }))
}

const edits: readonly (readonly [what: string, edited: CronJob])[] = [
  ['concurrencyPolicy', withSpec({ concurrencyPolicy: 'Allow' })],
  ['successfulJobsHistoryLimit', withSpec({ successfulJobsHistoryLimit: 0 })],
  ['failedJobsHistoryLimit', withSpec({ failedJobsHistoryLimit: 1 })],
  ['suspend', withSpec({ suspend: true })],
  ['args of container dump', withContainer('dump', () => ({ args: ['true'] }))],
  ['command of container dump', withContainer('dump', () => ({ command: ['sh'] }))],
  ['image of container dump', withContainer('dump', () => ({ image: 'postgres:14' }))],
  ['image of container mover', withContainer('mover', () => ({ image: 'other:test' }))],
  ['variable BACKUP_TASK of container mover', withContainer('mover', ({ env = [] }) => ({ env: env.slice(1) }))],
  [
    'variable HOME of container dump',
    withContainer('dump', ({ env = [] }) => ({ env: [...env, { name: 'HOME', value: '/root' }] })),
  ],
  ['variable PGPASSWORD of container dump', withPassword(fromSecret('staging-db'))],
  ['variable PGPASSWORD of container dump', withPassword(fromSecret('prod-db', 'other'))],
  ['variable PGPASSWORD of container dump', withPassword({ value: '' })],
  [
    'variable HOME of container dump',
    withContainer('dump', ({ env = [] }) => ({
      env: env.map(each => (each.name === 'HOME' ? { ...fromSecret('prod-db'), name: 'HOME' } : each)),
    })),
  ],
  [
    'variable BACKUP_ATTEMPT of container mover',
    withContainer('mover', ({ env = [] }) => ({
      env: env.map(each =>
        each.name === 'BACKUP_ATTEMPT' ? { ...each, valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } } : each,
      ),
    })),
  ],
  ['envFrom of container dump', withContainer('dump', () => ({ envFrom: [fromConfig('prod')] }))],
  [
    'envFrom of container dump',
    withContainer('dump', () => ({ envFrom: [fromConfig('prod-more'), fromConfig('prod')] })),
  ],
  [
    'envFrom of container dump',
    withContainer('dump', () => ({ envFrom: [fromConfig('prod', { prefix: 'X_' }), fromConfig('prod-more')] })),
  ],
  ['parallelism', withJob({ parallelism: 2 })],
  ['parallelism', withJob({ parallelism: 0 })],
  ['completions', withJob({ completions: 2 })],
  ['suspend of the Job', withJob({ suspend: true })],
  ['ttlSecondsAfterFinished', withJob({ ttlSecondsAfterFinished: 0 })],
  ['podFailurePolicy', withJob({ podFailurePolicy: undefined })],
  [
    'podFailurePolicy',
    withJob({ podFailurePolicy: { rules: wanted.spec.jobTemplate.spec.podFailurePolicy?.rules.slice(1) ?? [] } }),
  ],
  ['activeDeadlineSeconds of the pod', withPod(pod => ({ ...pod, activeDeadlineSeconds: 1 }))],
  [
    'volume credentials',
    withPod(pod => ({
      ...pod,
      volumes: pod.volumes.map(each =>
        each.name === 'credentials' ? { name: each.name, secret: { secretName: 'other' } } : each,
      ),
    })),
  ],
  ['volume tmp', withPod(pod => ({ ...pod, volumes: pod.volumes.filter(({ name }) => name !== 'tmp') }))],
  [
    'labels of the Job',
    withSpec({
      jobTemplate: { ...wanted.spec.jobTemplate, metadata: { ...wanted.spec.jobTemplate.metadata, labels: {} } },
    }),
  ],
  [
    'annotations of the Job',
    withSpec({
      jobTemplate: { ...wanted.spec.jobTemplate, metadata: { ...wanted.spec.jobTemplate.metadata, annotations: {} } },
    }),
  ],
  ['labels of the pod', withJob({ template: { ...wanted.spec.jobTemplate.spec.template, metadata: {} } })],
  ['container prepare', withPod(pod => ({ ...pod, initContainers: [] }))],
]
for (const [what, edited] of edits)
  test(`F77: a CronJob in which somebody has changed the ${what} is written anew, and fires nothing for it`, () => {
    assert.deepEqual(cronJobDifferences(edited, wanted), [what])
    const current = world(of).cronJob ?? assert.fail()
    const { actions } = planPolicy(world(of, { cronJob: { ...current, spec: edited.spec } }), at('12:00'))
    const did = actions.map(does).filter(name => name.includes('CronJob'))
    assert.deepEqual(did, what === 'suspend' ? ['patch CronJob', 'replace CronJob'] : ['replace CronJob'])
  })

test('F77: what webhooks and defaults add to a CronJob is no difference', () => {
  const sidecar = { name: 'mesh', image: 'mesh:1' }
  const added = withPod(pod => ({
    ...pod,
    tolerations: [{ operator: 'Exists' }],
    dnsPolicy: 'ClusterFirst',
    initContainers: [sidecar, ...(pod.initContainers ?? [])],
    containers: [
      ...pod.containers.map(each => ({
        ...each,
        imagePullPolicy: 'Always',
        env: [
          { name: 'PROXY', value: 'http://proxy' },
          ...(each.env ?? []).map(({ valueFrom, ...env }) =>
            valueFrom ? { ...env, valueFrom: { fieldRef: { apiVersion: 'v1' }, ...valueFrom } } : env,
          ),
        ],
        terminationMessagePath: '/dev/termination-log',
      })),
      sidecar,
    ],
  }))
  assert.deepEqual(cronJobDifferences(added, wanted), [])
})

test('F77: what the API server writes where nobody says anything, and sources and labels of others, are no difference', () => {
  const { jobTemplate } = wanted.spec
  const { spec } = jobTemplate
  const dump = (each: Container) => ({
    ...each,
    env: each.env?.map(({ valueFrom, ...env }) =>
      valueFrom
        ? { ...env, valueFrom: { secretKeyRef: { ...fromSecret('prod-db').valueFrom.secretKeyRef, optional: false } } }
        : env,
    ),
    envFrom: [fromConfig('prod'), fromConfig('of-others'), fromConfig('prod-more')],
  })
  const pod = {
    ...spec.template.spec,
    containers: spec.template.spec.containers.map(each => (each.name === 'dump' ? dump(each) : each)),
    volumes: [
      { name: 'of-others', emptyDir: {} },
      ...spec.template.spec.volumes.map(each =>
        each.name === 'tmp' ? { ...each, emptyDir: { sizeLimit: '1Gi' } } : each,
      ),
    ],
  }
  const metadata = {
    labels: { ...jobTemplate.metadata?.labels, team: 'a' },
    annotations: { ...jobTemplate.metadata?.annotations, a: 'b' },
  }
  const rules = spec.podFailurePolicy?.rules.map(rule => ({ onPodConditions: null, ...rule })) ?? []
  const defaulted = { ...spec, parallelism: 1, completions: 1, suspend: false, podFailurePolicy: { rules } }
  const standing = { metadata, spec: { ...defaulted, template: { ...spec.template, spec: pod } } }
  assert.deepEqual(cronJobDifferences(withSpec({ jobTemplate: standing }), wanted), [])
})

test('F77: an image that a webhook has pinned, or taken from a mirror, is the same; another tag, digest or repository is not', () => {
  const digest = `@sha256:${'a'.repeat(64)}`
  for (const [current, desired, same] of [
    [`postgres:15${digest}`, 'postgres:15', true],
    [`postgres${digest}`, 'postgres:15', true],
    ['docker.io/library/postgres:15', 'postgres:15', true],
    ['mirror.local/docker.io/library/postgres:15', 'docker.io/library/postgres:15', true],
    ['mirror.local:5000/acme/dump:2', 'ghcr.io/acme/dump:2', true],
    [`mirror.local/hub/library/postgres:15${digest}`, 'postgres:15', true],
    ['postgres:latest', 'postgres', true],
    ['postgres:14', 'postgres:15', false],
    ['supabase/postgres:15', 'postgres:15', false],
    ['localhost/supabase/postgres:15', 'postgres:15', true],
    [`postgres:14${digest}`, 'postgres:15', false],
    ['postgres', 'postgres:15', false],
    [`other${digest}`, 'postgres:15', false],
    ['mirror.local/not-postgres:15', 'postgres:15', false],
    ['postgres:15', `postgres:15${digest}`, false],
    [`postgres:15@sha256:${'b'.repeat(64)}`, `postgres:15${digest}`, false],
    [`mirror.local/postgres${digest}`, `postgres:15${digest}`, true],
  ] as const)
    assert.equal(isSameImage(current, desired), same, `${current} for ${desired}`)
})
