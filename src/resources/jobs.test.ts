import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import * as fc from 'fast-check'
import { envelopeProblems } from '../../test/plan/pod-envelope.ts'
import { backend, backup, desiredCronJob, jobStrategy, policy, settings } from '../../test/plan/world.ts'
import type { BackupPolicy } from '../api/kinds/backup-policy.ts'
import type { Container, JobSpec, PodSpec } from '../api/kubernetes.ts'
import { annotation, label } from '../api/labels.ts'
import { moverAllocator, moverEnvironment } from '../api/mover/pod.ts'
import { parseMoverTask } from '../api/mover/task.ts'
import { backupCronJob, catalogJob, holdJob, onDemandJob, probeJob } from './jobs.ts'

const noMarks = { held: [], accepted: [] }

/** Every pod that we create for a policy, by what it is for. */
function jobSpecs(of: BackupPolicy, installed = settings) {
  const { job } = of.spec.strategy
  assert.ok(job)
  return {
    scheduled: backupCronJob(of, job, '0 2 * * *', noMarks, installed).spec.jobTemplate.spec,
    'on-demand': onDemandJob(of, job, backup('now'), noMarks, installed).spec,
    probe: probeJob(of, 'hash', 0, installed).spec,
    catalog: catalogJob(of, 'run', undefined, installed).spec,
    hold: holdJob(of, { run: 'run', slot: undefined, held: true }, installed).spec,
  } satisfies Readonly<Record<string, JobSpec>>
}

const fullBackend = {
  ...backend,
  ca: 'store-ca',
  prefix: 'clusters/one',
  region: 'eu-west-1',
  forcePathStyle: false,
}
const fullJob = {
  image: 'registry.example.com/postgres:15',
  imagePullPolicy: 'Always',
  imagePullSecrets: [{ name: 'pull' }],
  command: ['sh', '-c'],
  args: ['pg_dump "$DB" | cat'],
  env: [
    { name: 'DB', value: 'shop' },
    { name: 'PGPASSWORD', valueFrom: { secretKeyRef: { name: 'pg', key: 'password' } } },
  ],
  envFrom: [{ secretRef: { name: 'pg-env' } }],
  resources: { limits: { memory: '1Gi' } },
  runAsUser: 999,
  runAsGroup: 998,
}
const full = policy({ backend: fullBackend, strategy: { type: 'job', job: fullJob } })

suite('every pod that we create is restricted and needs no token:', () => {
  for (const [of, name] of [
    [policy(), 'the least policy'],
    [full, 'a policy with every field'],
  ] as const)
    for (const [what, spec] of Object.entries(jobSpecs(of)))
      test(`${what} of ${name}`, () => assert.deepEqual(envelopeProblems(spec.template.spec), []))
})

test('the check of the envelope notices what is wrong', () => {
  const { template } = jobSpecs(policy())['scheduled'] ?? assert.fail()
  const [dump, mover] = template.spec.containers
  assert.ok(dump && mover)
  for (const wrong of [
    { ...template.spec, hostNetwork: true },
    { ...template.spec, automountServiceAccountToken: true },
    { ...template.spec, volumes: [...template.spec.volumes, { name: 'x', hostPath: { path: '/' } }] },
    {
      ...template.spec,
      containers: [{ ...dump, securityContext: { ...dump.securityContext, readOnlyRootFilesystem: false } }, mover],
    },
  ])
    assert.equal(envelopeProblems(wrong as unknown as PodSpec).length, 1)
})

test('a backup pod has the containers, volumes and mounts that its protocol needs', () => {
  const { initContainers = [], containers, volumes } = jobSpecs(full)['scheduled']?.template.spec ?? assert.fail()
  const mounts = ({ name, volumeMounts = [] }: Container) => [
    name,
    ...volumeMounts.map(mount => `${mount.name}${mount.readOnly ? ' ro' : ''}`),
  ]
  assert.deepEqual(initContainers.map(mounts), [['prepare', 'shared']])
  assert.deepEqual(containers.map(mounts), [
    ['dump', 'shared', 'tmp'],
    ['mover', 'shared', 'credentials ro', 'ca ro'],
  ])
  assert.deepEqual(
    volumes.map(volume => (volume as { name?: string }).name),
    ['shared', 'tmp', 'credentials', 'ca'],
  )
})

