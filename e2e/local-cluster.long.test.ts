// The local cluster leaves nothing behind, whatever way it ends, and starts again. A second one is tried, beside the one of the stories:
// with the same tools and images, and a state of its own.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { eventually } from '../dev/eventually.ts'
import { identify, isAlive, type ProcessIdentity } from '../dev/process-identity.ts'
import { secondCluster } from './second-cluster.ts'

const { scratch, state, env, dev, run, holder, begin, remove } = secondCluster('second-cluster')

before(begin)
after(remove)

/** Everything below the process that holds the cluster, and itself. */
function tree(root: ProcessIdentity): readonly ProcessIdentity[] {
  const children = readFileSync(`/proc/${root.pid}/task/${root.pid}/children`, 'utf8').trim().split(' ')
  const below = children.flatMap(pid => {
    const child = pid === '' ? undefined : identify(Number(pid))
    return child ? tree(child) : []
  })
  return [root, ...below]
}

/** The network namespaces of processes, those that have ended and those of other users left out. */
function networksOf(pids: readonly number[]): ReadonlySet<string> {
  const links = pids.map(pid => {
    try {
      return readlinkSync(`/proc/${pid}/ns/net`)
    } catch {
      return undefined
    }
  })
  return new Set(links.filter(link => link !== undefined))
}

const allPids = () => readdirSync('/proc').map(Number).filter(Number.isInteger)

function loopDevices(): readonly string[] {
  const files = readdirSync('/sys/block').map(device => join('/sys/block', device, 'loop/backing_file'))
  return files.filter(file => existsSync(file)).map(file => readFileSync(file, 'utf8').trim())
}

/** In every hierarchy, those of all local clusters. */
function cgroups(): readonly string[] {
  const top = '/sys/fs/cgroup'
  const hierarchies = [top, ...readdirSync(top).map(name => join(top, name))].filter(path =>
    existsSync(join(path, 'cgroup.procs')),
  )
  return hierarchies.flatMap(path =>
    readdirSync(path)
      .filter(name => name.startsWith('backup-operator-'))
      .map(name => join(path, name)),
  )
}

const ofScratch = (lines: readonly string[]) => lines.filter(line => line.includes(scratch))
const mounts = () => readFileSync('/proc/self/mountinfo', 'utf8').split('\n')

const podOnVolume = {
  apiVersion: 'v1',
  kind: 'List',
  items: [
    {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name: 'data' },
      spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '64Mi' } } },
    },
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'main' },
      spec: {
        containers: [
          {
            name: 'main',
            image: 'localhost/postgres:15',
            command: ['sleep', 'infinity'],
            volumeMounts: [{ name: 'data', mountPath: '/data' }],
          },
        ],
        volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'data' } }],
      },
    },
  ],
}

test('a cluster whose first process is killed leaves no process, mount, network or loop device, and the next start works', async () => {
  const cgroupsBefore = cgroups()
  await run(dev('up'))
  await run(dev('status'))
  const kubectl = (args: readonly string[], input?: string) => run(dev('exec', '--', 'kubectl', ...args), input)
  await kubectl(['apply', '--server-side', '-f', '-'], JSON.stringify(podOnVolume))
  await kubectl(['wait', '--for=condition=Ready', 'pod/main', '--timeout=60s'])
  const processes = tree(holder())
  const networks = networksOf(processes.map(({ pid }) => pid))
  assert.ok(processes.length > 15, `${processes.length} processes`)
  assert.equal(networks.size, 2, 'the network of the node and that of the pod')
  assert.notDeepEqual(ofScratch(loopDevices()), [])
  assert.notDeepEqual(cgroups(), cgroupsBefore)

  process.kill(holder().pid, 'SIGKILL')
  await eventually('the processes to end', () => processes.filter(isAlive).length === 0, { seconds: 10 })
  await eventually('the loop devices to go', () => ofScratch(loopDevices()).length === 0, { seconds: 10 })
  await eventually('the networks to go', () => networksOf(allPids()).isDisjointFrom(networks), { seconds: 10 })
  assert.deepEqual(ofScratch(mounts()), [])

  // The next start is killed as well, half-way: it must leave neither its lock nor a cluster that counts as started.
  const [program = '', ...args] = dev('up')
  const starting = spawn(program, args, { env, stdio: 'ignore' })
  await eventually('etcd to be started', () => existsSync(join(state, 'run/etcd.process')), { seconds: 60, every: 20 })
  const killed = once(starting, 'exit')
  starting.kill('SIGKILL')
  await killed
  await assert.rejects(run(dev('status')))
  await run(dev('up'))
  await run(dev('status'))
  assert.match(await kubectl(['get', 'nodes']), /node1 +Ready/)
  assert.equal(await kubectl(['get', 'pods']), '', 'it begins from nothing')

  await run(dev('down'))
  assert.deepEqual(cgroups(), cgroupsBefore)
  assert.deepEqual(ofScratch(loopDevices()), [])
  assert.deepEqual(readdirSync(state).toSorted(), ['containerd', 'owner'])
})
