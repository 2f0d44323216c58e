// A database of everything that a restore has to bring back, under names that break what quotes badly.
import type { PostgresServer } from './postgres-server.ts'

/** A blank, a slash, a letter beyond ASCII, what makes a connection string of an argument, both quotes. */
export const hostileName = `we ird/ö=x'y"z`

export const hostileRole = `r o'l"e=ö`

/** How SQL writes a name. */
export function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** Roles and one database: rows, sequences, large objects, routines, triggers, policies, grants, settings. */
export async function makeHostileShop(server: PostgresServer, name: string = hostileName): Promise<void> {
  const [role, database] = [identifier(hostileRole), identifier(name)]
  await server.sql(
    'postgres',
    `CREATE ROLE ${role} LOGIN PASSWORD 'secret''s';
     COMMENT ON ROLE ${role} IS E'two\nlines; \\\\! touch /tmp/never';
     CREATE ROLE readers;
     GRANT readers TO ${role} WITH ADMIN OPTION;
     ALTER ROLE ${role} SET work_mem TO '5MB';
     ALTER ROLE ${role} SET search_path TO "$user", 'odd "one', public;
     CREATE DATABASE ${database} OWNER ${role} CONNECTION LIMIT 17;
     COMMENT ON DATABASE ${database} IS 'the shop''s';
     REVOKE ALL ON DATABASE ${database} FROM PUBLIC;
     GRANT CONNECT, TEMPORARY ON DATABASE ${database} TO readers WITH GRANT OPTION;
     ALTER DATABASE ${database} SET search_path TO "odd ""one", public;
     ALTER DATABASE ${database} SET "shop.motto" TO 'it''s ours';
     ALTER ROLE readers IN DATABASE ${database} SET statement_timeout TO '7s';
     ALTER DATABASE ${database} SET default_transaction_read_only TO on;`,
  )
  await server.sql(
    name,
    `SET default_transaction_read_only TO off;
     CREATE EXTENSION pg_trgm SCHEMA public;
     CREATE SCHEMA "odd ""one" AUTHORIZATION ${role};
     SET ROLE ${role};
     SET search_path TO "odd ""one";
     CREATE TYPE mood AS ENUM ('sad', 'o''k');
     CREATE TABLE "ta.b'le" (id serial PRIMARY KEY, feeling mood DEFAULT 'sad', words text CHECK (words <> 'x'));
     INSERT INTO "ta.b'le" (feeling, words) SELECT 'o''k', E'line\n\\\\! ' || n FROM generate_series(1, 500) n;
     CREATE INDEX "in dex" ON "ta.b'le" (words);
     CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, item int REFERENCES "ta.b'le", at date) ;
     INSERT INTO orders (item, at) SELECT n, date '2026-01-01' + n FROM generate_series(1, 300) n;
     CREATE TABLE measures (at date, value float) PARTITION BY RANGE (at);
     CREATE TABLE measures_2026 PARTITION OF measures FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
     INSERT INTO measures SELECT date '2026-02-01' + n, n / 7.0 FROM generate_series(1, 100) n;
     CREATE MATERIALIZED VIEW sums AS SELECT sum(value) FROM measures;
     CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
     CREATE TRIGGER noted BEFORE INSERT ON "ta.b'le" FOR EACH ROW EXECUTE FUNCTION note();
     CREATE PROCEDURE nothing() LANGUAGE sql AS 'SELECT 1';
     CREATE SEQUENCE tickets START 41;
     SELECT nextval('tickets'), nextval('tickets');
     ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
     CREATE POLICY mine ON orders USING (item > 10);
     GRANT SELECT ON "ta.b'le" TO readers;
     SELECT lo_from_bytea(4711, '\\x0001ff5c27');
     GRANT SELECT ON LARGE OBJECT 4711 TO readers;`,
  )
}

/** Everything of the database that a restore must give back, as text: two of them are compared. */
export async function contentOf(server: PostgresServer, name: string): Promise<string> {
  return server.sql(
    name,
    `SET search_path TO pg_catalog;
     SELECT format('SELECT %L, count(*), md5(string_agg(t::text, ''|'' ORDER BY t::text)) FROM (SELECT %s FROM %I.%I) t',
         nspname || '.' || relname, CASE relkind WHEN 'S' THEN 'last_value, is_called' ELSE '*' END, nspname, relname)
       FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
       WHERE relkind IN ('r', 'p', 'm', 'S') AND nspname !~ '^pg_|^information_schema' ORDER BY nspname, relname \\gexec
     SELECT 'relation', nspname, relname, relkind, pg_get_userbyid(relowner), relacl::text, relrowsecurity, obj_description(c.oid, 'pg_class')
       FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname !~ '^pg_|^information_schema' ORDER BY 2, 3;
     SELECT 'constraint', conrelid::regclass, conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid <> 0 ORDER BY conrelid::regclass::text, 3;
     SELECT 'index', indexrelid::regclass, pg_get_indexdef(indexrelid) FROM pg_index WHERE indexrelid >= 16384
       AND indrelid IN (SELECT oid FROM pg_class WHERE relkind IN ('r', 'p', 'm')) ORDER BY indexrelid::regclass::text;
     SELECT 'routine', oid::regprocedure, pg_get_userbyid(proowner), md5(prosrc), proacl::text FROM pg_proc WHERE oid >= 16384 ORDER BY oid::regprocedure::text;
     SELECT 'trigger', tgrelid::regclass, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal ORDER BY tgrelid::regclass::text, 3;
     SELECT 'policy', polrelid::regclass, polname, pg_get_expr(polqual, polrelid) FROM pg_policy ORDER BY polrelid::regclass::text, 3;
     SELECT 'large object', oid, pg_get_userbyid(lomowner), lomacl::text, md5(lo_get(oid)) FROM pg_largeobject_metadata ORDER BY 2;
     SELECT 'extension', extname, extversion FROM pg_extension ORDER BY 2;
     SELECT 'schema', nspname, pg_get_userbyid(nspowner), nspacl::text FROM pg_namespace WHERE nspname !~ '^pg_' ORDER BY 2;`,
  )
}

/** What belongs to the database and is in no archive of it. */
export async function propertiesOf(server: PostgresServer, name: string): Promise<string> {
  const literal = `'${name.replaceAll("'", "''")}'`
  return server.sql(
    'postgres',
    `SELECT pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate, datctype, datconnlimit, datallowconn,
       (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(datacl) a) FROM pg_database WHERE datname = ${literal};
     SELECT setrole::regrole, (SELECT array_agg(c ORDER BY c) FROM unnest(setconfig) c) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
       WHERE datname = ${literal} ORDER BY 1;`,
  )
}
