// PostgreSQL: its own image, Bitnami's, CloudNativePG's and Zalando's.
import type { KeyReference, Preset } from './preset.ts'

const secret = (name: string, key: string): KeyReference => ({ kind: 'Secret', name, key })

/** Both keys are of one Secret, of type kubernetes.io/basic-auth. */
function basicAuth(name: string) {
  return {
    user: { is: 'key', reference: secret(name, 'username') },
    password: { is: 'key', reference: secret(name, 'password') },
  } as const
}

export const postgres: Preset = {
  name: 'postgres',
  title: 'PostgreSQL',
  script: 'preset-postgres.sh',
  programs: ['pg_dump'],
  restoresTables: true,
  port: 5432,
  portVariables: ['POSTGRESQL_PORT_NUMBER', 'POSTGRES_PORT_NUMBER', 'PGPORT'],
  serverImage: /postgres|postgis|spilo|timescale|pgvector|patroni/,
  otherImage: /exporter|bouncer|pool|proxy|admin|backup|barman|backrest|operator|client|metrics/,
  serverVariables: ['PGDATA', 'POSTGRESQL_DATA_DIR', 'SPILO_CONFIGURATION'],
  replicaVariables: ['POSTGRES_REPLICATION_MODE', 'POSTGRESQL_REPLICATION_MODE'],
  accounts: [
    // Spilo, the image of Zalando's operator.
    {
      userVariables: ['PGUSER_SUPERUSER'],
      defaultUser: 'postgres',
      passwordVariables: ['PGPASSWORD_SUPERUSER'],
      withoutPassword: [],
      isAdministrator: () => true,
    },
    // Bitnami, where POSTGRES_USER names a user of the application.
    {
      userVariables: [],
      defaultUser: 'postgres',
      passwordVariables: ['POSTGRES_POSTGRES_PASSWORD', 'POSTGRESQL_POSTGRES_PASSWORD'],
      withoutPassword: [],
      isAdministrator: () => true,
    },
    // The official image makes POSTGRES_USER its superuser, Bitnami's an ordinary one unless it is called postgres.
    {
      userVariables: ['POSTGRES_USER', 'POSTGRESQL_USERNAME'],
      defaultUser: 'postgres',
      passwordVariables: ['POSTGRES_PASSWORD', 'POSTGRESQL_PASSWORD'],
      withoutPassword: [
        { name: 'POSTGRES_HOST_AUTH_METHOD', value: /^trust$/ },
        { name: 'ALLOW_EMPTY_PASSWORD', value: /^(yes|true|1)$/i },
      ],
      assumed: { password: 'POSTGRES_PASSWORD', user: 'POSTGRES_USER' },
      isAdministrator: (user, isBitnami) => user === 'postgres' || !isBitnami,
    },
  ],
  operators: [
    {
      title: 'CloudNativePG',
      cluster: ({ owner: { apiVersion, kind, name } }) =>
        kind === 'Cluster' && apiVersion.startsWith('postgresql.cnpg.io/') ? name : undefined,
      service: cluster => `${cluster}-rw`,
      credentials: {
        dump: cluster => basicAuth(`${cluster}-app`),
        administrator: cluster => basicAuth(`${cluster}-superuser`),
        note: cluster =>
          `the dump is made as the owner of the application's database (Secret ${cluster}-app), who reads what belongs to it; for everything set enableSuperuserAccess: true in the Cluster, and userFrom and passwordFrom of strategy.job.connection to the keys username and password of Secret ${cluster}-superuser`,
      },
    },
    {
      title: "Zalando's operator",
      // Its StatefulSet has an owner only since 1.13, and only where enable_owner_references is on.
      cluster: ({ labels }) => (labels.application === 'spilo' ? labels['cluster-name'] : undefined),
      service: cluster => cluster,
    },
  ],
  variables: {
    host: 'PGHOST',
    port: 'PGPORT',
    user: 'PGUSER',
    password: 'PGPASSWORD',
    tlsMode: 'PGSSLMODE',
    tlsAuthority: 'PGSSLROOTCERT',
    tlsCertificate: 'PGSSLCERT',
    tlsKey: 'PGSSLKEY',
  },
}
