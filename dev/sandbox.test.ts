import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { capture, CommandError } from './command.ts'
import { eventually } from './eventually.ts'
import { makeRootFileSystems, nodeRoot } from './root-file-systems.ts'
import { inSandbox, type Sandbox } from './sandbox.ts'

const sandbox: Sandbox = { root: nodeRoot, binds: [], network: 'own', dieWithParent: true }

/** Processes of the machine whose command line holds this word. */
function processesWith(word: string): string[] {
  return readdirSync('/proc').filter(pid => {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return false
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(word)
    } catch {
      return false // it has ended meanwhile
    }
  })
}

test('a sandbox has its own files, processes and network, and writes reach neither its root nor the machine', async t => {
  await makeRootFileSystems(line => t.diagnostic(line))
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
  const script = 'echo $PPID; ip -o link | wc -l; touch /written && ls /written'
  const output = await capture(inSandbox(sandbox, ['bash', '-c', script]))
  assert.equal(output, '1\n1\n/written\n')
  await assert.rejects(capture(['ls', `${nodeRoot}/written`]), CommandError)
  assert.equal(readFileSync('/proc/self/mountinfo', 'utf8'), mounts)
})

test("a sandbox passes on its command's exit status", async t => {
  await makeRootFileSystems(line => t.diagnostic(line))
  await assert.rejects(capture(inSandbox(sandbox, ['bash', '-c', 'exit 7'])), { code: 7 })
})

test('when the process that started a sandbox is killed, everything in the sandbox ends', async t => {
  await makeRootFileSystems(line => t.diagnostic(line))
  const word = `sandbox-test-${process.pid}`
  const inside = inSandbox(sandbox, ['bash', '-c', `setsid bash -c 'echo running; sleep infinity' ${word} & wait`])
  const parent = spawn('bash', ['-c', '"$@" & wait', 'parent', ...inside], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  await once(parent.stdout, 'data')
  assert.ok(processesWith(word).length > 0)
  const exited = once(parent, 'exit')
  parent.kill('SIGKILL')
  await exited
  await eventually('the sandbox to end', () => processesWith(word).length === 0, { seconds: 10 })
})
