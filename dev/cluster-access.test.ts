// Whatever KUBECONFIG a shell has, tests and demos neither use, read nor write it: it may be somebody's production cluster.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, posix } from 'node:path'
import { after, before, test } from 'node:test'
import { capture } from './command.ts'
import { chosenCluster, clusterEnvironment } from './cluster-access.ts'
import { repository } from './paths.ts'

let folder: string
/** What the shell has: a pipe that nobody writes to or reads from, so that whoever opens it hangs. */
let ambient: string
/** What somebody names: a cluster with the context `mine`. */
let named: string
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cluster-access-'))
  ambient = join(folder, 'ambient')
  await capture(['mkfifo', ambient])
  named = join(folder, 'named')
  writeFileSync(named, 'apiVersion: v1\nkind: Config\ncurrent-context: mine\n')
})
after(() => rmSync(folder, { recursive: true }))

/** Runs `dev/main.ts` where no local cluster was ever started. */
function dev(args: readonly string[], environment: Readonly<Record<string, string>> = {}) {
  const env = { PATH: process.env.PATH, HOME: folder, XDG_CACHE_HOME: join(folder, 'cache'), KUBECONFIG: ambient }
  const options = { env: { ...env, ...environment }, encoding: 'utf8', timeout: 60_000 } as const
  return spawnSync(process.execPath, [join(repository, 'dev/main.ts'), ...args], options)
}

test('without CLUSTER only the local cluster is meant, also while it does not run', () => {
  const { status, signal, stderr, stdout } = dev(['exec', '--', 'true'])
  assert.deepEqual({ status, signal, stdout }, { status: 1, signal: null, stdout: '' })
  assert.match(stderr, /the local cluster does not run; start it with: make cluster-up/)
  const { status: ofStatus, signal: ended } = dev(['status'])
  assert.deepEqual([ofStatus, ended], [1, null])
})

test('a cluster is named by CLUSTER and confirmed by its context; what runs there gets its kubeconfig', () => {
  const CLUSTER = `kubeconfig:${named}`
  const { status, stdout, stderr } = dev(['exec', '--', 'printenv', 'KUBECONFIG'], { CLUSTER, CONFIRM: 'mine' })
  assert.deepEqual([status, stdout], [0, `${named}\n`], stderr)
  for (const CONFIRM of ['', 'production']) {
    const refused = dev(['exec', '--', 'true'], { CLUSTER, CONFIRM })
    assert.equal(refused.status, 1)
    assert.match(refused.stderr, /in the cluster of context "mine" .* set CONFIRM=mine/)
  }
  assert.throws(() => chosenCluster({ CLUSTER: ambient }), /is neither "local" nor "kubeconfig:<path>"/)
})

test("programs get the chosen cluster's kubeconfig in place of the shell's", () => {
  const env = clusterEnvironment({ kubeconfig: named, context: 'mine' }, { KUBECONFIG: ambient, PATH: '/bin' })
  assert.equal(env.KUBECONFIG, named)
})

test('no code of ours looks at KUBECONFIG', () => {
  const files = ['src', 'dev', 'test', 'e2e', 'tools', 'bench'].flatMap(root =>
    readdirSync(join(repository, root), { recursive: true, encoding: 'utf8' }).map(path => posix.join(root, path)),
  )
  const code = files.filter(path => path.endsWith('.ts') && path !== 'dev/cluster-access.test.ts')
  assert.ok(code.includes('dev/cluster-access.ts'), 'the walk sees the code')
  const looks = /env(\?\.|\.|\[['"])KUBECONFIG|\$\{?KUBECONFIG/
  assert.deepEqual(
    code.filter(path => looks.test(readFileSync(join(repository, path), 'utf8'))),
    [],
  )
})