test("the store's credentials are files of the mover alone, and optional, so that the mover itself says what is missing", () => {
  for (const spec of Object.values(jobSpecs(full))) {
    const { containers, initContainers = [], volumes } = spec.template.spec
    const credentials = volumes.find(volume => 'secret' in volume) as {
      secret?: { secretName?: string; optional?: boolean }
    }
    assert.deepEqual([credentials.secret?.secretName, credentials.secret?.optional], ['minio-creds', true])
    for (const { name, volumeMounts = [] } of [...initContainers, ...containers])
      assert.equal(
        volumeMounts.some(mount => mount.name === 'credentials'),
        name === 'mover',
      )
    assert.ok(
      !JSON.stringify(containers.map(({ env }) => env)).includes('minio-creds"}'),
      'no container refers to the Secret by its environment',
    )
  }
})

test('what the user wrote reaches the command untouched, and nothing else', () => {
  const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 })
  fc.assert(
    fc.property(fc.array(text, { minLength: 1, maxLength: 5 }), text, (words, value) => {
      const marked = words.map(word => `MARK${word}`)
      const of = policy({
        strategy: {
          type: 'job',
          job: { image: 'MARK/image', args: marked, env: [{ name: 'X', value: `MARK${value}` }] },
        },
      })
      for (const spec of [jobSpecs(of)['scheduled'], jobSpecs(of)['on-demand']]) {
        const pod = spec?.template.spec ?? assert.fail()
        const [dump, ...others] = pod.containers
        assert.ok(dump)
        assert.deepEqual(dump.args, marked)
        assert.deepEqual(dump.env?.at(-1), { name: 'X', value: `MARK${value}` })
        const { args: _, env: __, image: ___, ...rest } = dump
        assert.ok(!JSON.stringify([rest, others, pod.initContainers, pod.volumes]).includes('MARK'))
      }
    }),
    { numRuns: 300 },
  )
})

test('the command line is command then args; the user, group and home are set unless the policy does', () => {
  const dumpOf = (of: BackupPolicy) => jobSpecs(of)['scheduled']?.template.spec.containers[0] ?? assert.fail()
  const least = dumpOf(policy())
  assert.deepEqual(least.args, ['pg_dump', '-Fc', 'shop'])
  assert.deepEqual(least.env, [{ name: 'HOME', value: '/tmp' }])
  const context = (container: Container) => {
    const { runAsUser, runAsGroup } = container.securityContext as { runAsUser?: number; runAsGroup?: number }
    return [runAsUser, runAsGroup]
  }
  assert.deepEqual(context(least), [65_532, 65_532])
  assert.deepEqual(dumpOf(full).args, ['sh', '-c', 'pg_dump "$DB" | cat'])
  assert.deepEqual(context(dumpOf(full)), [999, 998])
  const home = { ...jobStrategy, job: { ...jobStrategy.job, env: [{ name: 'HOME', value: '/data' }] } }
  assert.deepEqual(dumpOf(policy({ strategy: home })).env, [{ name: 'HOME', value: '/data' }])
})

const moverOf = (spec: JobSpec | undefined) =>
  spec?.template.spec.containers.find(({ name }) => name === 'mover') ?? assert.fail()
const taskOf = (spec: JobSpec | undefined) =>
  moverOf(spec).env?.find(({ name }) => name === moverEnvironment.task)?.value ?? ''

test('Kubernetes finds no $ to expand in a task, whatever a policy holds', () => {
  const of = policy({ backend: { ...backend, endpoint: 'http://$(HOME)$$x', prefix: '$(BACKUP_RUN)' } })
  for (const spec of Object.values(jobSpecs(of))) {
    assert.ok(!taskOf(spec).includes('$'))
    const task = parseMoverTask(taskOf(spec))
    assert.deepEqual([task.backend.endpoint, task.backend.prefix], ['http://$(HOME)$$x', '$(BACKUP_RUN)'])
  }
})

test('the mover learns its run, Job and attempt from its own pod', () => {
  for (const spec of Object.values(jobSpecs(policy()))) {
    const names = moverOf(spec).env?.map(({ name }) => name)
    assert.deepEqual(names, [
      moverEnvironment.task,
      moverEnvironment.run,
      moverEnvironment.jobUid,
      moverEnvironment.attempt,
      ...Object.keys(moverAllocator),
    ])
  }
})

