// How much memory does the operator take in a large cluster, how late is it when everything is due at once, what does a scrape cost, and
// does anything grow?
//
//     node bench/scale.bench.ts [--world snapshots|jobs] [--policies 1000] [--backups 10] [--parts settle,scrape,burst,soak,hostile]
//                               [--minutes 5] [--soak-minutes 30] [--main src/main.ts] [--node-flag=…]
//
// Prints one JSON object with machine and versions. Needs root (for a mount namespace) and the Go tools. With its defaults it takes a
// quarter of an hour on two cores.
import { cpus, totalmem } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { goTools } from '../dev/go-tools.ts'
import { Client } from '../src/runtime/client/client.ts'
import { installOperatorChart, installSnapshotCrds } from '../test/api/operator/operator.ts'
import { startControlPlane } from '../test/api/control-plane/control-plane.ts'
import { burst, hostile, scrape, settle, soak } from './scale/measures.ts'
import { imageProgram, startMeasured, type Program } from './scale/operator-in-image.ts'
import { makeJobWorld, makeSnapshotWorld } from './scale/worlds.ts'

const { values } = parseArgs({
  options: {
    world: { type: 'string', default: 'snapshots' },
    policies: { type: 'string', default: '1000' },
    backups: { type: 'string', default: '10' },
    parts: { type: 'string', default: 'settle,scrape,burst' },
    minutes: { type: 'string', default: '5' },
    'soak-minutes': { type: 'string', default: '30' },
    main: { type: 'string' },
    'node-flag': { type: 'string', multiple: true },
  },
})
if (values.world !== 'snapshots' && values.world !== 'jobs') throw new Error('--world is snapshots or jobs')
const size = { policies: Number(values.policies), backups: Number(values.backups) }
const parts = new Set(values.parts.split(','))

const plane = await startControlPlane({ audit: true })
const interrupted = () => void plane.stop().then(() => process.exit(1))
process.on('SIGINT', interrupted)
process.on('SIGTERM', interrupted)
const inImage = await imageProgram(join(dirname(plane.kubeconfig), 'program'))
const program: Program = {
  main: values.main === undefined ? inImage.main : resolve(values.main),
  nodeFlags: values['node-flag'] ?? inImage.nodeFlags,
}
const results: Record<string, unknown> = {}
try {
  // The administrator makes Backups of slots, as who restores a cluster.
  await installOperatorChart(plane, ['admissionPolicies.restoreAccounts=["admin"]'])
  await installSnapshotCrds(plane)
  const admin = new Client(plane.adminConfig)
  // The image brings its compile cache along: it must be full before anything is measured.
  const first = await startMeasured(plane, program)
  await first.synced()
  await first.stop()
  say(`making ${size.policies} policies with ${size.backups} backups each`)
  await (values.world === 'jobs' ? makeJobWorld(plane, admin, size, program) : makeSnapshotWorld(plane, admin, size))
  say('starting the operator')
  const operator = await startMeasured(plane, program)
  if (parts.has('settle')) results.settle = await settle(plane, operator, Number(values.minutes))
  else await operator.synced()
  if (parts.has('scrape')) results.scrape = await scrape(operator)
  say(JSON.stringify(results))
  if (parts.has('burst')) results.burst = await burst(plane, admin, operator, size.policies)
  if (parts.has('soak'))
    results.soak = await soak(plane, admin, operator, size.policies, Number(values['soak-minutes']))
  if (parts.has('hostile')) results.hostile = await hostile(plane, admin, operator, size.policies)
  await operator.stop()
  await admin.close()
} finally {
  await plane.stop()
}
console.log(
  JSON.stringify({
    bench: 'scale',
    world: values.world,
    ...size,
    nodeFlags: program.nodeFlags,
    ...results,
    machine: { cores: cpus().length, model: cpus()[0]?.model, memoryGiB: Math.round(totalmem() / 2 ** 30) },
    versions: { node: process.versions.node, kubernetes: goTools.find(({ name }) => name === 'kubernetes')?.version },
  }),
)

function say(line: string): void {
  console.error(line)
}
