// A real PostgreSQL on loopback, from Debian's packages, in a temporary directory: what the tests of the preset dump and restore.
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { capture } from '../../dev/command.ts'
import { postgresPrograms } from '../../dev/debian-tools.ts'
import { eventually } from '../../dev/eventually.ts'
import {
  makeRunDirectory,
  removeRunDirectory,
  spawnRecorded,
  sweepRunDirectories,
} from '../api/control-plane/run-directory.ts'
import { freePort } from '../runner/free-port.ts'

export type PostgresServer = {
  /** How a client program finds programs, libraries and the server, as its superuser `postgres`. */
  readonly environment: Readonly<Record<string, string>>
  /** The folder of the client programs. */
  readonly programs: string
  /** Runs SQL as superuser and returns its rows, a line each, columns apart by `|`. @throws CommandError with the first error */
  readonly sql: (database: string, sql: string) => Promise<string>
  /** A hot standby of it, caught up with what was committed before. */
  readonly startStandby: () => Promise<PostgresServer>
  readonly stop: () => Promise<void>
}

const password = 'of the superuser'

/** Nobody may log in without a password. */
const settings = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  fsync: 'off',
  jit: 'off',
  wal_level: 'logical',
  max_prepared_transactions: '4',
  dynamic_shared_memory_type: 'mmap',
}

export type PostgresSetup = {
  /** Besides those that all servers here have. */
  readonly settings?: Readonly<Record<string, string>>
  /** Lines of pg_hba.conf before those that demand passwords. */
  readonly logins?: readonly string[]
}

/** Starts a server and waits until it answers. It dies with this process. */
export async function startPostgres({ settings: own = {}, logins = [] }: PostgresSetup = {}): Promise<PostgresServer> {
  await sweepRunDirectories()
  const directory = await makeRunDirectory()
  const data = join(directory, 'data')
  const { programs, libraries } = await postgresPrograms()
  const passwordFile = join(directory, 'password')
  await writeFile(passwordFile, password)
  const initdb = [
    '--username=postgres',
    '--auth=scram-sha-256',
    `--pwfile=${passwordFile}`,
    '--encoding=UTF8',
    '--no-sync',
  ]
  await capture(asOrdinaryUser(join(programs, 'initdb'), [...initdb, '--locale=C.UTF-8', '--pgdata', data]), {
    env: { PATH: `${programs}:${process.env.PATH}`, LD_LIBRARY_PATH: libraries },
  })
  const hba = join(data, 'pg_hba.conf')
  await writeFile(hba, [...logins, await readFile(hba, 'utf8')].join('\n'))
  return run(directory, data, programs, libraries, own)
}

async function run(
  directory: string,
  data: string,
  programs: string,
  libraries: string,
  own: Readonly<Record<string, string>> = {},
): Promise<PostgresServer> {
  const port = await freePort()
  const options = Object.entries({ ...settings, ...own, port: String(port) }).flatMap(([name, value]) => [
    '-c',
    `${name}=${value}`,
  ])
  const [program = '', ...args] = asOrdinaryUser(join(programs, 'postgres'), ['-D', data, ...options])
  const server = await spawnRecorded(directory, program, args, { LD_LIBRARY_PATH: libraries })
  const environment = {
    PATH: `${programs}:${process.env.PATH}`,
    LD_LIBRARY_PATH: libraries,
    PGHOST: '127.0.0.1',
    PGPORT: String(port),
    PGUSER: 'postgres',
    PGPASSWORD: password,
  }
  const sql = async (database: string, text: string) => {
    const answer = await capture(['psql', '-XAtqw', '-v', 'ON_ERROR_STOP=1'], {
      env: { ...environment, PGDATABASE: database },
      input: text,
    })
    return answer.trimEnd()
  }
  const stop = async () => {
    // A fast shutdown: a killed one would leave its shared memory.
    if (server.running()) process.kill(server.pid, 'SIGINT')
    await server.exited
    await removeRunDirectory(directory)
  }
  try {
    await eventually(
      'PostgreSQL to answer',
      async () => {
        if (!server.running()) return true
        return (await sql('postgres', 'SELECT 1').catch(() => '')) === '1'
      },
      { seconds: 30, every: 50 },
    )
    if (!server.running()) throw new Error('it has ended')
  } catch (cause) {
    const log = await readFile(server.log, 'utf8')
    await stop()
    throw new Error(`PostgreSQL did not start; its log:\n${log}`, { cause })
  }
  return { environment, programs, sql, stop, startStandby: () => standbyOf({ environment, sql }, programs, libraries) }
}

async function standbyOf(
  primary: Pick<PostgresServer, 'environment' | 'sql'>,
  programs: string,
  libraries: string,
): Promise<PostgresServer> {
  const directory = await makeRunDirectory()
  const data = join(directory, 'data')
  const copy = asOrdinaryUser(join(programs, 'pg_basebackup'), ['-w', '-R', '-X', 'stream', '-c', 'fast', '-D', data])
  await capture(copy, { env: primary.environment })
  const standby = await run(directory, data, programs, libraries)
  const committed = await primary.sql('postgres', 'SELECT pg_current_wal_lsn()')
  await eventually(
    'the standby to catch up',
    async () => (await standby.sql('postgres', `SELECT pg_last_wal_replay_lsn() >= '${committed}'`)) === 't',
    { seconds: 30, every: 50 },
  )
  return standby
}

/** The server refuses to run as root: in a user namespace it is somebody else, whose files are root's outside. */
function asOrdinaryUser(program: string, args: readonly string[]): readonly string[] {
  const pdeath = ['setpriv', '--pdeathsig', 'KILL', '--', program, ...args]
  return process.getuid?.() === 0 ? ['unshare', '--user', '--map-user=65534', '--map-group=65534', ...pdeath] : pdeath
}
