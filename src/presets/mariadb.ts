// MariaDB, and MySQL, whose image knows fewer names: the official images, Bitnami's, and the pods of mariadb-operator.
import type { Account, Preset } from './preset.ts'

const emptyPassword = /^(yes|true|1)$/i

/** @param prefixes of the variables that the image knows, the one that wins first */
function accounts(prefixes: readonly string[]): readonly Account[] {
  const named = (name: string) => prefixes.map(prefix => `${prefix}_${name}`)
  const [only, ...others] = prefixes
  return [
    {
      // Only Bitnami's image lets root have another name.
      userVariables: named('ROOT_USER'),
      defaultUser: 'root',
      passwordVariables: named('ROOT_PASSWORD'),
      withoutPassword: [
        ...named('ALLOW_EMPTY_ROOT_PASSWORD'),
        ...named('ALLOW_EMPTY_PASSWORD'),
        'ALLOW_EMPTY_PASSWORD',
      ].map(name => ({ name, value: emptyPassword })),
      // Of an image that knows both names nobody can tell which one stands there.
      assumed: others.length === 0 ? { password: `${only}_ROOT_PASSWORD` } : undefined,
      isAdministrator: () => true,
    },
    {
      userVariables: named('USER'),
      defaultUser: undefined,
      passwordVariables: named('PASSWORD'),
      withoutPassword: [],
      isAdministrator: () => false,
    },
  ]
}

export const mariadb: Preset = {
  name: 'mariadb',
  title: 'MariaDB',
  script: 'preset-mariadb.sh',
  programs: ['mariadb-dump', 'mysqldump'],
  restoresTables: false,
  port: 3306,
  portVariables: ['MARIADB_PORT_NUMBER', 'MYSQL_PORT_NUMBER', 'MYSQL_TCP_PORT'],
  serverImage: /mariadb|mysql|percona/,
  otherImage: /exporter|proxy|maxscale|router|admin|backup|operator|client|metrics|agent/,
  serverVariables: ['MARIADB_GALERA_CLUSTER_NAME', 'MYSQL_INITDB_SKIP_TZINFO', 'MARIADB_INITDB_SKIP_TZINFO'],
  replicaVariables: ['MARIADB_REPLICATION_MODE', 'MYSQL_REPLICATION_MODE'],
  accounts: accounts(['MARIADB', 'MYSQL']),
  operators: [],
  variables: {
    host: 'MYSQL_HOST',
    port: 'MYSQL_TCP_PORT',
    // The clients read no user from the environment.
    user: 'BACKUP_USER',
    password: 'MYSQL_PWD',
    tlsMode: 'BACKUP_SSL_MODE',
    tlsAuthority: 'BACKUP_SSL_CA',
    tlsCertificate: 'BACKUP_SSL_CERT',
    tlsKey: 'BACKUP_SSL_KEY',
  },
}

export const mysql: Preset = { ...mariadb, name: 'mysql', title: 'MySQL', accounts: accounts(['MYSQL']) }