test("the command's container is what the policy says, and our containers are what the installation says", () => {
  const installed = { ...settings, imagePullPolicy: 'Never', imagePullSecrets: ['ours'] }
  const specs = jobSpecs(full, installed)
  const { command, args, imagePullSecrets: theirs, runAsUser, runAsGroup, ...asWritten } = fullJob
  for (const { template } of [specs.scheduled, specs['on-demand']]) {
    const { initContainers = [], containers, imagePullSecrets } = template.spec
    assert.deepEqual(imagePullSecrets, [{ name: 'ours' }, ...theirs])
    const [dump, ...movers] = containers
    const { image, imagePullPolicy, env, envFrom, resources, securityContext } = dump ?? assert.fail()
    assert.deepEqual(
      { image, imagePullPolicy, env, envFrom, resources },
      { ...asWritten, env: [{ name: 'HOME', value: '/tmp' }, ...asWritten.env] },
    )
    assert.deepEqual(dump?.args, [...command, ...args])
    assert.partialDeepStrictEqual(securityContext, { runAsUser, runAsGroup })
    for (const ours of [...initContainers, ...movers])
      assert.deepEqual([ours.image, ours.imagePullPolicy], [settings.image, 'Never'])
  }
  for (const { template } of [specs.probe, specs.catalog])
    assert.deepEqual(template.spec.imagePullSecrets, [{ name: 'ours' }])
})

test('every task has the whole backend of the policy, and where that is silent only the default region', () => {
  const { type: _, secretRef, ca: __, ...store } = fullBackend
  for (const spec of Object.values(jobSpecs(full))) {
    const task = parseMoverTask(taskOf(spec))
    assert.deepEqual(task.backend, store)
    assert.deepEqual([task.secretName, task.caFile], [secretRef, '/var/run/backup/ca/ca.crt'])
  }
  const { bucket, endpoint } = backend
  for (const spec of Object.values(jobSpecs(policy())))
    assert.deepEqual(parseMoverTask(taskOf(spec)).backend, { bucket, endpoint, region: 'us-east-1' })
})

test('a scheduled run takes its slot from the name of its Job, an on-demand one from when it was asked for', () => {
  const specs = jobSpecs(policy())
  const scheduled = parseMoverTask(taskOf(specs['scheduled']))
  const onDemand = parseMoverTask(taskOf(specs['on-demand']))
  assert.ok(scheduled.kind === 'backup' && onDemand.kind === 'backup')
  assert.deepEqual([scheduled.cronJob, scheduled.slot], ['backup-nightly', undefined])
  assert.deepEqual([onDemand.cronJob, onDemand.slot], [undefined, Date.parse('2026-01-05T00:00:00Z')])
})

test('deadlines: the pod has one attempt, the Job all of them and ten minutes', () => {
  const spec = jobSpecs(policy({ activeDeadlineSeconds: 1000, backoffLimit: 3 }))['scheduled']
  assert.deepEqual(
    [spec?.backoffLimit, spec?.template.spec.activeDeadlineSeconds, spec?.activeDeadlineSeconds],
    [3, 1000, 4600],
  )
  const task = parseMoverTask(taskOf(spec))
  assert.ok(task.kind === 'backup')
  assert.equal(task.jobDeadlineSeconds, 4600)
})

test('F68: an evicted attempt costs no retry, and a hopeless one ends the Job', () => {
  const rules = jobSpecs(policy())['scheduled']?.podFailurePolicy?.rules ?? []
  assert.deepEqual(rules, [
    { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] },
    {
      action: 'FailJob',
      onExitCodes: { containerName: 'mover', operator: 'In', values: [15, 16, 17, 18, 19, 21, 22, 23, 24, 26, 27, 28] },
    },
  ])
  const { scheduled } = jobSpecs(policy({ startingDeadlineSeconds: 77 }))
  const env = scheduled.template.spec.containers.find(({ name }) => name === 'mover')?.env ?? []
  const task = parseMoverTask(env.find(({ name }) => name === moverEnvironment.task)?.value ?? '')
  assert.equal('startingDeadlineSeconds' in task && task.startingDeadlineSeconds, 77)
})

test('the CronJob never runs twice at once, keeps ten Jobs of either end, and goes with its policy', () => {
  const { metadata, spec } = desiredCronJob(policy({ timeZone: 'Europe/Berlin', suspend: true })) ?? assert.fail()
  assert.deepEqual(
    [spec.concurrencyPolicy, spec.successfulJobsHistoryLimit, spec.failedJobsHistoryLimit, spec.timeZone, spec.suspend],
    ['Forbid', 10, 10, 'Europe/Berlin', true],
  )
  assert.ok(!('ttlSecondsAfterFinished' in spec.jobTemplate.spec))
  assert.deepEqual(metadata.ownerReferences, [
    {
      apiVersion: 'backup.dev/v1alpha1',
      kind: 'BackupPolicy',
      name: 'nightly',
      uid: 'uid-of-policy-nightly',
      controller: true,
      blockOwnerDeletion: false,
    },
  ])
})

