// The local cluster leaves nothing behind, whatever way it ends, and starts again. A second one is tried, beside the one of the stories:
// with the same tools and images, and a state of its own.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { capture } from '../dev/command.ts'
import { eventually } from '../dev/eventually.ts'
import { cacheDirectory, repository } from '../dev/paths.ts'
import { identify, isAlive, parseStat, type ProcessIdentity } from '../dev/process-identity.ts'

/** A fixed place, so that the next run finds what one that was killed left running. */
const scratch = join(cacheDirectory, 'second-cluster')
const seenAs = join(scratch, 'backup-operator')
const state = join(scratch, 'state')

/** `dev/main.ts` where the cache has another `cluster` folder: in mount namespaces that are gone with the command. */
function dev(...args: readonly string[]): readonly string[] {
  const script = 'mount --bind "$1" "$2" && mount --bind "$3" "$2/cluster" && shift 3 && exec "$@"'
  const mounts = [cacheDirectory, seenAs, state]
  const command = [process.execPath, join(repository, 'dev/main.ts'), ...args]
  return ['unshare', '--mount', 'bash', '-c', script, 'dev', ...mounts, ...command]
}

// CLUSTER may name the one of the stories; here only the second one is meant.
const env = { ...process.env, XDG_CACHE_HOME: scratch, CLUSTER: '' }
const run = (argv: readonly string[]) => capture(argv, { env })

async function remove() {
  for (const folder of [seenAs, state, join(cacheDirectory, 'cluster')]) mkdirSync(folder, { recursive: true })
  await run(dev('down'))
  rmSync(scratch, { recursive: true })
}

before(async () => {
  await remove()
  for (const folder of [seenAs, state]) mkdirSync(folder, { recursive: true })
})
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

const holder = () => parseStat(readFileSync(join(state, 'holder'), 'utf8'))

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
  const kubectl = (args: readonly string[], input?: string) =>
    capture(dev('exec', '--', 'kubectl', ...args), { env, input })
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
