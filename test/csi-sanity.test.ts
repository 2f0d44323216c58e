// The official conformance suite of CSI against the driver of the local cluster (../dev/csi-driver).
// It runs in a sandbox that ends with this process: its mounts, loop devices and files go even when it is killed.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { stripVTControlCharacters } from 'node:util'
import { capture } from '../dev/command.ts'
import { goToolDirectory } from '../dev/go-tools.ts'
import { cacheDirectory, repository } from '../dev/paths.ts'
import { makeRootFileSystems, nodeRoot } from '../dev/root-file-systems.ts'
import { inSandbox, sandboxNode } from '../dev/sandbox.ts'
import { copyUpstreamFiles } from '../dev/upstream-files.ts'

// $1 Node, $2 the driver, $3 csi-sanity. /run of the sandbox is memory: the sparse pool takes what the suite writes.
const conformance = `
mkdir /run/pool /run/kubelet
truncate --size 64G /run/pool.img
mkfs.xfs -q -m reflink=1 /run/pool.img
mount -o loop,discard /run/pool.img /run/pool
"$1" "$2" --node=sanity --pool=/run/pool --kubelet-root=/run/kubelet >/run/driver.log 2>&1 &
driver=$!
socket=/run/kubelet/plugins/reflink.csi.test/csi.sock
until [ -S "$socket" ]; do kill -0 "$driver" || { cat /run/driver.log >&2; exit 1; }; read -rt 0.05 <> <(:) || :; done
"$3" --csi.endpoint="unix://$socket" --csi.testvolumesize=67108864 --csi.mountdir=/run/target --csi.stagingdir=/run/staging
left=$(ls -A /run/pool/volumes /run/pool/snapshots; findmnt -rno TARGET | grep /run/pool/ || :)
echo "LEFT BEHIND: $(grep -v -e '^/run/pool/.*:$' -e '^$' <<<"$left" || :)"
`

test('the CSI driver passes csi-sanity and leaves nothing in its pool', { timeout: 120_000 }, async t => {
  const say = (line: string) => t.diagnostic(line)
  await makeRootFileSystems(say)
  await copyUpstreamFiles()
  const sandbox = { root: nodeRoot, binds: [cacheDirectory, repository], network: 'own', dieWithParent: true } as const
  const program = join(repository, 'dev/csi-driver/driver.ts')
  const command = ['bash', '-euc', conformance, 'conformance']
  const tools = [sandboxNode, program, join(goToolDirectory('csi-sanity'), 'csi-sanity')]
  const env = { ...process.env, XDG_CACHE_HOME: join(cacheDirectory, '..') }
  const output = await capture(inSandbox(sandbox, [...command, ...tools]), { env, signal: t.signal })

  const [, passed = '0', failed = ''] = /(\d+) Passed \| (\d+) Failed/.exec(stripVTControlCharacters(output)) ?? []
  t.diagnostic(`${passed} passed`)
  assert.equal(failed, '0')
  assert.ok(Number(passed) >= 60, `only ${passed} checks ran: the suite skipped what the driver claims to do`)
  assert.match(output, /^LEFT BEHIND: $/m)
})