test('an on-demand Job belongs to its Backup, so that deleting a running one cancels it', () => {
  const { metadata } = onDemandJob(
    policy(),
    policy().spec.strategy.job ?? assert.fail(),
    backup('now'),
    noMarks,
    settings,
  )
  assert.deepEqual(
    metadata.ownerReferences?.map(({ kind, name, blockOwnerDeletion }) => [kind, name, blockOwnerDeletion]),
    [['Backup', 'now', false]],
  )
  assert.equal(metadata.annotations?.[annotation.backup], 'now')
})

test('Jobs and their pods carry the labels that the operator watches', () => {
  const { jobTemplate } = desiredCronJob(policy())?.spec ?? assert.fail()
  for (const labels of [jobTemplate.metadata?.labels, jobTemplate.spec.template.metadata?.labels])
    assert.deepEqual(labels, {
      [label.managedBy]: 'backup-operator',
      [label.policy]: 'nightly',
      [label.target]: 'command',
      [label.role]: 'run',
    })
})

test('the hash of the wish changes with the wish, and with nothing else', () => {
  const hash = (of: BackupPolicy, marks = noMarks as Parameters<typeof backupCronJob>[3]) =>
    backupCronJob(of, of.spec.strategy.job ?? assert.fail(), '0 2 * * *', marks, settings).metadata.annotations?.[
      annotation.desiredState
    ]
  const wish = hash(policy())
  assert.equal(hash(policy({}, { metadata: { resourceVersion: '99', generation: 9, labels: { x: 'y' } } })), wish)
  assert.equal(hash(policy(), { held: ['a', 'b'], accepted: [] }), hash(policy(), { held: ['b', 'a'], accepted: [] }))
  for (const other of [
    policy({ retention: 8 }),
    policy({ suspend: true }),
    policy({ backoffLimit: 1 }),
    policy({}, { metadata: { uid: 'new' } }),
  ])
    assert.notEqual(hash(other), wish)
  assert.notEqual(hash(policy(), { held: ['a'], accepted: [] }), wish)
})

test('a policy that admission should have refused is refused here, too', () => {
  assert.throws(() => probeJob(policy({ backend: undefined }), 'hash', 0, settings), /has no backend/)
})

suite('recipients', () => {
  const encrypted = (encryption: object) =>
    jobSpecs(policy({ backend: { ...backend, encryption }, strategy: { type: 'job', job: fullJob } }))
  const taskOf = ({ template }: JobSpec) => {
    const mover = template.spec.containers.find(({ name }) => name === 'mover')
    const { value = '' } = mover?.env?.find(({ name }) => name === moverEnvironment.task) ?? {}
    return parseMoverTask(value)
  }
  const encrypting = new Set(['scheduled', 'on-demand', 'probe'])

  test('go to who encrypts with them, and to the probe', () => {
    const recipients = ['age1a', 'age1b']
    for (const [what, spec] of Object.entries(encrypted({ recipients }))) {
      const task = taskOf(spec)
      const given = 'encryption' in task ? task.encryption : undefined
      assert.deepEqual(given, encrypting.has(what) ? { recipients } : undefined, what)
      assert.ok(!JSON.stringify(spec.template.spec.volumes).includes('recipients'))
    }
  })

  test('of a ConfigMap are read by the mover alone, which starts also where there is none', () => {
    for (const [what, spec] of Object.entries(encrypted({ configMap: 'keys' }))) {
      const { containers, volumes } = spec.template.spec
      const found = volumes.filter(({ name }) => name === 'recipients')
      const isEncrypting = encrypting.has(what)
      const volume = { name: 'recipients', configMap: { name: 'keys', optional: true } }
      assert.deepEqual(found, isEncrypting ? [volume] : [], what)
      const mounted = containers.filter(({ volumeMounts = [] }) =>
        volumeMounts.some(({ name }) => name === 'recipients'),
      )
      assert.deepEqual(
        mounted.map(({ name }) => name),
        isEncrypting ? ['mover'] : [],
        what,
      )
      const task = taskOf(spec)
      if (isEncrypting)
        assert.deepEqual('encryption' in task && task.encryption, {
          recipientsFile: '/var/run/backup/recipients/recipients',
        })
    }
  })
})
