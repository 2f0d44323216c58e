// What a test run must not leave: processes that it started, files in its temporary directory, mounts and loop devices there.
import { readFileSync, readdirSync } from 'node:fs'

/** Children inherit it: it tells the processes of one run from everything else on the machine. */
export const runVariable = 'BACKUP_OPERATOR_TEST_RUN'

/** What remains of the run `id`, whose temporary directory is `directory`; empty when it cleaned up. */
export function leftovers(id: string, directory: string): readonly string[] {
  const files = readdirSync(directory).map(name => `file ${directory}/${name}`)
  return [...processesOf(id), ...mountsBelow(directory), ...loopDevicesBelow(directory), ...files]
}

function processesOf(id: string): readonly string[] {
  const numbers = readdirSync('/proc').filter(name => /^\d+$/.test(name) && Number(name) !== process.pid)
  return numbers.flatMap(pid => {
    const environment = readUnlessGone(`/proc/${pid}/environ`).split('\0')
    if (!environment.includes(`${runVariable}=${id}`)) return []
    return [`process ${pid}: ${readUnlessGone(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim()}`]
  })
}

/** Mount points are the fifth field of proc_pid_mountinfo(5). */
function mountsBelow(directory: string): readonly string[] {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n')
  const points = lines.map(line => line.split(' ')[4] ?? '')
  return points.filter(point => point.startsWith(directory)).map(point => `mount ${point}`)
}

function loopDevicesBelow(directory: string): readonly string[] {
  const devices = readdirSync('/sys/block').filter(name => name.startsWith('loop'))
  return devices.flatMap(name => {
    const backing = readUnlessGone(`/sys/block/${name}/loop/backing_file`).trim()
    return backing.startsWith(directory) ? [`loop device ${name} of ${backing}`] : []
  })
}

/** Processes end while they are looked at, another user's may not be read, and a free loop device has no file. */
function readUnlessGone(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ESRCH' || code === 'EACCES') return ''
    throw error
  }
}
