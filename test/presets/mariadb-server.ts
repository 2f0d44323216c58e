// A real MariaDB on loopback, from Debian's packages, in a temporary directory: what the tests of the preset dump and restore.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { capture } from '../../dev/command.ts'
import { mariaDbPrograms } from '../../dev/debian-tools.ts'
import { eventually } from '../../dev/eventually.ts'
import {
  makeRunDirectory,
  removeRunDirectory,
  spawnRecorded,
  sweepRunDirectories,
} from '../api/control-plane/run-directory.ts'
import { freePort } from '../runner/free-port.ts'

export type MariaDbServer = {
  /** What the preset's script is given to reach the server as its administrator, over TCP and with a password. */
  readonly environment: Readonly<Record<string, string>>
  /** The folder of the client programs. */
  readonly programs: string
  /** Runs SQL as `root` by the socket and returns its rows, a line each, columns apart by tabs. @throws CommandError with the first error */
  readonly sql: (sql: string) => Promise<string>
  /**
   * Everything of a database as the client's own dump says it, in the order of keys, with its events and without its name: two databases
   * with the same text have the same rows, tables, views, routines, triggers and events.
   */
  readonly content: (database: string) => Promise<string>
  /** Removes all databases and accounts of users. */
  readonly clear: () => Promise<void>
  readonly stop: () => Promise<void>
}

/** Hostile on purpose: quotes, an escape, a comment, a blank, a sign that is not ASCII. */
const password = ` s"e\\c'r#t;ö`
const administrator = 'admin'

/** @param options of the server */
export async function startMariaDb(options: readonly string[] = []): Promise<MariaDbServer> {
  await sweepRunDirectories()
  const directory = await makeRunDirectory()
  const { prefix, libraries } = await mariaDbPrograms()
  const data = join(directory, 'data')
  const socket = join(directory, 'socket')
  const port = await freePort()
  const programs = join(prefix, 'bin')
  const environment = { PATH: `${programs}:${process.env.PATH}`, LD_LIBRARY_PATH: libraries }
  const install = [`--basedir=${prefix}`, `--datadir=${data}`, '--auth-root-authentication-method=normal']
  await capture([join(programs, 'mariadb-install-db'), '--no-defaults', ...install, '--skip-test-db', '--user=root'], {
    env: environment,
  })
  const settings = {
    user: 'root',
    basedir: prefix,
    datadir: data,
    // A server that starts removes the temporary tables that it finds there.
    tmpdir: directory,
    socket,
    port,
    'bind-address': '127.0.0.1',
    'pid-file': join(directory, 'pid'),
    'event-scheduler': 'ON',
    'local-infile': 1,
    'innodb-buffer-pool-size': '32M',
    'innodb-flush-method': 'nosync',
    'sync-frm': 0,
  }
  const argv = Object.entries(settings).map(([name, value]) => `--${name}=${value}`)
  const server = await spawnRecorded(
    directory,
    join(prefix, 'sbin/mariadbd'),
    ['--no-defaults', ...argv, ...options],
    environment,
  )
  const client = ['--no-defaults', `--socket=${socket}`, '--user=root', '--default-character-set=utf8mb4']
  const sql = async (input: string) => {
    const answer = await capture(
      [join(programs, 'mariadb'), ...client, '--batch', '--raw', '--comments', '--skip-column-names'],
      {
        env: environment,
        input,
      },
    )
    return answer.trimEnd()
  }
  const stop = async () => {
    if (server.running()) process.kill(server.pid, 'SIGKILL')
    await server.exited
    await removeRunDirectory(directory)
  }
  try {
    await eventually(
      'MariaDB to answer',
      async () => !server.running() || (await sql('SELECT 1').catch(() => '')) === '1',
      { seconds: 60, every: 50 },
    )
    if (!server.running()) throw new Error('it has ended')
    await sql(makeAdministrator)
  } catch (cause) {
    const log = await readFile(server.log, 'utf8')
    await stop()
    throw new Error(`MariaDB did not start; its log:\n${log}`, { cause })
  }
  return {
    environment: {
      PATH: programs,
      LD_LIBRARY_PATH: libraries,
      MYSQL_HOST: '127.0.0.1',
      MYSQL_TCP_PORT: String(port),
      BACKUP_USER: administrator,
      MYSQL_PWD: password,
    },
    programs,
    sql,
    async content(database) {
      const plain = [
        '--compact',
        '--skip-dump-date',
        '--routines',
        '--hex-blob',
        '--order-by-primary',
        '--skip-add-locks',
      ]
      const dump = await capture(
        [join(programs, 'mariadb-dump'), ...client, ...plain, '--dump-history', '--skip-lock-tables', '--', database],
        { env: environment },
      )
      const events = await sql(
        `SELECT EVENT_NAME, DEFINER, TIME_ZONE, EVENT_DEFINITION, EVENT_TYPE, EXECUTE_AT, INTERVAL_VALUE, INTERVAL_FIELD, SQL_MODE,
           STARTS, ENDS, STATUS, ON_COMPLETION, EVENT_COMMENT, COLLATION_CONNECTION
         FROM information_schema.EVENTS WHERE EVENT_SCHEMA = '${database.replaceAll("'", "''")}' ORDER BY EVENT_NAME`,
      )
      const name = database.replaceAll('`', '``')
      const charset = await sql(`SHOW CREATE DATABASE \`${name}\``)
      const text = `${dump}\n${events}\n${/CHARACTER SET \w+ COLLATE \w+/.exec(charset)?.[0]}`
      return text.replaceAll(`\`${name}\`.`, '')
    },
    async clear() {
      const statements = await sql(
        `SELECT CONCAT('DROP DATABASE \`', REPLACE(SCHEMA_NAME, '\`', '\`\`'), '\`;') FROM information_schema.SCHEMATA
           WHERE SCHEMA_NAME NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema');
         SELECT CONCAT(IF(is_role = 'Y', 'DROP ROLE ', 'DROP USER '), QUOTE(User), IF(is_role = 'Y', '', CONCAT('@', QUOTE(Host))), ';')
           FROM mysql.user WHERE User NOT IN ('root', 'mariadb.sys', '${administrator}')`,
      )
      await sql(`SET foreign_key_checks = 0; ${statements}`)
    },
    stop,
  }
}

const quoted = password.replaceAll('\\', '\\\\').replaceAll("'", "''")
const makeAdministrator = `
  CREATE USER ${administrator}@'%' IDENTIFIED BY '${quoted}';
  GRANT ALL ON *.* TO ${administrator}@'%' WITH GRANT OPTION;
`
