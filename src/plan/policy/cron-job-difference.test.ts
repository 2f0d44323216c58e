import assert from 'node:assert/strict'
import { test } from 'node:test'
import { at, desiredCronJob, policy, world } from '../../../test/plan/world.ts'
import { does, planPolicy } from '../../../test/plan/planned.ts'
import type { Container, CronJob, PodSpec } from '../../api/kubernetes.ts'
import { cronJobDifferences, isSameImage } from './cron-job-difference.ts'

const wanted = desiredCronJob(policy()) ?? assert.fail()

function withSpec(change: Partial<CronJob['spec']>): CronJob {
  return { ...wanted, spec: { ...wanted.spec, ...change } }
}

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
  ['variable HOME of container dump', withContainer('dump', () => ({ env: [{ name: 'HOME', value: '/root' }] }))],
  ['container prepare', withPod(pod => ({ ...pod, initContainers: [] }))],
]
for (const [what, edited] of edits)
  test(`F77: a CronJob in which somebody has changed the ${what} is written anew, and fires nothing for it`, () => {
    assert.deepEqual(cronJobDifferences(edited, wanted), [what])
    const current = world(policy()).cronJob ?? assert.fail()
    const { actions } = planPolicy(world(policy(), { cronJob: { ...current, spec: edited.spec } }), at('12:00'))
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
