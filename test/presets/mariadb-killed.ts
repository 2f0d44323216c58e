// A restore over a database that is killed at one of its calls of a client program, and then done again: the test for a few of them, and
// for all.
import assert from 'node:assert/strict'
import { readFile, rm } from 'node:fs/promises'
import { after, before, describe, test } from 'node:test'
import { startMariaDb, type MariaDbServer } from './mariadb-server.ts'
import { makePresetStage, type PresetStage, type Stored } from './preset-stage.ts'

const overwrite = {
  BACKUP_RESTORE_ID: 'a1b2',
  BACKUP_RESTORE_UID: '6b0f3a1e-0000-4000-8000-00000000a1b2',
  BACKUP_OVERWRITE: 'true',
}

const backedUp = `CREATE DATABASE shop; USE shop;
  CREATE TABLE parent (i INT PRIMARY KEY); INSERT INTO parent VALUES (1), (2);
  CREATE TABLE child (i INT, FOREIGN KEY (i) REFERENCES parent (i)); INSERT INTO child VALUES (1);
  CREATE FUNCTION seven() RETURNS INT DETERMINISTIC RETURN 7;
  CREATE VIEW seen AS SELECT i, seven() AS seven FROM parent;
  CREATE TRIGGER stamped BEFORE INSERT ON parent FOR EACH ROW SET NEW.i = NEW.i + 1;
  CREATE EVENT daily ON SCHEDULE EVERY 1 DAY STARTS '2037-01-01 00:00:00' DO DELETE FROM child;
  CREATE USER IF NOT EXISTS app@'%'; GRANT EXECUTE ON FUNCTION seven TO app@'%';`

const changedSince = `USE shop; DELETE FROM child; INSERT INTO parent VALUES (8); CREATE TABLE mine (j INT); INSERT INTO mine VALUES (5);
  CREATE VIEW seen_too AS SELECT j FROM mine; CREATE TRIGGER mine_too BEFORE INSERT ON mine FOR EACH ROW SET NEW.j = 6;
  CREATE PROCEDURE eight() SELECT 8; CREATE EVENT mine_daily ON SCHEDULE EVERY 1 DAY STARTS '2037-01-01 00:00:00' DO SELECT 1;`

/** A client that kills its container at call KILL_AT: after it, which is before the next, or with half of its lines done. */
const killing = (program: string) => `
calls=$(($(cat "$CALLS" 2>/dev/null || echo 0) + 1))
echo $calls >"$CALLS"
[ "$calls" = "\${KILL_AT-}" ] || exec ${program} "$@"
case $KILL_HOW in
  after) ${program} "$@" >/dev/null ;;
  halfway)
    cat >"$CALLS.lines"
    lines=$(wc -l <"$CALLS.lines")
    head -n $(((lines + 1) / 2)) "$CALLS.lines" | ${program} "$@" >/dev/null ;;
esac
kill -KILL 0
`

/** @param every 1 kills at each call, 2 at every second one */
export function testKilledRestores(every: number, title: string): void {
  describe(title, { timeout: 3_600_000 }, () => {
    let server: MariaDbServer
    let stage: PresetStage
    let path: string
    let counter: string
    before(async () => {
      stage = await makePresetStage('mariadb')
      server = await startMariaDb()
      counter = `${stage.folder}/calls`
      path = await stage.programs({
        mariadb: killing(`${server.programs}/mariadb`),
        'mariadb-dump': killing(`${server.programs}/mariadb-dump`),
      })
    })
    after(async () => {
      await server?.stop()
      await stage?.remove()
    })

    async function restore(from: Stored, environment: Readonly<Record<string, string>>) {
      await rm(counter, { force: true })
      const settings = { ...server.environment, ...overwrite, CALLS: counter, PATH: `${path}:/bin`, ...environment }
      return stage.run('restore', settings, from)
    }
    const tables = () =>
      server.sql(
        "SELECT GROUP_CONCAT(TABLE_NAME ORDER BY 1) FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'shop' AND TABLE_TYPE <> 'VIEW'",
      )
    const databases = () =>
      server.sql(
        "SELECT GROUP_CONCAT(SCHEMA_NAME ORDER BY 1) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE 'shop%'",
      )

    for (const how of ['halfway', 'after'] as const)
      for (const previous of ['Keep', 'Delete'] as const)
        test(
          `${how === 'after' ? 'after a call' : 'in the middle of a call'}: doing it again ends whole, previous: ${previous}`,
          { timeout: 3_600_000 },
          async () => {
            await server.clear()
            await server.sql(backedUp)
            const content = await server.content('shop')
            const from = await stage.run('dump', server.environment)
            const begin = async () => {
              await server.clear()
              await server.sql(backedUp)
              await server.sql(changedSince)
            }
            await begin()
            const former = await server.content('shop')
            const whole = await restore(from, { BACKUP_PREVIOUS: previous })
            assert.equal(whole.status, 0, whole.stderr)
            const calls = Number(await readFile(counter, 'utf8'))
            assert.ok(calls > 40, `${calls} calls`)
            // Each of the four begins elsewhere. To delete the former content differs only at the end.
            const shift = (how === 'after' ? 2 : 0) + (previous === 'Keep' ? 0 : 1)
            const first = 1 + Math.floor((shift * every) / 4) + (previous === 'Keep' ? 0 : Math.floor(calls / 2))
            for (let at = first; at <= calls; at += every) {
              await begin()
              const killed = await restore(from, { BACKUP_PREVIOUS: previous, KILL_AT: String(at), KILL_HOW: how })
              assert.equal(killed.status, 137, `call ${at}: ${killed.stderr}`)
              const have = await tables()
              assert.ok(
                ['child,mine,parent', 'child,parent'].includes(have),
                `call ${at}: all tables have changed places, or none: ${have}`,
              )
              const acting =
                "SELECT EVENT_SCHEMA FROM information_schema.EVENTS WHERE STATUS = 'ENABLED' AND EVENT_SCHEMA <> 'shop'"
              assert.equal(await server.sql(acting), '', `call ${at}: no event acts elsewhere`)
              const again = await restore(from, { BACKUP_PREVIOUS: previous })
              assert.equal(again.status, 0, `call ${at}: ${again.stderr}`)
              assert.equal(await server.content('shop'), content, `call ${at}: the content of the backup`)
              assert.match(
                await server.sql("SHOW GRANTS FOR app@'%'"),
                /EXECUTE ON FUNCTION `shop`.`seven`/,
                `call ${at}`,
              )
              assert.equal(
                await databases(),
                previous === 'Keep' ? 'shop,shop_before_a1b2' : 'shop',
                `call ${at}: nothing is left over`,
              )
              if (previous === 'Delete') continue
              const kept = (await server.content('shop_before_a1b2')).replaceAll('DISABLED', 'ENABLED')
              assert.equal(kept, former, `call ${at}: the former content`)
            }
          },
        )
  })
}
