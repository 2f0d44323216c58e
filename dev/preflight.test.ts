// A machine that lacks something is told what, and the command that brings it, before anything is built.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { repository } from './paths.ts'

/**
 * Runs `dev/main.ts preflight` on this machine, as it would be without some programs. Its apt-get is a shell script, so that nothing
 * is installed here; `$bin` is the only folder on its PATH.
 */
function preflight(t: TestContext, lacks: readonly string[], aptGet: string) {
  const folder = mkdtempSync(join(tmpdir(), 'preflight-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const bin = join(folder, 'bin')
  mkdirSync(bin)
  for (const from of (process.env.PATH ?? '').split(':').filter(each => existsSync(each)))
    for (const program of readdirSync(from))
      if (!lacks.includes(program) && program !== 'apt-get' && !existsSync(join(bin, program)))
        symlinkSync(join(from, program), join(bin, program))
  const script = `#!/bin/sh\nbin='${bin}'\n${aptGet}\n`
  writeFileSync(join(bin, 'apt-get'), script, { mode: 0o755 })
  const argv = [join(repository, 'dev/main.ts'), 'preflight']
  const env = { PATH: bin, HOME: process.env.HOME }
  return spawnSync(process.execPath, argv, { env, encoding: 'utf8', timeout: 60_000 })
}

const offline = 'echo "E: no mirror answers" >&2; exit 100'

test('each missing program is named with the package and the command that installs it', t => {
  const programs = {
    debootstrap: 'debootstrap',
    openssl: 'openssl',
    flock: 'util-linux',
    nsenter: 'util-linux',
    busybox: 'busybox-static',
    zstd: 'zstd',
  }
  for (const [program, package_] of Object.entries(programs)) {
    const { status, stdout, stderr } = preflight(t, [program], offline)
    assert.equal(status, 1, program)
    assert.match(
      stderr,
      new RegExp(`^error: this machine lacks:\n  .*${program}.*\n    -> apt-get install ${package_}\n$`),
    )
    assert.match(stdout, /E: no mirror answers/, 'why it is not installed')
  }
})

test('everything that is missing is named at once', t => {
  const { status, stderr } = preflight(t, ['debootstrap', 'openssl', 'go'], offline)
  assert.equal(status, 1)
  assert.deepEqual(
    stderr.split('\n').filter(line => line.startsWith('    -> ')),
    [
      '    -> apt-get install debootstrap',
      '    -> install Go from https://go.dev/dl and put its bin folder on the PATH',
      '    -> apt-get install openssl',
    ],
  )
})

test('a package that can be installed is, after the package lists were renewed', t => {
  // Knows no package until it was updated; what it installs is the real one.
  const installs = `
    case "$1" in
      update) touch "$bin/../updated" ;;
      install) [ -e "$bin/../updated" ] || exit 100; ln -s /usr/bin/openssl "$bin/openssl" ;;
    esac`
  const { status, stdout, stderr } = preflight(t, ['openssl'], installs)
  assert.deepEqual([status, stderr], [0, ''])
  assert.equal(stdout, 'installing the Debian package openssl\n')
})

test('a machine that has everything is asked for nothing', t => {
  const { status, stdout, stderr } = preflight(t, [], 'exit 1')
  assert.deepEqual([status, stdout, stderr], [0, '', ''])
})
